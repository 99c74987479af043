"""Incidents about the enforcement of a workload: what was done to it, told once while it lasts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from dlp.enforcement.cover import Cover
from dlp.model import Incident, IncidentKind

FILTER_REMOVED = "filter_removed"
QDISC_REMOVED = "qdisc_removed"
GUARD_REMOVED = "guard_removed"
FOREIGN_FIRST = "foreign_filter_first"
FOREIGN = "foreign_filter"
RENAMED = "device_renamed"
MOVED = "device_moved"
QDISC_ADDED = "qdisc_added"
GSO_RAISED = "gso_raised"
UNGUARDED = "unguarded"


@dataclass(slots=True)
class Teller:
    """Tells of one workload's incidents; in whichever thread it is called."""

    workload: str
    tell: Callable[[Incident], None] = lambda _: None

    def tamper(self, what: str, device: str, detail: str) -> None:
        """Something of ours was removed, outranked or changed."""
        self._tell(IncidentKind.TAMPER, what, device, detail)

    def unguarded(self, cover: Cover) -> None:
        """A device has no guard, for the reason that its cover names."""
        detail = f"What skips the classifier on {cover.device.name} is not noticed: {cover.why}."
        self._tell(IncidentKind.UNGUARDED, UNGUARDED, cover.device.name, detail)

    def _tell(self, kind: IncidentKind, what: str, device: str, detail: str) -> None:
        now = time.time()
        self.tell(
            Incident(
                time=now,
                last=now,
                kind=kind,
                workload=self.workload,
                what=what,
                device=device,
                detail=detail,
            )
        )


def once(cover: Cover, what: str, *, holds: bool) -> bool:
    """Whether something that goes on is to be told now: when it begins."""
    if not holds:
        cover.told -= {what}
        return False
    begins = what not in cover.told
    cover.told |= {what}
    return begins
