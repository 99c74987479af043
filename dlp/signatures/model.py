"""The kernel's matcher in plain Python, run on an image: what bpf/ finds, without its bounds.

Reads the tables only (Bloom filter, anchors, lane, classes, shapes), never a regex, so that it
judges what the compiler produced. Where a host cannot load programs, signatures are tested by
it; it counts what the kernel counts, so that an author sees what an anchor costs.

A stream is scanned segment by segment behind its last TAIL bytes, as bpf/scan.h does it: places
are sampled from the tail's first byte on, and blocks of a tail in which nothing was flagged
are passed over.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from dlp.model import DecidedBy
from dlp.signatures.image import TAIL, Check, ImageSignature, KernelImage, Shape, bloom_bits
from dlp.signatures.proximity import is_near
from dlp.signatures.validators import VALIDATORS

BLOCK: Final = 48
SKIPPED: Final = 2 * BLOCK
LOOK_BACK: Final = 24
WITHIN: Final = 16
STRETCH: Final = 7
LONG: Final = 15
CHUNK: Final = 16384
_FOLD: Final = bytes(byte | 0x20 for byte in range(256))
_SEPARATORS: Final = b" -./"
_GROUP: Final = re.compile(rb"(?<![0-9])[0-9]+")
# Digits and single separators, STRETCH of them, from each place where they begin.
_STRETCHES: Final = re.compile(rb"(?=(?:[0-9]|(?<=[0-9])[ ./-]|[ ./-](?=[0-9])){%d})" % STRETCH)


class Hit(NamedTuple):
    """A shape that fits, from `start` to `end`; `open`: the byte behind it decided."""

    shape: int
    start: int
    end: int
    open: bool


@dataclass(slots=True)
class Counts:
    """What a scan cost, as the kernel counts it.

    Attributes:
        bytes: scanned.
        grams: sampled q-grams that passed the Bloom filter.
        groups: digit groups looked at.
        candidates: shapes run, by signature; confirmed: those that hold.
        failed: shapes that fitted and whose checksum or keyword did not hold, by signature.
        work: bytes that shapes of a signature looked at, and one for each candidate.
    """

    bytes: int = 0
    grams: int = 0
    groups: int = 0
    candidates: Counter[int] = field(default_factory=Counter)
    confirmed: Counter[int] = field(default_factory=Counter)
    failed: Counter[int] = field(default_factory=Counter)
    work: Counter[int] = field(default_factory=Counter)


class Model:
    """One image, ready to be run on bytes.

    Args:
        only: indices of the signatures whose shapes are run; all by default.
        counts: where to count what is done; nothing is counted without.
    """

    def __init__(
        self,
        image: KernelImage,
        *,
        only: Collection[int] | None = None,
        counts: Counts | None = None,
    ) -> None:
        self.image = image
        self.counts = counts
        chosen = range(len(image.signatures)) if only is None else only
        self.wanted = frozenset(
            index for number in chosen for index in image.signatures[number].shapes
        )
        self._in_lane = any(image.shapes[index].lane for index in self.wanted)
        self._sampled: dict[bytes, tuple[bool, tuple[tuple[int, int], ...]]] = {}

    def stream(self, segments: Iterable[bytes], *, triggers: bool = False) -> Iterator[Hit]:
        """Hits whose checksum holds in a stream cut into segments, at offsets of the stream.

        An open end is decided by the next segment's first byte; behind the last it reads as
        NUL. A place can be told again with a later segment, as it grows.
        """
        pieces = [piece for piece in segments if piece]
        tail, base, skip = bytes(TAIL), 0, True
        for number, piece in enumerate(pieces):
            behind = pieces[number + 1][0] if number + 1 < len(pieces) else 0
            buffer = tail + piece
            flags = self._flags(buffer)
            for hit in self._hits(buffer, flags, SKIPPED if skip else 0, behind):
                shape = self.image.shapes[hit.shape]
                if hit.end > TAIL and shape.trigger is triggers and self._holds(buffer, hit):
                    shift = base - TAIL
                    yield Hit(hit.shape, hit.start + shift, hit.end + shift, hit.open)
            skip = not any(flags[-4:])
            tail, base = buffer[-TAIL:], base + len(piece)

    def hits(self, data: bytes, phase: int = 0) -> Iterator[tuple[Shape, int, int]]:
        """Every shape that is found and fits in one segment, with start and end.

        `phase` shifts the data against sampled places and words. Checksums are not asked.
        """
        origin = TAIL + phase
        buffer = bytes(origin) + data
        for hit in self._hits(buffer, self._flags(buffer) if self._in_lane else (), 0, 0):
            if hit.start >= origin:
                yield self.image.shapes[hit.shape], hit.start - origin, hit.end - origin

    def found(self, data: bytes, phase: int = 0) -> dict[str, set[int]]:
        """Starts of hits in one segment of a fresh stream, by signature id."""
        hits: dict[str, set[int]] = {}
        for shape, start, end in self.hits(data, phase):
            signature = self.image.signatures[shape.signature]
            if not shape.trigger and accepted(signature, data, start, end):
                hits.setdefault(signature.id, set()).add(start)
        return hits

    def triggered(self, data: bytes, phase: int = 0) -> dict[str, dict[int, int]]:
        """Starts of what begins a hold by signature id, each with the end of the shortest."""
        hits: dict[str, dict[int, int]] = {}
        for shape, start, end in self.hits(data, phase):
            signature = self.image.signatures[shape.signature]
            if shape.trigger or signature.decided is DecidedBy.INSPECTOR:
                ends = hits.setdefault(signature.id, {})
                ends[start] = min(end, ends.get(start, end))
        return hits

    # -- one buffer: a tail and a segment ------------------------------------------

    def _hits(self, buffer: bytes, flags: Sequence[int], first: int, behind: int) -> Iterator[Hit]:
        if self.counts is not None:
            self.counts.bytes += len(buffer) - TAIL
        found = dict.fromkeys(self._gram_candidates(buffer, first))
        found.update(dict.fromkeys(self._digit_candidates(buffer, flags, first)))
        for shape, start in found:
            hit, looked = self._fit(shape, buffer, start, behind) if start > 0 else (None, 0)
            if self.counts is not None:
                self.counts.candidates[self.image.shapes[shape].signature] += 1
                self.counts.work[self.image.shapes[shape].signature] += 1 + looked
            if hit is not None:
                yield hit

    def _holds(self, buffer: bytes, hit: Hit) -> bool:
        shape = self.image.shapes[hit.shape]
        signature = self.image.signatures[shape.signature]
        holds = shape.trigger or accepted(signature, buffer, hit.start, hit.end)
        if self.counts is not None:
            kind = self.counts.confirmed if holds else self.counts.failed
            kind[shape.signature] += 1
        return holds

    def _flags(self, buffer: bytes) -> list[int]:
        """Which blocks hold a sampled gram that passes the filter (1) or a digit word (2)."""
        flags = [0] * (len(buffer) // BLOCK + 2)
        folded = (buffer + bytes(4)).translate(_FOLD)
        for place in range(0, len(buffer), self.image.stride):
            if self._sample(folded[place : place + 4])[0]:
                flags[place // BLOCK] |= 1
        for block in range(0, len(buffer), BLOCK):
            if any(map(word_flagged, _words(buffer, block))):
                flags[block // BLOCK] |= 2
        return flags[: (len(buffer) + BLOCK - 1) // BLOCK]

    def _sample(self, gram: bytes) -> tuple[bool, tuple[tuple[int, int], ...]]:
        """Whether a folded gram passes the filter, and its entries in the table."""
        known = self._sampled.get(gram)
        if known is None:
            word, one, two = bloom_bits(gram, len(self.image.bloom))
            passes = bool(self.image.bloom[word] >> one & self.image.bloom[word] >> two & 1)
            entries = self.image.anchors.get(gram, ()) if passes else ()
            known = passes, tuple(entry for entry in entries if entry[0] in self.wanted)
            self._sampled[gram] = known
        return known

    def _gram_candidates(self, buffer: bytes, first: int) -> Iterator[tuple[int, int]]:
        """(shape, start) for every sampled gram that passes the filter and stands in the table."""
        folded = (buffer + bytes(4)).translate(_FOLD)
        for place in range(first, len(buffer), self.image.stride):
            passes, entries = self._sample(folded[place : place + 4])
            if passes and self.counts is not None:
                self.counts.grams += 1
            for shape, offset in entries:
                yield shape, place - offset

    def _digit_candidates(
        self, buffer: bytes, flags: Sequence[int], first: int
    ) -> Iterator[tuple[int, int]]:
        """(shape, start) for every digit group that the lane looks at."""
        if not any(flag & 2 for flag in flags):
            return
        stretches = [match.start() for match in _STRETCHES.finditer(buffer)]
        at = 0
        for group in _GROUP.finditer(buffer):
            start = group.start()
            while at < len(stretches) and stretches[at] < start:
                at += 1
            if at == len(stretches) or start < first:
                continue
            if stretches[at] > start + WITHIN or not _looked_at(flags, start):
                continue
            if self.counts is not None:
                self.counts.groups += 1
            for shape in lane_shapes(self.image, buffer, start, group.end() - start):
                if shape in self.wanted:
                    yield shape, start - self.image.shapes[shape].lane_offset

    def _fit(self, index: int, buffer: bytes, start: int, behind: int) -> tuple[Hit | None, int]:
        """The hit of a shape at `start`, and how many bytes were looked at to tell.

        `behind` stands behind the buffer's last byte.
        """
        shape, classes = self.image.shapes[index], self.image.classes
        at = start + shape.literal_offset
        literal = buffer[at : at + len(shape.literal)]
        if len(literal) < len(shape.literal):
            return None, len(literal)
        for number, byte in enumerate(literal, 1):
            if byte | shape.fold[number - 1] != shape.literal[number - 1]:
                return None, number
        looked = len(literal)
        if shape.left and buffer[start - 1] not in classes[shape.left]:
            return None, looked
        place = start
        for step in shape.steps:
            members = classes[step.cls]
            most = min(place + step.max, len(buffer))
            stop = place
            while stop < most and buffer[stop] in members:
                stop += 1
            if stop - place < step.min:
                return None, looked + stop - start
            place = stop
        looked += place - start
        ends = place == len(buffer)
        following = behind if ends else buffer[place]
        if shape.right and following not in classes[shape.right]:
            return None, looked
        return Hit(index, start, place, ends and shape.right != 0), looked


def found(image: KernelImage, data: bytes, phase: int = 0) -> dict[str, set[int]]:
    """As `Model.found`, for an image that is asked once."""
    return Model(image).found(data, phase)


def triggered(image: KernelImage, data: bytes, phase: int = 0) -> dict[str, dict[int, int]]:
    """As `Model.triggered`, for an image that is asked once."""
    return Model(image).triggered(data, phase)


def word_flagged(word: bytes) -> bool:
    """The test on an aligned word of 8 bytes: two adjacent pairs may be digits."""
    number = int.from_bytes(word, "little")
    number = ((number | number >> 8) & 0x00F0_00F0_00F0_00F0) ^ 0x0030_0030_0030_0030
    return not (number & 0x00F0_00F0 and number >> 16 & 0x00F0_00F0 and number >> 32 & 0x00F0_00F0)


def _words(buffer: bytes, block: int) -> Iterator[bytes]:
    return (buffer[at : at + 8] for at in range(block, min(block + BLOCK, len(buffer)), 8))


def _looked_at(flags: Sequence[int], start: int) -> bool:
    """Whether the lane makes masks of where a group starts: its block, or the next, is flagged."""
    block, inside = divmod(start, BLOCK)
    if flags[block] & 2:
        return True
    return inside >= BLOCK - LOOK_BACK and block + 1 < len(flags) and bool(flags[block + 1] & 2)


def lane_shapes(image: KernelImage, buffer: bytes, start: int, length: int) -> Iterator[int]:
    """Shapes that the lane's tables select at a digit group of `length` digits."""
    lane = image.lane
    digit = buffer[start] & 15
    bits = lane.before[buffer[start - 1] if start else 0]
    if length >= LONG:
        bits &= lane.first[LONG * 32 + digit] | lane.first[LONG * 32 + 16 + digit]
    else:
        behind = buffer[start + length] if start + length < len(buffer) else 0
        separated = behind in _SEPARATORS
        group = _GROUP.match(buffer, start + length + 1) if separated else None
        following = group.end() - group.start() if group else 0
        bits &= lane.first[length * 32 + separated * 16 + digit]
        bits &= lane.after[behind] & lane.second[min(following, LONG)]
    number = 0
    while bits >> number:
        if bits >> number & 1:
            yield lane.shapes[number]
        number += 1


def accepted(signature: ImageSignature, data: bytes, start: int, end: int) -> bool:
    """Whether checksum and keyword hold for what a shape fits, as far as the kernel decides them.

    What it does not decide holds.
    """
    if signature.check is not Check.NONE and not VALIDATORS[signature.validator](data[start:end]):
        return False
    return signature.near is None or is_near(data, start, end, signature.near)
