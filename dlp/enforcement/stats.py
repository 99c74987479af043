"""The kernel's counters as the API shows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from dlp.datapath import abi
from dlp.datapath.datapath import Datapath
from dlp.enforcement.keys import slot_of
from dlp.model import Counter, HoldCounts, IncidentKind, Stats

_GATES = 0  # row of no workload: what a gate drops is counted there
# Of each reason, by its label: most counters of most workloads.
_NOTHING = {one.label: Counter(reason=one.label, packets=0, bytes=0) for one in abi.Reason}


def stats_of(
    datapath: Datapath,
    keys: Mapping[str, int],
    *,
    inspector_missed: tuple[int, int],
    shadow_missed: tuple[int, int] = (0, 0),
    incidents: Mapping[IncidentKind, int],
    holds: HoldCounts | None = None,
) -> Stats:
    """Counters of the workloads under control, by name and in total.

    Args:
        keys: of the workloads, by name.
        inspector_missed: records and bytes that the inspector did not search.
        shadow_missed: the same of the inspector of a set that runs beside the live one.
        incidents: occurrences by kind; one without an entry has had none.
    """
    rows = {name: tuple(datapath.counters(slot_of(key)).values()) for name, key in keys.items()}
    every = [*rows.values(), tuple(datapath.counters(_GATES).values())]
    total = [
        Counter(
            reason=label, packets=sum(one for one, _ in column), bytes=sum(two for _, two in column)
        )
        for label, column in zip(_NOTHING, zip(*every, strict=True), strict=True)
    ]
    missed = {"inspector_missed": inspector_missed, "shadow_missed": shadow_missed}
    for reason, (packets, size) in missed.items():
        total.append(Counter(reason=reason, packets=packets, bytes=size))
    return Stats(
        total=tuple(total),
        workloads={name: tuple(_counters(row)) for name, row in rows.items()},
        incidents={kind.value: incidents.get(kind, 0) for kind in IncidentKind},
        holds=holds or HoldCounts(),
    )


def _counters(row: Iterable[tuple[int, int]]) -> Iterator[Counter]:
    for (label, nothing), (packets, size) in zip(_NOTHING.items(), row, strict=True):
        if packets or size:
            yield Counter(reason=label, packets=packets, bytes=size)
        else:
            yield nothing
