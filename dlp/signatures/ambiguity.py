"""Whether matches of different lengths can begin at one byte.

`re` tries one match at a start, the kernel every shape. Where a checksum decides, both
agree only if no text fits two forms with different ends; this walks pairs of forms
over every text that fits both.
"""

from __future__ import annotations

from dlp.signatures import byteset
from dlp.signatures.forms import Form


def ambiguous(forms: list[Form]) -> bool:
    """Whether two forms can match at one start with different ends."""
    return any(_diverge(one, two) for index, one in enumerate(forms) for two in forms[index + 1 :])


def _diverge(one: Form, two: Form) -> bool:
    """Walk both forms over every text that fits both beginnings, one ending first."""
    if not one.left & two.left:
        return False
    seen: set[tuple[int, int, int, int]] = set()
    work = [(0, 0, 0, 0)]
    while work:
        state = work.pop()
        if state in seen:
            continue
        seen.add(state)
        i, m, j, n = state
        ended = (_over(one, i, m), _over(two, j, n))
        if ended[0] and _next(two, j, n, one.right):
            return True
        if ended[1] and _next(one, i, m, two.right):
            return True
        for a, b, first in _next(one, i, m, byteset.ALL):
            work.extend((a, b, c, d) for c, d, _ in _next(two, j, n, first))
    return False


def _over(form: Form, index: int, count: int) -> bool:
    """Whether the form can end here: this run has enough, those behind it need nothing."""
    if index < len(form.runs) and count < form.runs[index].min:
        return False
    return all(run.min == 0 for run in form.runs[index + 1 :])


def _next(form: Form, index: int, count: int, allowed: int) -> list[tuple[int, int, int]]:
    """States after one more byte of the form, with the set of bytes that lead there."""
    found: list[tuple[int, int, int]] = []
    place, taken = index, count
    while place < len(form.runs):
        run = form.runs[place]
        if taken < run.max and run.mask & allowed:
            found.append((place, taken + 1, run.mask & allowed))
        if taken < run.min:
            break
        place, taken = place + 1, 0
    return found
