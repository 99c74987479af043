"""The kernel's matcher in plain Python, run on an image: what bpf/ does, without its bounds.

Reads the tables only (Bloom filter, anchors, lane, classes, shapes), never a regex, so
that it judges what the compiler produced. Data is one segment of a fresh stream.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from dlp.model import DecidedBy
from dlp.signatures.image import TAIL, Check, KernelImage, Shape, bloom_bits
from dlp.signatures.validators import VALIDATORS

BLOCK = 48
LOOK_BACK = 24
WITHIN = 16
STRETCH = 7
LONG = 15
_DIGITS = b"0123456789"
_SEPARATORS = b" -./"


def found(image: KernelImage, data: bytes, phase: int = 0) -> dict[str, set[int]]:
    """Starts of hits by signature id; `phase` shifts the data against samples and words."""
    hits: dict[str, set[int]] = {}
    for shape, start, end in _fits(image, data, phase):
        signature = image.signatures[shape.signature]
        if not shape.trigger and checked(signature.check, data[start:end]):
            hits.setdefault(signature.id, set()).add(start)
    return hits


def triggered(image: KernelImage, data: bytes, phase: int = 0) -> dict[str, dict[int, int]]:
    """Starts of what begins a hold by signature id, each with the end of the shortest."""
    hits: dict[str, dict[int, int]] = {}
    for shape, start, end in _fits(image, data, phase):
        signature = image.signatures[shape.signature]
        if shape.trigger or signature.decided is DecidedBy.INSPECTOR:
            ends = hits.setdefault(signature.id, {})
            ends[start] = min(end, ends.get(start, end))
    return hits


def _fits(image: KernelImage, data: bytes, phase: int) -> Iterator[tuple[Shape, int, int]]:
    """Every shape that is found and fits, with start and end in the data."""
    buffer = bytes(TAIL + phase) + data
    origin = TAIL + phase
    for shape, start in {*gram_candidates(image, buffer), *digit_candidates(image, buffer)}:
        if start < origin:
            continue
        end = shape_end(image, image.shapes[shape], buffer, start)
        if end is not None:
            yield image.shapes[shape], start - origin, end - origin


def gram_candidates(image: KernelImage, buffer: bytes) -> Iterator[tuple[int, int]]:
    """(shape, start) for every sampled gram that passes the filter and stands in the table."""
    padded = buffer + bytes(4)
    for place in range(0, len(buffer), image.stride):
        gram = bytes(byte | 0x20 for byte in padded[place : place + 4])
        word, one, two = bloom_bits(gram, len(image.bloom))
        if image.bloom[word] >> one & image.bloom[word] >> two & 1:
            for shape, offset in image.anchors.get(gram, ()):
                yield shape, place - offset


def digit_candidates(image: KernelImage, buffer: bytes) -> Iterator[tuple[int, int]]:
    """(shape, start) for every digit group that the lane looks at."""
    flags = [
        any(word_flagged(buffer[at : at + 8]) for at in range(block, block + BLOCK, 8))
        for block in range(0, len(buffer) + BLOCK, BLOCK)
    ]
    for start in group_starts(buffer):
        block, inside = divmod(start, BLOCK)
        if flags[block] or (flags[block + 1] and inside >= BLOCK - LOOK_BACK):
            for shape in lane_shapes(image, buffer, start):
                yield shape, start - image.shapes[shape].lane_offset


def word_flagged(word: bytes) -> bool:
    """The test on an aligned word of 8 bytes: two adjacent pairs may be digits."""
    word = word.ljust(8, b"\0")
    pairs = [(word[at] | word[at + 1]) & 0xF0 == 0x30 for at in range(0, 8, 2)]
    return any(one and two for one, two in itertools.pairwise(pairs))


def group_starts(buffer: bytes) -> Iterator[int]:
    """First bytes of digit groups near enough before a stretch."""
    padded = buffer + bytes(WITHIN + STRETCH + 1)
    for start in range(len(buffer)):
        if padded[start] in _DIGITS and (start == 0 or padded[start - 1] not in _DIGITS):
            near = range(start, start + WITHIN + 1)
            if any(stretches(padded, at) for at in near):
                yield start


def stretches(padded: bytes, at: int) -> bool:
    """Whether digits and single separators stand here for STRETCH bytes."""
    return all(
        padded[place] in _DIGITS
        or (
            padded[place] in _SEPARATORS
            and (padded[place - 1] in _DIGITS or padded[place + 1 : place + 2] in _each_digit())
        )
        for place in range(at, min(at + STRETCH, len(padded)))
    )


def _each_digit() -> tuple[bytes, ...]:
    return tuple(bytes([digit]) for digit in _DIGITS)


def lane_shapes(image: KernelImage, buffer: bytes, start: int) -> Iterator[int]:
    """Shapes that the lane's tables select at a digit group."""
    lane = image.lane
    length = _group(buffer, start)
    digit = buffer[start] & 15
    bits = lane.before[buffer[start - 1]]
    if length >= LONG:
        bits &= lane.first[LONG * 32 + digit] | lane.first[LONG * 32 + 16 + digit]
    else:
        behind = (buffer + b"\0")[start + length]
        separated = behind in _SEPARATORS
        following = _group(buffer, start + length + 1) if separated else 0
        bits &= lane.first[length * 32 + separated * 16 + digit]
        bits &= lane.after[behind] & lane.second[min(following, LONG)]
    for number, shape in enumerate(lane.shapes):
        if bits >> number & 1:
            yield shape


def _group(buffer: bytes, start: int) -> int:
    length = 0
    while start + length < len(buffer) and buffer[start + length] in _DIGITS:
        length += 1
    return length


def shape_end(image: KernelImage, shape: Shape, buffer: bytes, start: int) -> int | None:
    """End of the match of a shape at `start`, or None."""
    padded = buffer + bytes(64)
    at = start + shape.literal_offset
    for index, (byte, fold) in enumerate(zip(shape.literal, shape.fold, strict=True)):
        if at + index >= len(padded) or padded[at + index] | fold != byte:
            return None
    if buffer[start - 1] not in image.classes[shape.left]:
        return None
    place = start
    for step in shape.steps:
        taken = 0
        while taken < step.max and place < len(buffer) and buffer[place] in image.classes[step.cls]:
            place, taken = place + 1, taken + 1
        if taken < step.min:
            return None
    return place if padded[place] in image.classes[shape.right] else None


def checked(check: Check, value: bytes) -> bool:
    """Whether the checksum holds; without one it does."""
    return check is Check.NONE or VALIDATORS[check.name.lower()](value)
