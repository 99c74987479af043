"""The model of the kernel's matcher as an engine, for hosts where no program can be loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from dlp.model import DecidedBy
from dlp.signatures import masking
from dlp.signatures.image import TAIL, KernelImage
from dlp.signatures.model import CHUNK, Counts, Hit, Model
from dlp.trial.engine import Match, Reading, Segments, Stream, Verdict
from dlp.trial.inspection import Inspection, Piece

_EDGE: Final = 8


class ModelEngine:
    """One image on the model; `counts` says where to count what a reading costs."""

    name = "model"

    def __init__(self, image: KernelImage, counts: Counts | None = None) -> None:
        self.image = image
        self._all = Model(image, counts=counts)
        self._inspection = Inspection(image)
        self._one: tuple[int, Model, Inspection] | None = None

    def judge(self, signature: int, streams: Sequence[Segments]) -> list[Verdict]:
        """See Engine."""
        if self._one is None or self._one[0] != signature:
            only = (signature,)
            self._one = signature, Model(self.image, only=only), Inspection(self.image, only)
        _, model, inspection = self._one
        inspected = self.image.signatures[signature].decided is DecidedBy.INSPECTOR
        verdicts = []
        for segments in streams:
            found = any(True for _ in model.stream(segments))
            if found and inspected:
                found = bool(inspection.read(_mirrored(model.stream(segments), segments)))
            verdicts.append(Verdict.FOUND if found else Verdict.SILENT)
        return verdicts

    def read(self, streams: Sequence[Stream]) -> list[Reading]:
        """See Engine. A value that repeats in a stream is told once."""
        return [Reading(tuple(sorted(self._read(stream)))) for stream in streams]

    def close(self) -> None:
        """Nothing is open."""

    def _read(self, stream: Stream) -> Iterator[Match]:
        if stream.datagrams:
            for number, data in enumerate(stream.segments):
                yield from self._matches([data], number)
            return
        whole = b"".join(stream.segments)
        yield from self._matches([whole[at : at + CHUNK] for at in range(0, len(whole), CHUNK)], 0)

    def _matches(self, segments: Segments, number: int) -> Iterator[Match]:
        """Each value once; of the values at one place that which was found first."""
        data = b"".join(segments)
        # An expression that begins with NUL can begin before the stream.
        hits = [hit for hit in self._all.stream(segments) if hit.start >= 0]
        places: set[tuple[int, int]] = set()
        values: set[tuple[int, bytes]] = set()
        prefiltered = []
        for hit in hits:
            index = self.image.shapes[hit.shape].signature
            signature = self.image.signatures[index]
            if signature.decided is DecidedBy.INSPECTOR:
                prefiltered.append(hit)
                continue
            value = masking.normalise(data[hit.start : hit.end], signature.normalise)
            if (index, hit.start) in places or (index, value) in values:
                continue
            places.add((index, hit.start))
            values.add((index, value))
            length = hit.end - hit.start
            head, tail = _edges(data[hit.start : hit.end])
            shown = masking.mask(head, tail, length, signature)
            yield Match(number, hit.start, length, signature.id, shown)
        if prefiltered:
            yield from self._inspection.read(_mirrored(prefiltered, segments), segment=number)


def _mirrored(hits: Iterator[Hit] | Sequence[Hit], segments: Segments) -> Iterator[Piece]:
    """What the inspector is given: all from the first prefilter's segment on, its tail before."""
    fits = min((hit.end for hit in hits), default=None)
    base, begun, before = 0, False, b""
    for data in segments:
        if fits is not None and not begun and fits <= base + len(data):
            begun = True
            yield base - len(before), before + data
        elif begun:
            yield base, data
        before = (before + data)[-TAIL:]
        base += len(data)


def _edges(value: bytes) -> tuple[bytes, bytes]:
    """First and last bytes as the kernel reports them: see copy_edges in bpf/judge.h."""
    if len(value) < 16:  # noqa: PLR2004 - as there
        return value[:6], value[-4:]
    return value[:_EDGE], value[-_EDGE:]
