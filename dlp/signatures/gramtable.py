"""The table of q-grams as it fills: which shapes each gram may announce.

A gram has few entries, so shapes that would crowd one are given other anchors; where
none has room the signature is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from dlp.errors import PackError
from dlp.signatures import anchors
from dlp.signatures.anchors import Anchor
from dlp.signatures.forms import Form
from dlp.signatures.image import (
    ANCHORS,
    ANCHORS_PER_GRAM,
    BLOOM_WORDS,
    BLOOM_WORDS_MOST,
    Shape,
    bloom_bits,
)

GRAMS_A_WORD: Final = 2
# More grams than this make the Bloom filter pass what it should not.
WELL_FILLED: Final = GRAMS_A_WORD * BLOOM_WORDS_MOST


class GramTable:
    """Folded grams with their (shape, offset) entries, at most ANCHORS_PER_GRAM each."""

    def __init__(self, stride: int) -> None:
        self.stride = stride
        self.entries: dict[bytes, list[tuple[int, int]]] = {}
        self._count = 0

    def add(self, form: Form, shape: int, *, spare: bool = False) -> tuple[tuple[bytes, int], ...]:
        """Enter a form's anchors, the cheapest that have room.

        Args:
            spare: refuse grams that would fill the table beyond WELL_FILLED.

        Raises PackError; nothing is entered then.
        """
        before = len(self.entries)
        choices = anchors.candidates(form, self.stride)
        if choices is None:
            raise PackError(
                f"no anchor at stride {self.stride}: {anchors.missing(form, self.stride)}",
                remedy="allow a smaller stride, or begin the regex with more fixed bytes",
            )
        result: list[tuple[bytes, int]] = []
        for options in choices:
            chosen = next(filter(None, map(self._room, options)), None)
            if chosen is None:
                self.remove(shape, result)
                raise PackError(
                    f"its q-grams are shared by more than {ANCHORS_PER_GRAM} shapes",
                    remedy="join signatures of one prefix, or make their prefixes differ",
                )
            offset, grams = chosen
            for gram in grams:
                self.entries.setdefault(gram, []).append((shape, offset))
                result.append((gram, offset))
                self._count += 1
        if spare and len(self.entries) > max(before, WELL_FILLED):
            self.remove(shape, result)
            raise PackError(f"more than {WELL_FILLED} q-grams", remedy="enable fewer packs")
        if self._count > ANCHORS:
            self.remove(shape, result)
            raise PackError(f"more than {ANCHORS} anchors", remedy="enable fewer packs")
        return tuple(sorted(result, key=lambda entry: (entry[1], entry[0])))

    def bloom(self) -> tuple[int, ...]:
        """The words of the Bloom filter: as few as keep false positives well below 1 %."""
        size = BLOOM_WORDS
        while size < BLOOM_WORDS_MOST and len(self.entries) > GRAMS_A_WORD * size:
            size *= 2
        words = [0] * size
        for gram in self.entries:
            word, one, two = bloom_bits(gram, size)
            words[word] |= 1 << one | 1 << two
        return tuple(words)

    def frozen(self) -> dict[bytes, tuple[tuple[int, int], ...]]:
        """The entries, in the order of the grams."""
        return {gram: tuple(sorted(self.entries[gram])) for gram in sorted(self.entries)}

    def remove(self, shape: int, entered: Iterable[tuple[bytes, int]]) -> None:
        """Take out what was entered of a shape."""
        for gram, offset in entered:
            self.entries[gram].remove((shape, offset))
            self._count -= 1
            if not self.entries[gram]:
                del self.entries[gram]

    def _room(self, anchor: Anchor) -> tuple[int, tuple[bytes, ...]] | None:
        """Offset and grams of an anchor that all have room."""
        grams = anchor.grams()
        if any(len(self.entries.get(gram, ())) >= ANCHORS_PER_GRAM for gram in grams):
            return None
        return anchor.offset, grams


def entries(shapes: Sequence[Shape]) -> dict[bytes, tuple[tuple[int, int], ...]]:
    """What `frozen` gave of the table from which these shapes have their grams."""
    found: dict[bytes, list[tuple[int, int]]] = {}
    for number, shape in enumerate(shapes):
        for gram, offset in shape.grams:
            found.setdefault(gram, []).append((number, offset))
    return {gram: tuple(sorted(found[gram])) for gram in sorted(found)}
