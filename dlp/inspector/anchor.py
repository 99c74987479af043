"""What an expression's tree says ahead of any search: its longest match, and what it needs.

A literal is looked for at memory speed, a run of digits nearly so, an expression at some 20 MB/s:
most records hold no literal of most rules, and few long runs of digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dlp.signatures import byteset, regex

_SHORTEST = 2  # bytes; a single one stands everywhere
_DIGITS = 3  # fewer in a row stand in most text
_NEAR = 32  # places that are tried for each run of digits
_RUNS = 64  # of digits in a search; where there are more, the expression is as fast
_ONLY_DIGITS = bytes(ord("0") if value in b"0123456789" else ord(" ") for value in range(256))


@dataclass(frozen=True, slots=True)
class Anchor:
    """Bytes that every match holds. `before`: most bytes of the match in front of them."""

    literal: bytes
    before: int


@dataclass(frozen=True, slots=True)
class Digits:
    """A run of so many digits that every match holds. `before`: as in Anchor."""

    length: int
    before: int

    def search(
        self, pattern: re.Pattern[bytes], data: bytearray, at: int
    ) -> re.Match[bytes] | None:
        """As `pattern.search(data, at)`, for a pattern that needs these digits."""
        text, run, first = data[at:].translate(_ONLY_DIGITS), b"0" * self.length, at
        for _ in range(_RUNS):
            hit = text.find(run, max(0, first - at))
            if hit < 0:
                return None
            hit += at
            for place in range(max(first, hit - self.before), hit + 1):
                if match := pattern.match(data, place):
                    return match
            first = hit + 1
        return pattern.search(data, first)


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


def leading(node: regex.Node) -> bytes:
    """The literal that every match begins with; empty without one."""
    literal = b""
    for part in _parts(node):
        byte = _only_byte(part)
        if byte is not None:
            literal += byte
        elif span(part):
            break
    return literal


def find_digits(node: regex.Node) -> Digits | None:
    """The longest run of digits in the expression's outermost sequence, near the start of a match.

    None without one that is long and near enough to be worth looking for.
    """
    best, length, before, at = Digits(0, 0), 0, 0, 0
    for part, low, high in _runs(node):
        if isinstance(part, regex.Class) and not part.mask & ~byteset.DIGITS:
            before = before if length else at
            length += low
        elif span(part) or not length:
            length = 0
        if length > best.length and before < _NEAR:
            best = Digits(length, before)
        if low != high:
            length = 0  # the next byte is not behind the last in every match
        at = min(at + span(part) * high, regex.UNBOUNDED)
    return best if best.length >= _DIGITS else None


def _runs(node: regex.Node) -> Iterator[tuple[regex.Node, int, int]]:
    """The sequence's members with their counts, the first turn of a repeat written out."""
    for part in node.nodes if isinstance(node, regex.Concat) else (node,):
        if not isinstance(part, regex.Repeat):
            yield part, 1, 1
        elif part.min and isinstance(part.node, regex.Concat):
            yield from _runs(part.node)
            yield part.node, part.min - 1, part.max - 1
        else:
            yield part.node, part.min, part.max


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
