"""The kernel's table of keywords: which words of a text are looked at, and whose they are.

Made of the signatures whose proximity the kernel decides. Keywords are numbered in the order of
their first two bytes, so that those that begin alike stand together; each occurs once, and a
list of them with a distance occurs once too, however many signatures name it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from dlp.errors import PackError
from dlp.signatures import proximity
from dlp.signatures.proximity import Proximity

WORDS: Final = 1024
LISTS: Final = 255  # row 0 is none
ALIKE: Final = 255  # keywords that begin with the same two bytes
SPAN: Final = 126
_SHORTEST: Final = 2


@dataclass(frozen=True, slots=True)
class KeywordTable:
    """`words` in the order of their numbers; `lists`: row 1 on, by what a signature asks for."""

    words: tuple[bytes, ...]
    lists: tuple[Proximity, ...]

    def row(self, asked: Proximity | None) -> int:
        """Row of a signature's list; 0 where it asks for no keyword."""
        return 0 if asked is None else self.lists.index(asked) + 1


NO_KEYWORDS: Final = KeywordTable((), ())


def start(word: bytes) -> int:
    """What a word is first told apart by: the low five bits of its first two bytes."""
    return (word[0] & 31) << 5 | word[1] & 31


def keyword_table(asked: Iterable[Proximity]) -> KeywordTable:
    """Number the keywords of what signatures ask for.

    Raises PackError where the kernel's tables have no room.
    """
    lists = tuple(dict.fromkeys(asked))
    distinct = {word for each in lists for word in each.keywords}
    words = tuple(sorted(distinct, key=lambda word: (start(word), word)))
    alike = Counter(map(start, words))
    for number, most, what in (
        (len(words), WORDS, "different keywords"),
        (len(lists), LISTS, "different keyword lists"),
        (max(alike.values(), default=0), ALIKE, "keywords that begin alike"),
    ):
        if number > most:
            raise PackError(
                f"{number} {what}, the kernel has room for {most}",
                remedy="write keyword lists alike in all signatures, or enable fewer packs",
            )
    return KeywordTable(words, lists)


def undecided(asked: Proximity, span: int) -> str:
    """Why the kernel cannot decide a proximity; empty where it can.

    Args:
        span: most bytes of a match.
    """
    if asked.side != "before":
        return "its keyword may stand behind the value"
    size = proximity.longest(asked) + asked.distance + span
    if size > SPAN:
        return f"keyword, distance and value are up to {size} bytes, the kernel knows {SPAN}"
    for word in asked.keywords:
        if len(word) < _SHORTEST or not word[:1].isalpha():
            return "one of its keywords does not begin with a letter and have another character"
    return ""
