"""Samples of packs, each whole, cut in two at every byte, and byte by byte.

A positive sample has to be found in all of these, a negative one in none: an open end waits
for the next byte, so that a cut makes no match of what is none.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from dlp.signatures.image import KernelImage
from dlp.signatures.pack import Pack, Signature
from dlp.trial.engine import Engine, Verdict

WHOLE: Final = "whole"
SINGLE: Final = "byte by byte"
# Samples longer than this are cut at every byte of either end, and at single places between.
EVERY: Final = 4096
APART: Final = 61  # of those places; no multiple of a stride, a word or a block
SHOWN: Final = 20  # failures of a sample that are told one by one

Cut = tuple[str, tuple[bytes, ...]]  # its name, and the segments


@dataclass(frozen=True, slots=True)
class Failure:
    """A sample that went wrong: `sample` is `must_match[2]`, `cut` how it was cut.

    `more`: further cuts of the sample that failed alike and are not listed.
    """

    signature: str
    sample: str
    cut: str
    expected: str
    verdict: str
    place: str
    more: int = 0

    def __str__(self) -> str:
        more = f", and {self.more} more cuts of it" if self.more else ""
        return (
            f"{self.place}: signature {self.signature}: {self.sample}, {self.cut}: "
            f"{self.verdict}, expected {self.expected}{more}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One signature's samples, tried. `streams`: how often anything was sent."""

    signature: str
    pack: str
    decided: str
    draft: bool
    samples: int
    streams: int
    seconds: float
    failures: tuple[Failure, ...]


def try_samples(engine: Engine, packs: Sequence[Pack], image: KernelImage) -> Iterator[Tried]:
    """Try every signature of the packs, in the order of the image compiled from them."""
    known = {one.id: (pack, one) for pack in packs for one in pack.signatures}
    for index, compiled in enumerate(image.signatures):
        pack, signature = known[compiled.id]
        started = time.monotonic()
        streams, failures = _tried(engine, index, signature)
        yield Tried(
            signature=signature.id,
            pack=pack.name,
            decided=compiled.decided.value,
            draft=signature.draft,
            samples=len(signature.must_match) + len(signature.must_not_match),
            streams=streams,
            seconds=round(time.monotonic() - started, 4),
            failures=tuple(failures),
        )


def _tried(engine: Engine, index: int, signature: Signature) -> tuple[int, list[Failure]]:
    streams, failures = 0, list[Failure]()
    for key, expected in (("must_match", Verdict.FOUND), ("must_not_match", Verdict.SILENT)):
        for number, sample in enumerate(getattr(signature, key)):
            trials = list(cuts(sample))
            verdicts = engine.judge(index, [segments for _, segments in trials])
            streams += len(trials)
            wrong = [
                (cut, verdict)
                for (cut, _), verdict in zip(trials, verdicts, strict=True)
                if verdict is not expected
            ]
            for told, (cut, verdict) in enumerate(wrong[:SHOWN], 1):
                failures.append(
                    Failure(
                        signature=signature.id,
                        sample=f"{key}[{number}]",
                        cut=cut,
                        expected=expected.value,
                        verdict=verdict.value,
                        place=str(signature.at(f"{key}[{number}]")),
                        more=len(wrong) - told if told == SHOWN else 0,
                    )
                )
    return streams, failures


def cuts(sample: bytes) -> Iterator[Cut]:
    """The ways in which a sample is sent."""
    yield WHOLE, (sample,)
    for place in places(len(sample)):
        yield f"cut at {place}", (sample[:place], sample[place:])
    if 1 < len(sample) <= EVERY:
        yield SINGLE, tuple(sample[at : at + 1] for at in range(len(sample)))


def places(length: int) -> list[int]:
    """Where a sample of that length is cut in two."""
    if length <= EVERY:
        return list(range(1, length))
    between = range(EVERY // 2, length - EVERY // 2, APART)
    return [*range(1, EVERY // 2), *between, *range(length - EVERY // 2, length)]
