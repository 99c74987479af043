"""Whether a keyword stands near a value: the one definition, for samples, inspector and compiler.

Pure: bytes and indices in, yes or no out. A keyword is compared in lower case (ASCII) and stands
alone: no ASCII letter or digit right before or behind it. At most `distance` bytes stand between
it and the value; it does not overlap the value.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_ALONE = rb"(?<![0-9A-Za-z])(?:%s)(?![0-9A-Za-z])"


@dataclass(frozen=True, slots=True)
class Proximity:
    """Words one of which must stand near a value.

    A keyword is compared in lower case (ASCII) and stands alone: no letter or digit right
    before or behind it.

    Attributes:
        keywords: in lower case, no two alike.
        distance: most bytes between keyword and value.
        side: where the keyword stands: `before` the value, `after` it, or `either`.
    """

    keywords: tuple[bytes, ...]
    distance: int
    side: str


@functools.cache
def _pattern(keyword: bytes) -> re.Pattern[bytes]:
    return re.compile(_ALONE % re.escape(keyword), re.IGNORECASE)


@functools.cache
def _any(keywords: tuple[bytes, ...]) -> re.Pattern[bytes]:
    return re.compile(_ALONE % b"|".join(map(re.escape, keywords)), re.IGNORECASE)


def longest(proximity: Proximity) -> int:
    """Bytes of its longest keyword."""
    return max(map(len, proximity.keywords))


def reach(proximity: Proximity) -> int:
    """Bytes on a side of a value that decide: keyword, distance, and the byte beyond."""
    return longest(proximity) + proximity.distance + 1


def is_near(
    data: bytes | bytearray, start: int, end: int, proximity: Proximity, *, ends: bool = True
) -> bool:
    """Whether a keyword stands near data[start:end].

    Args:
        ends: nothing follows the data. Else a keyword that ends with them does not count yet, as
            a letter could follow.
    """
    return (proximity.side != "after" and _before(data, start, proximity)) or (
        proximity.side != "before" and _behind(data, end, proximity, ends=ends)
    )


def is_decided(size: int, end: int, proximity: Proximity) -> bool:
    """Whether more bytes behind the first `size` can change what `is_near` says of a value."""
    return proximity.side == "before" or size >= end + reach(proximity)


def _before(data: bytes | bytearray, start: int, proximity: Proximity) -> bool:
    # One byte more on either side: what stands there tells whether the keyword is alone.
    low = max(0, start - reach(proximity))
    return any(
        0 <= start - (low + end) <= proximity.distance
        for _, end in _places(data[low : start + 1], proximity.keywords)
    )


def _behind(data: bytes | bytearray, end: int, proximity: Proximity, *, ends: bool) -> bool:
    low = max(0, end - 1)
    return any(
        0 <= low + first - end <= proximity.distance and (ends or low + last < len(data))
        for first, last in _places(data[low : end + reach(proximity)], proximity.keywords)
    )


def _places(part: bytes | bytearray, keywords: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Start and end of each keyword that stands alone; of each, as one may lie in another."""
    if _any(tuple(keywords)).search(part) is None:
        return
    for keyword in keywords:
        at = 0
        while (found := _pattern(keyword).search(part, at)) is not None:
            yield found.span()
            at = found.start() + 1
