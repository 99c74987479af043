"""What is to be said of the release that is in force: what has expired, what runs unsigned."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from dlp.enforcement.restored import Restored
from dlp.releases.verify import Verified


class InForce:
    """What expires of it, and why something else runs than was live when the process began."""

    def __init__(self, restored: Restored) -> None:
        self._notes = restored.notes
        self._ends: Mapping[str, float] = restored.expires
        self._told: set[str] = set()

    def now(self, verified: Verified | None) -> None:
        """This is in force from here on; None: the policy file's packs."""
        self._notes = ()
        self._told.clear()
        self._ends = verified.ends if verified else {}

    def problems(self, now: float, overrides: Sequence[str]) -> list[str]:
        """Sentences for the health.

        Args:
            now: seconds since the epoch.
            overrides: what development mode put in.
        """
        found = list(self._notes)
        for what, end in self._ends.items():
            if now >= end:
                day = time.strftime("%Y-%m-%d", time.gmtime(end))
                found.append(f"{what} has expired on {day}; it goes on until another is live")
        if overrides:
            names = ", ".join(overrides)
            found.append(f"development mode: {names} in force, signed by nobody")
        return found

    def expired(self, now: float) -> list[str]:
        """What has expired since it was asked before."""
        fresh = [what for what, end in self._ends.items() if now >= end and what not in self._told]
        self._told.update(fresh)
        return fresh
