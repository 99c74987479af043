"""What was attached where, on disk: so that `dlp detach` puts back all and no more.

One small JSON file in the run directory, written whole or not at all. Links are found by their
pins too; what was there before, and filters of clsact, are told of here only.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dlp.datapath.attach import Attached, Placed, Way
from dlp.workloads import rto

RECORD = Path("/run/dlp/attached.json")
_PAUSE_S = 0.05


@dataclass(frozen=True, slots=True)
class Entry:
    """The classifiers and guards of one namespace; `unprotected_ms` as of Workload.

    `tcp`: what its settings of TCP were before they were lowered (workloads.rto), by name.
    """

    name: str
    inode: int
    attached: tuple[Attached, ...]
    unprotected_ms: float | None = None
    tcp: Mapping[str, int] = field(default_factory=dict)


def read(path: Path) -> tuple[Entry, ...]:
    """What was written last, by this version or an earlier one; else nothing."""
    try:
        return tuple(
            Entry(
                item["name"],
                item["inode"],
                tuple(_attached(one) for one in item["attached"]),
                item.get("unprotected_ms"),
                _lowered(item),
            )
            for item in json.loads(path.read_text())
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return ()


def _lowered(item: Mapping[str, Any]) -> dict[str, int]:
    # Earlier versions knew of one setting.
    floor = item.get("rto_us")
    known = {rto.FLOOR.name: floor} if floor is not None else {}
    return {str(name): int(value) for name, value in item.get("tcp", known).items()}


def _attached(raw: Mapping[str, Any]) -> Attached:
    # The first version knew clsact only, and no guard.
    way, guard = Way(raw.get("way", Way.CLSACT)), raw.get("guard")
    placed = Placed(**{**guard, "way": Way(guard["way"])}) if guard else None
    return Attached(**{**raw, "way": way, "guard": placed})


def is_whole(path: Path) -> bool:
    """Whether there is a record that can be read."""
    try:
        return isinstance(json.loads(path.read_text()), list)
    except (OSError, ValueError):
        return False


def age(path: Path) -> float:
    """Seconds since it was written; 0 where there is none."""
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except OSError:
        return 0.0


def write(path: Path, entries: tuple[Entry, ...]) -> None:
    """Replace the record."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps([asdict(entry) for entry in entries]))
    partial.replace(path)


class Keeper:
    """Writes the record as it changes: at once, but not oftener than every 50 ms.

    Used in a loop's thread.
    """

    def __init__(self, path: Path, entries: Callable[[], Iterable[Entry]]) -> None:
        self._path = path
        self._entries = entries
        self._written = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    def changed(self) -> None:
        """What is attached is not what was written."""
        wait = self._written + _PAUSE_S - time.monotonic()
        if wait <= 0:
            self.write()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(wait, self.write)

    def write(self) -> None:
        """Write it now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        write(self._path, tuple(self._entries()))
        self._written = time.monotonic()

    def close(self) -> None:
        """Write what is not written yet."""
        if self._timer is not None:
            self.write()
