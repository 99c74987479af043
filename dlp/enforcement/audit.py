"""What happens to releases, written down: states and steps in the store, log, incidents.

A step and the state that it leads to are written in one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from dlp.enforcement.succession import Succession
from dlp.model import Incident, IncidentKind
from dlp.releases.life import State
from dlp.service import Release, ReleaseStep
from dlp.store.releases import ReleaseStore

GATEWAY: Final = "gateway"  # who took a step that nobody asked for


class Audit:
    """Writes to the store. Its methods raise StoreError where that fails.

    `tell`: takes incidents.
    """

    def __init__(self, store: ReleaseStore, tell: Callable[[Incident], None], log: Any) -> None:
        self._store = store
        self._tell = tell
        self._log = log

    async def move(
        self, release: Release, state: State, what: str, by: str, reason: str = ""
    ) -> None:
        """One release is in another state from here on."""
        change = Succession(what, by)
        change.move(release, state, reason)
        await self.record(change)

    async def record(self, change: Succession) -> None:
        """All that changes with one change."""
        await self.write(change.moved, change.steps)

    async def write(self, moved: Sequence[Release], steps: Sequence[ReleaseStep]) -> None:
        """Releases as they are now, and the steps that led there."""
        await self._store.record(moved, steps)
        for one in steps:
            self._log.info(
                "release",
                version=one.version,
                what=one.what,
                who=one.who,
                before=one.before,
                after=one.after,
                reason=one.reason,
            )

    def incident(self, what: str, detail: str) -> None:
        """Something of releases that somebody must hear of."""
        now = time.time()
        self._tell(
            Incident(
                time=now, last=now, kind=IncidentKind.RELEASE, workload="", what=what, detail=detail
            )
        )
