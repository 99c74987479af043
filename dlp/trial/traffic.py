"""Captured traffic and text tried against a set: which signatures match, where, masked."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dlp.errors import Place, UsageError
from dlp.trial.capture import LARGEST, frames
from dlp.trial.engine import Engine, Match, Stream
from dlp.trial.streams import Conversation, Conversations, conversations


@dataclass(frozen=True, slots=True)
class Source:
    """A file's streams: a capture's conversations, or a text as one stream."""

    file: Path
    conversations: tuple[Conversation, ...]
    skipped: dict[str, int]
    missing: int = 0
    text: bool = False

    @property
    def streams(self) -> tuple[Stream, ...]:
        return tuple(one.stream for one in self.conversations)

    @property
    def bytes(self) -> int:
        return sum(len(data) for stream in self.streams for data in stream.segments)


@dataclass(frozen=True, slots=True)
class Located:
    """A match in a source; `where` tells the place in words. Offsets are of the stream."""

    signature: str
    masked: str
    length: int
    where: str
    offset: int


@dataclass(frozen=True, slots=True)
class Read:
    """What a source holds; `skipped`: packets by reason; `missed`: bytes that nobody judged."""

    file: Path
    streams: int
    bytes: int
    matches: tuple[Located, ...]
    skipped: dict[str, int]
    missing: int
    missed: int

    def told(self) -> str:
        """What was left out, in words; empty where nothing was."""
        parts = [f"{count} packets skipped: {reason}" for reason, count in self.skipped.items()]
        if self.missing:
            parts.append(f"{self.missing} bytes not in the capture")
        if self.missed:
            parts.append(f"{self.missed} bytes over the kernel's budget")
        return "".join(f", {part}" for part in parts)


def sources(pcaps: Iterable[Path], texts: Iterable[Path]) -> list[Source]:
    """Read the files. Raises UsageError that names file and place."""
    found = []
    for file in pcaps:
        capture: Conversations = conversations(frames(file))
        found.append(Source(file, capture.found, capture.skipped, capture.missing))
    for file in texts:
        stream = Stream((text_of(file),))
        found.append(Source(file, (Conversation("", stream, 0, ()),), {}, text=True))
    return found


def text_of(file: Path) -> bytes:
    """A file's bytes. Raises UsageError."""
    try:
        with file.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", place=Place(file)) from error
    if len(data) > LARGEST:
        raise UsageError(f"is larger than {LARGEST >> 20} MiB", place=Place(file))
    return data


def read_sources(engine: Engine, given: Sequence[Source]) -> list[Read]:
    """Every match in every source."""
    return [_read(engine, source) for source in given]


def _read(engine: Engine, source: Source) -> Read:
    readings = engine.read(source.streams)
    located = [
        one
        for conversation, reading in zip(source.conversations, readings, strict=True)
        for one in _located(source, conversation, reading.matches)
    ]
    return Read(
        file=source.file,
        streams=len(source.conversations),
        bytes=source.bytes,
        matches=tuple(located),
        skipped=source.skipped,
        missing=source.missing,
        missed=sum(reading.missed for reading in readings),
    )


def _located(
    source: Source, conversation: Conversation, matches: Sequence[Match]
) -> Iterator[Located]:
    place = _Lines(conversation) if source.text else _Packets(conversation)
    for match in matches:
        offset = match.offset + conversation.base
        yield Located(match.signature, match.masked, match.length, place.of(match), offset)


class _Lines:
    """Places of a text: lines and columns, from 1, columns in bytes."""

    def __init__(self, conversation: Conversation) -> None:
        data = conversation.stream.segments[0]
        self._starts = [0]
        at = data.find(b"\n")
        while at >= 0:
            self._starts.append(at + 1)
            at = data.find(b"\n", at + 1)

    def of(self, match: Match) -> str:
        line = bisect.bisect_right(self._starts, match.offset)
        return f"line {line}, column {match.offset - self._starts[line - 1] + 1}"


class _Packets:
    """Places of a conversation: its ends, and the packet in which a match begins."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        sizes = (len(data) for data in conversation.stream.segments)
        self._ends = list(itertools.accumulate(sizes))

    def of(self, match: Match) -> str:
        one = self._conversation
        if one.stream.datagrams:
            number = one.packets[match.segment]
            return f"{one.name}, packet {number}, byte {match.offset}"
        number = one.packets[bisect.bisect_right(self._ends, match.offset)]
        return f"{one.name}, packet {number}, stream offset {match.offset + one.base}"
