"""Whether a set of signatures proposes more than it may: candidates per MB of payload.

A bad anchor does not drop anything wrong, but makes each byte dear. The set before is
measured on the traffic right before the switch, the new one right after it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

MB: Final = 1_000_000
WINDOW_S: Final = 300.0
WATCHED_S: Final = 600.0
LEAST_BYTES: Final = MB
# Twice nothing is nothing: a set may propose this much whatever the one before it did. At some
# 100 ns each that is 0.2 ns a byte.
LEAST_PER_MB: Final = 2000


@dataclass(frozen=True, slots=True)
class Sample:
    """Totals at a moment (seconds of a steady clock): candidates, bytes inspected.

    Candidates are q-grams that passed the Bloom filter, digit groups looked at and shapes run.
    """

    at: float
    candidates: int
    size: int


@dataclass(frozen=True, slots=True)
class Excess:
    """Candidates per MB that were found and that would be allowed."""

    found: float
    allowed: float

    def __str__(self) -> str:
        return f"{self.found:.0f} candidates per MB, {self.allowed:.0f} are allowed"


class CandidateWatch:
    """Fed with totals, tells when the set that acts since the last switch exceeds."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()
        self._last: Sample | None = None
        self._since: Sample | None = None
        self._allowed: float | None = None

    def sample(self, sample: Sample) -> None:
        """Take totals; they start anew where a workload has left and its counters with it."""
        last, self._last = self._last, sample
        if last and (sample.candidates < last.candidates or sample.size < last.size):
            self._samples.clear()
            self._since = None if self._since is None else sample
        self._samples.append(sample)
        while sample.at - self._samples[0].at > WINDOW_S:
            self._samples.popleft()

    def rate(self) -> float | None:
        """Candidates per MB over the window; None where too little was inspected."""
        if not self._samples:
            return None
        return _rate(self._samples[0], self._samples[-1])

    def switched(self, most: int | None, *, beside: bool = False) -> None:
        """Another set acts from here on.

        Args:
            most: candidates per MB that it may make; None is twice those of the set before.
            beside: it runs beside the one before, whose candidates come on top.
        """
        before = self.rate()
        allowed: float | None = most
        if allowed is None and before is not None:
            allowed = max(2 * before, LEAST_PER_MB)
        if beside and allowed is not None:
            allowed += before or 0.0
        self._allowed = allowed
        self._since = self._samples[-1] if self._samples else None
        self._samples.clear()

    def settled(self) -> None:
        """Stop watching: what acts has done so before."""
        self._since = self._allowed = None
        self._samples.clear()

    def excess(self) -> Excess | None:
        """How the set exceeds; None where it does not, is not watched or is not yet known."""
        if self._since is None or self._allowed is None or not self._samples:
            return None
        last = self._samples[-1]
        if last.at - self._since.at > WATCHED_S:
            self._since = None
            return None
        found = _rate(self._since, last)
        if found is None or found <= self._allowed:
            return None
        return Excess(found, self._allowed)


def _rate(first: Sample, last: Sample) -> float | None:
    size = last.size - first.size
    if size < LEAST_BYTES:
        return None
    return (last.candidates - first.candidates) * MB / size
