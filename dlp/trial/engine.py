"""What finds signatures in streams: the port behind which kernel and model stand."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

Segments = Sequence[bytes]


class Verdict(enum.StrEnum):
    """What became of a stream under a rule that drops one signature.

    UNDECIDED: the kernel took it out for another reason, such as its budget.
    """

    FOUND = "found"
    SILENT = "silent"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Stream:
    """Bytes as they were sent: a stream in segments, or datagrams, each of which stands alone."""

    segments: tuple[bytes, ...] = field(repr=False)
    datagrams: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Match:
    """A value that was found: where, by which signature, and nothing of it but masked text.

    `offset`: of its first byte in the stream, or in its datagram, whose number is `segment`.
    """

    segment: int
    offset: int
    length: int
    signature: str
    masked: str


@dataclass(frozen=True, slots=True)
class Reading:
    """The matches in one stream, and how many bytes of it were not judged."""

    matches: tuple[Match, ...]
    missed: int = 0


class Engine(Protocol):
    """Finds the signatures of one image."""

    @property
    def name(self) -> str:
        """`kernel` or `model`."""

    def judge(self, signature: int, streams: Sequence[Segments]) -> list[Verdict]:
        """What becomes of each stream under a rule that drops this signature alone.

        Open ends wait for the next byte, and the end of a stream is an end.
        """

    def read(self, streams: Sequence[Stream]) -> list[Reading]:
        """Every match of every signature, in each stream."""

    def close(self) -> None:
        """Leave nothing behind."""
