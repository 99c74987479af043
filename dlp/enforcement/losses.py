"""Counters that tell of overload or of a bypass, sampled; what grew becomes an incident.

Counters are exact where events are not: events have a bounded rate, so a flood could hide
what it does beside them. The kernel counts every packet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from ctypes import c_uint32

from dlp.datapath import abi
from dlp.datapath.datapath import Datapath
from dlp.enforcement.keys import slot_of
from dlp.model import Incident, IncidentKind

_OVERLOADS = {
    abi.Reason.EVENT_LOST: "The ring buffer of events was full.",
    abi.Reason.MIRROR_LOST: "The ring buffer of mirrored payload was full.",
    abi.Reason.HOLD_LOST: "The ring buffer of held payload was full.",
    abi.Reason.EVENT_LIMITED: "More events than a workload's share.",
}
_BYPASS = "Packets reached the host's side unseen, more than events could tell of."
_SAMPLED = (*_OVERLOADS, abi.Reason.BYPASS)
Row = dict[abi.Reason, int]


def sample(datapath: Datapath, key: int) -> Row:
    """Packets counted under the reasons of interest for a workload."""
    rows = datapath.tables["counters"].lookup_cpus(c_uint32(slot_of(key)))
    return {reason: sum(row.packets[reason] for row in rows) for reason in _SAMPLED}


class Losses:
    """Compares samples of counters.

    Args:
        read: the counters of a workload, by its key.
        known: keys of workloads that were counted before; what they have counted is old.
    """

    def __init__(self, read: Callable[[int], Row], known: Iterable[int] = ()) -> None:
        self._read = read
        self._before: dict[int, Row] = {key: read(key) for key in known}
        self._seen: set[int] = set()  # under control once: gone when they are not any more
        self._told: dict[int, int] = {}
        self._untold: dict[int, int] = {}

    def told(self, key: int) -> None:
        """An event told of one packet that bypassed the classifier."""
        self._told[key] = self._told.get(key, 0) + 1

    def since_last(self, keys: Mapping[str, int]) -> Iterator[Incident]:
        """What grew since the last time, for the workloads under control, by name."""
        now = time.time()
        for name, key in keys.items():
            row = self._read(key)
            before = self._before.get(key, {})
            # Less than before: the row was cleared for another workload.
            grown = {
                reason: count - before.get(reason, 0) if count >= before.get(reason, 0) else count
                for reason, count in row.items()
            }
            self._before[key] = row
            for reason, detail in _OVERLOADS.items():
                if grown[reason]:
                    yield _incident(
                        now, IncidentKind.OVERLOAD, name, reason.label, grown[reason], detail
                    )
            missing = self._missing(key, grown[abi.Reason.BYPASS])
            if missing:
                yield _incident(now, IncidentKind.BYPASS, name, "no_token", missing, _BYPASS)
        self._keep(set(keys.values()))

    def _missing(self, key: int, grown: int) -> int:
        """Bypasses that no event told of, by now and at the last sample already.

        An event is read a moment after its packet was counted, so one sample alone proves
        nothing.
        """
        before = self._untold.get(key, 0)
        # Events of before the start are told and were counted then.
        now = max(before + grown - self._told.pop(key, 0), 0)
        missing = min(before, now)
        self._untold[key] = now - missing
        return missing

    def _keep(self, living: set[int]) -> None:
        for key in self._seen - living:
            for table in (self._before, self._told, self._untold):
                table.pop(key, None)
        self._seen = living


def _incident(
    now: float, kind: IncidentKind, workload: str, what: str, count: int, detail: str
) -> Incident:
    return Incident(
        time=now, last=now, kind=kind, workload=workload, what=what, count=count, detail=detail
    )
