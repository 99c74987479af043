"""The kernel's counters as the API shows them."""

from __future__ import annotations

from collections.abc import Mapping

from dlp.datapath import abi
from dlp.datapath.datapath import Datapath
from dlp.enforcement.keys import slot_of
from dlp.model import Counter, HoldCounts, IncidentKind, Stats

_GATES = 0  # row of no workload: what a gate drops is counted there


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
    rows = {name: datapath.counters(slot_of(key)) for name, key in keys.items()}
    every = [*rows.values(), datapath.counters(_GATES)]
    total = [
        Counter(
            reason=reason.label,
            packets=sum(row[reason][0] for row in every),
            bytes=sum(row[reason][1] for row in every),
        )
        for reason in abi.Reason
    ]
    missed = {"inspector_missed": inspector_missed, "shadow_missed": shadow_missed}
    for reason, (packets, size) in missed.items():
        total.append(Counter(reason=reason, packets=packets, bytes=size))
    return Stats(
        total=tuple(total),
        workloads={
            name: tuple(
                Counter(reason=reason.label, packets=count, bytes=size)
                for reason, (count, size) in row.items()
            )
            for name, row in rows.items()
        },
        incidents={kind.value: incidents.get(kind, 0) for kind in IncidentKind},
        holds=holds or HoldCounts(),
    )
