"""What matched, by signature and workload, and what the scan cost: readings, and their comparison.

Values only. Two sets are compared by the hits of their signatures in one generation: those of
live rows and those of shadow rows, which were counted on the same packets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dlp.datapath.abi import Reason

_CANDIDATES = (Reason.BLOOM_CANDIDATE, Reason.DIGIT_CANDIDATE, Reason.SHAPE_CANDIDATE)
_MB = 1_000_000

Counters = Mapping[Reason, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Hits:
    """Of one signature in one workload.

    Attributes:
        matches: values that were new in their flow; past a packet's share, every match.
        acted: of these, how many were dropped or held: threshold reached, no exception. Of a
            shadow row, how many would have been.
        prefilters: how often the inspector was called, or would have been, to decide.
    """

    matches: int
    acted: int
    prefilters: int


def candidates_per_mb(after: Counters, before: Counters | None = None) -> float:
    """Candidates of all lanes and shapes per megabyte inspected, between two readings.

    Args:
        after, before: as `Datapath.counters` gives them; without `before`, since the beginning.

    Returns 0 where nothing was inspected.
    """

    def risen(reason: Reason, part: int) -> int:
        return after[reason][part] - (before[reason][part] if before is not None else 0)

    inspected = risen(Reason.INSPECTED, 1)
    return sum(risen(reason, 0) for reason in _CANDIDATES) * _MB / inspected if inspected else 0.0
