"""What is measured, seen alike: the gateway's classifier and one that does nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bench.namespaces import Link


@dataclass(frozen=True, slots=True)
class Candidates:
    """What the classifier has looked at more closely so far, from its reason counters.

    Attributes:
        bytes: payload scanned.
        matches: signatures matched, values seen before included.
        over_budget: packets that were let pass before they were scanned to the end.
    """

    bytes: int = 0
    bloom: int = 0
    digit: int = 0
    shape: int = 0
    matches: int = 0
    over_budget: int = 0

    def __sub__(self, other: Candidates) -> Candidates:
        return Candidates(
            self.bytes - other.bytes,
            self.bloom - other.bloom,
            self.digit - other.digit,
            self.shape - other.shape,
            self.matches - other.matches,
            self.over_budget - other.over_budget,
        )


class Subject(Protocol):
    """A classifier in one namespace.

    Attributes:
        name: `empty`, or the number of signatures.
        fd: descriptor of the program that runs first; tail calls count towards it.
    """

    @property
    def name(self) -> str: ...

    @property
    def fd(self) -> int: ...

    def attach(self, link: Link) -> None:
        """Put it on the egress of the sender's device."""
        ...

    def candidates(self) -> Candidates: ...
