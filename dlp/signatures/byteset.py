"""Sets of byte values as 256-bit integers: bit b stands for byte b.

Intersections, unions and tests for disjointness are what lowering does most; on
integers each is one operation.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Final

ALL: Final = (1 << 256) - 1
NUL: Final = 1
FOLD: Final = 0x20


def of(values: Iterable[int]) -> int:
    """The set of these byte values."""
    mask = 0
    for value in values:
        mask |= 1 << value
    return mask


def span(first: int, last: int) -> int:
    """The set of the bytes first..last, both included."""
    return ((1 << (last - first + 1)) - 1) << first


DIGITS: Final = span(0x30, 0x39)
LETTERS: Final = span(0x41, 0x5A) | span(0x61, 0x7A)
WORD: Final = DIGITS | LETTERS | 1 << 0x5F
SPACE: Final = of(b" \t\n\r\f\v")
SEPARATORS: Final = of(b" -./")
NEWLINE: Final = 1 << 0x0A


@cache
def members(mask: int) -> tuple[int, ...]:
    """Byte values of the set, ascending."""
    return tuple(value for value in range(256) if mask >> value & 1)


@cache
def folded(mask: int) -> tuple[int, ...]:
    """Values that the bytes of the set take with bit 5 set, as the scanner reads them."""
    return tuple(sorted({value | FOLD for value in members(mask)}))


def ignore_case(mask: int) -> int:
    """The set with the other case of each ASCII letter in it."""
    letters = mask & LETTERS
    upper, lower = letters & span(0x41, 0x5A), letters & span(0x61, 0x7A)
    return mask | upper << FOLD | lower >> FOLD


def single(mask: int) -> tuple[int, int] | None:
    """Literal byte and fold bit where the set is one byte, or two that differ in bit 5 only.

    A folded byte is given with bit 5 set. None for any other set.
    """
    values = members(mask) if mask.bit_count() in (1, 2) else ()
    if len(values) == 1:
        return values[0], 0
    if len(values) == 2 and values[0] ^ values[1] == FOLD:  # noqa: PLR2004 - a pair
        return values[1], FOLD
    return None


_NAMED: Final = {
    ALL: "any",
    DIGITS: "[0-9]",
    WORD: r"\w",
    ALL ^ WORD: r"\W",
    SPACE: r"\s",
    ALL ^ DIGITS: "[^0-9]",
}


def render(mask: int) -> str:
    """The set as a readable class: `[0-9A-F]`, complements as `[^…]`."""
    if mask in _NAMED:
        return _NAMED[mask]
    inverted = mask.bit_count() > 128  # noqa: PLR2004 - half of all bytes
    values = members(ALL ^ mask if inverted else mask)
    parts: list[str] = []
    index = 0
    while index < len(values):
        end = index
        while end + 1 < len(values) and values[end + 1] == values[end] + 1:
            end += 1
        parts.append(_character(values[index]))
        if end > index:
            parts.append(("-" if end > index + 1 else "") + _character(values[end]))
        index = end + 1
    return f"[{'^' if inverted else ''}{''.join(parts)}]"


def _character(value: int) -> str:
    if chr(value) in r"\]^-[":
        return "\\" + chr(value)
    return chr(value) if 0x20 < value < 0x7F else f"\\x{value:02x}"  # noqa: PLR2004 - ASCII
