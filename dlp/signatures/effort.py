"""How long Python's `re` can take at most: the ways it may try before it gives up.

A bound from the tree alone, far above what most texts cost. What keeps below it is tried in
this process; the rest elsewhere, with a limit (signatures.trial).
"""

from __future__ import annotations

import math

from dlp.signatures.regex import Alternation, Concat, Node, Repeat

_MOST = 1e30


def ways(node: Node, length: int) -> float:
    """Ways to take a text of `length` bytes apart, each of which backtracking may try."""
    match node:
        case Concat(nodes):
            return min(math.prod(ways(one, length) for one in nodes), _MOST)
        case Alternation(nodes):
            return min(sum(ways(one, length) for one in nodes), _MOST)
        case Repeat(inner, low, high):
            return _repeated(ways(inner, length), min(low, length), min(high, length))
    return 1.0


def _repeated(inner: float, low: int, high: int) -> float:
    if inner <= 1:
        return high - low + 1.0
    # The sum of inner ** count over low..high is less than twice its last term.
    if high * math.log(inner) > math.log(_MOST):
        return _MOST
    return inner**high * (1.0 if low == high else 2.0)
