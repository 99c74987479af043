"""Anchors: the q-grams by which the sampled scan finds a form.

The scan reads one folded 4-gram in every `stride` bytes, at a phase nobody knows. So
a form needs, for each remainder of the offset modulo the stride, one place whose
4-gram is known: fixed bytes, small classes, or at offset -1 the byte before the
match where a left boundary bounds it. Every variant of that gram is listed. For each
remainder the place with the least cost is taken: the candidates per MB that the
frequency model expects, and a little for each variant, as the Bloom filter fills.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from dlp.signatures import byteset, frequency
from dlp.signatures.forms import Form

GRAM: Final = 4
REACH: Final = 60
# Where nothing in a stream's tail was flagged, the kernel looks again at its last 32 bytes
# only (bpf/scan.h): with one anchor of a form cut by the segment's end, the others, of
# which the next scan may sample any, must begin in those.
SPREAD: Final = 28
VARIANTS: Final = 420
CHEAP: Final = 40
WORDED: Final = 240
SELDOM: Final = 150  # per MB
PER_VARIANT: Final = 0.5
MEGABYTE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Anchor:
    """A place of a form: offset of the gram from the start, the folded values of its bytes.

    `rate` is how many per MB of ordinary traffic a stride of 1 would see.
    """

    offset: int
    sets: tuple[tuple[int, ...], ...]
    rate: float

    @property
    def variants(self) -> int:
        return math.prod(map(len, self.sets))

    def grams(self) -> tuple[bytes, ...]:
        return tuple(map(bytes, itertools.product(*self.sets)))


@lru_cache(maxsize=32768)
def candidates(form: Form, stride: int) -> tuple[tuple[Anchor, ...], ...] | None:
    """For each remainder the anchors that serve it, the cheapest first.

    All lie within SPREAD of one another. None where a remainder has none: the form cannot
    be found at this stride.
    """
    known = [(_cost(one, stride), one) for one in places(form)]
    best: list[tuple[float, Anchor]] = []
    least = math.inf
    for low, (_, first) in enumerate(known):
        near = [one for one in known[low:] if one[1].offset <= first.offset + SPREAD]
        cheapest = [math.inf] * stride
        for cost, anchor in near:
            remainder = anchor.offset % stride
            cheapest[remainder] = min(cost, cheapest[remainder])
        if (whole := sum(cheapest)) < least:
            best, least = near, whole
    if not best:
        return None
    best.sort(key=lambda one: (one[0], one[1].offset))
    return tuple(
        tuple(anchor for _, anchor in best if anchor.offset % stride == remainder)
        for remainder in range(stride)
    )


def cheap(form: Form, stride: int) -> bool:
    """Whether few q-grams find the form, so that it need not take room in the digit lane.

    Behind a word some more are few, where the model says that it is rare.
    """
    found = candidates(form, stride)
    if found is None:
        return False
    variants = sum(choices[0].variants for choices in found)
    rate = sum(choices[0].rate for choices in found) / stride
    return variants <= CHEAP or (variants <= WORDED and rate <= SELDOM and _worded(form))


def _worded(form: Form) -> bool:
    """Whether a form begins with a word: its first three bytes are fixed letters."""
    first = fixed_bytes(form)[1:4]
    return len(first) == 3 and all(  # noqa: PLR2004 - letters
        not mask & ~byteset.LETTERS and len(byteset.folded(mask)) == 1 for mask in first
    )


@lru_cache(maxsize=32768)
def places(form: Form) -> tuple[Anchor, ...]:
    """Every usable place of a form."""
    sets = [byteset.folded(mask) for mask in fixed_bytes(form)]
    return tuple(
        Anchor(index - 1, window, MEGABYTE * _share(window))
        for index in range(len(sets) - GRAM + 1)
        if math.prod(map(len, window := tuple(sets[index : index + GRAM]))) <= VARIANTS
    )


def fixed_bytes(form: Form) -> list[int]:
    """Sets of the bytes at fixed offsets, from -1 on."""
    masks = [form.left]
    for run in form.runs:
        masks.extend([run.mask] * min(run.min, REACH))
        if run.min != run.max or len(masks) > REACH:
            break
    return masks[: REACH + 1]


def missing(form: Form, stride: int) -> str:
    """What a form would need to be found at this stride."""
    best = run = 0
    for mask in fixed_bytes(form)[1:]:
        run = run + 1 if byteset.single(mask) else 0
        best = max(best, run)
    need = stride + GRAM - 1 - best
    return f"needs {max(need, 1)} more fixed byte{'s' if need > 1 else ''} in a row"


@lru_cache(maxsize=65536)
def _share(window: tuple[tuple[int, ...], ...]) -> float:
    return frequency.share(window)


def _cost(anchor: Anchor, stride: int) -> float:
    return anchor.rate / stride + PER_VARIANT * anchor.variants
