"""What an expression's tree says ahead of any search: its longest match, and a literal it needs.

A literal is looked for at memory speed, an expression at some 20 MB/s: most records hold no literal
of most rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dlp.signatures import regex

_SHORTEST = 2  # bytes; a single one stands everywhere


@dataclass(frozen=True, slots=True)
class Anchor:
    """Bytes that every match holds. `before`: most bytes of the match in front of them."""

    literal: bytes
    before: int


def span(node: regex.Node) -> int:
    """Length in bytes of the longest match; regex.UNBOUNDED at most."""
    match node:
        case regex.Class():
            return 1
        case regex.Repeat():
            return min(span(node.node) * node.max, regex.UNBOUNDED)
        case regex.Concat():
            return min(sum(map(span, node.nodes)), regex.UNBOUNDED)
        case regex.Alternation():
            return max(map(span, node.nodes), default=0)
        case _:
            return 0


def find_anchor(node: regex.Node) -> Anchor | None:
    """The longest literal that stands in the expression's outermost sequence; None without one."""
    best, run, run_before, before = Anchor(b"", 0), b"", 0, 0
    for part in _parts(node):
        byte = _only_byte(part)
        if byte is not None:
            run_before = before if not run else run_before
            run += byte
        elif span(part) or not run:
            # A boundary or look-around has no bytes and does not end a run.
            run = b""
        if len(run) > len(best.literal):
            best = Anchor(run, run_before)
        before = min(before + span(part), regex.UNBOUNDED)
    return best if len(best.literal) >= _SHORTEST else None


def _parts(node: regex.Node) -> Iterator[regex.Node]:
    """The sequence's members, a fixed repeat of one byte written out."""
    for part in node.nodes if isinstance(node, regex.Concat) else (node,):
        if isinstance(part, regex.Repeat) and part.min == part.max and _only_byte(part.node):
            yield from [part.node] * part.min
        else:
            yield part


def _only_byte(node: regex.Node) -> bytes | None:
    """The byte that a class consists of; None where it has several, or is no class."""
    if not isinstance(node, regex.Class) or node.mask.bit_count() != 1:
        return None
    return bytes([node.mask.bit_length() - 1])
