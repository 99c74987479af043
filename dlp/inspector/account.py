"""What the inspector owes an account of: bytes it did not inspect, and counts of the rest."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class MissReason(enum.StrEnum):
    """Why bytes handed to the inspector were not inspected. Append-only: metric labels."""

    OVERLOAD = "overload"  # the queue was full
    CPU = "cpu"  # its record used up the CPU time of one record
    HANG = "hang"  # its record was not answered in time
    CRASH = "crash"  # its record was being searched when the process ended, twice
    POISONED = "poisoned"  # an earlier record of the flow ended a process
    DOWN = "down"  # the process was stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """Bytes of a flow, by stream offset, that were handed over and not inspected."""

    flow: int
    offset: int
    length: int
    reason: MissReason


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectorCounts:
    """Since the start of the gateway. Gaps include the holes that dropped records leave.

    Attributes:
        records, bytes: answered, that is inspected.
        missed: bytes handed over and not inspected.
        restarts: processes started beyond the first; windows of flows do not survive one.
        others: see messages.Done.
    """

    records: int = 0
    bytes: int = 0
    findings: int = 0
    missed: int = 0
    restarts: int = 0
    gaps: int = 0
    gap_bytes: int = 0
    retransmitted: int = 0
    rewritten: int = 0
    evicted: int = 0
    bounded: int = 0
    suppressed: int = 0
