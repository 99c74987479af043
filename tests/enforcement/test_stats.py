"""Counters in total and by workload."""

from __future__ import annotations

from dlp.datapath.abi import Reason
from dlp.enforcement.stats import stats_of
from dlp.model import Counter, IncidentKind


class Kernel:
    """Rows of counters by slot: packets under one reason."""

    ROWS = {0: 5, 1: 10, 2: 20}  # noqa: RUF012 - read only

    def counters(self, slot):
        return {
            reason: (self.ROWS[slot], 100) if reason is Reason.DROPPED else (0, 0)
            for reason in Reason
        }


def test_stats():
    """Workloads by name; the total holds what gates dropped too, which is no workload's."""
    keys = {"web": 7 << 16 | 1, "db": 8 << 16 | 2}
    found = stats_of(
        Kernel(),
        keys,
        inspector_missed=(3, 400),
        shadow_missed=(2, 90),
        incidents={IncidentKind.BYPASS: 9},
    )

    total = {one.reason: one for one in found.total}
    assert Counter(reason="dropped", packets=35, bytes=300) == total["dropped"]
    assert Counter(reason="inspector_missed", packets=3, bytes=400) == total["inspector_missed"]
    assert Counter(reason="shadow_missed", packets=2, bytes=90) == total["shadow_missed"]
    assert [10, 20] == [
        one.packets
        for name in ("web", "db")
        for one in found.workloads[name]
        if one.reason == "dropped"
    ]
    assert {kind.value for kind in IncidentKind} == found.incidents.keys()
    assert (9, 0) == (found.incidents["bypass"], found.incidents["tamper"])


def test_what_is_nothing_is_made_once():
    """Of hundreds of workloads most counters are 0: each of those is one value for all."""
    keys = {"web": 7 << 16 | 1, "db": 8 << 16 | 2}
    found = stats_of(Kernel(), keys, inspector_missed=(0, 0), incidents={}).workloads

    same = [one is other for one, other in zip(found["web"], found["db"], strict=True)]
    assert len(Reason) - 1 == sum(same)
    assert [one.label for one in Reason] == [one.reason for one in found["web"]]
