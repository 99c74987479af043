"""The literal of a form: the fixed bytes that the kernel compares at once.

It may have gaps, which read as 0xff folded by 0xff, so that any byte fits; the steps
look at those. Fixed bytes thus take no byte class, of which there are few.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from dlp.signatures import byteset
from dlp.signatures.branches import Run
from dlp.signatures.forms import merged
from dlp.signatures.image import LITERAL

GAP: Final = 0xFF


@dataclass(frozen=True, slots=True)
class Literal:
    """Fixed bytes of a form: `fold` is 0x20 where case does not matter, GAP at a gap."""

    offset: int
    text: bytes
    fold: bytes


@lru_cache(maxsize=32768)
def literal(runs: tuple[Run, ...]) -> Literal:
    """The fixed bytes of the window of LITERAL bytes at fixed offsets that holds most of them.

    Bytes between them that are not fixed read as 0xff folded by 0xff: any byte fits.
    """
    fixed = [byteset.single(mask) for mask in _fixed(runs)]
    known = [index for index, byte in enumerate(fixed) if byte]
    best: list[int] = []
    for place, first in enumerate(known):
        inside = [index for index in known[place : place + LITERAL] if index < first + LITERAL]
        if len(inside) > len(best):
            best = inside
    if not best:
        return Literal(0, b"", b"")
    window = [byte or (0xFF, 0xFF) for byte in fixed[best[0] : best[-1] + 1]]
    return Literal(best[0], bytes(byte for byte, _ in window), bytes(fold for _, fold in window))


@lru_cache(maxsize=32768)
def steps(runs: tuple[Run, ...]) -> tuple[Run, ...]:
    """The runs with each fixed byte of the literal taken by a run of any bytes."""
    known = literal(runs)
    result: list[Run] = []
    offset = 0
    for run in runs:
        if run.min != run.max or offset >= known.offset + len(known.text):
            result.append(run)
            offset += known.offset + len(known.text) + run.max
            continue
        for _ in range(run.min):
            place = offset - known.offset
            inside = 0 <= place < len(known.text) and known.fold[place] != GAP
            result.append(Run(byteset.ALL if inside else run.mask, 1, 1))
            offset += 1
    return merged(tuple(result))


def _fixed(runs: tuple[Run, ...]) -> list[int]:
    """Sets of the bytes before the first run of variable length."""
    masks: list[int] = []
    for run in runs:
        if run.min != run.max:
            break
        masks.extend([run.mask] * run.min)
    return masks
