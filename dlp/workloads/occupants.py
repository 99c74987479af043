"""Who runs in a cgroup: the network namespaces of its processes, and since when they run.

Read from cgroup.procs and /proc; a process that ends meanwhile is left out.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_START = 19  # field 22 of /proc/PID/stat, counted behind the name (proc(5))
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Occupants:
    """What runs in a cgroup and below it.

    Attributes:
        netns: inodes of their network namespaces; empty where nothing runs.
        oldest_s: for how long the oldest of them has run, in seconds.
    """

    netns: frozenset[int] = frozenset()
    oldest_s: float = 0.0


def occupants(directory: Path) -> Occupants:
    """Of the cgroup at `directory` (below the mount of cgroup v2). Blocking."""
    found = [one for process in _processes(directory) if (one := _of_process(process))]
    return Occupants(
        frozenset(inode for inode, _ in found), max((age for _, age in found), default=0.0)
    )


def _processes(directory: Path) -> Iterator[str]:
    """Ids of the processes in a cgroup and below it."""
    waiting = [str(directory)]
    while waiting:
        path = waiting.pop()
        try:
            with open(f"{path}/cgroup.procs", encoding="ascii") as file:  # noqa: PTH123 - many a second
                yield from file.read().split()
            with os.scandir(path) as entries:
                waiting += [one.path for one in entries if one.is_dir(follow_symlinks=False)]
        except OSError:
            continue  # it is gone, or threaded: its processes are told by an ancestor


def _of_process(process: str) -> tuple[int, float] | None:
    """Inode of its network namespace, and its age; None where it has ended."""
    try:
        inode = os.stat(f"{PROC}/{process}/ns/net").st_ino  # noqa: PTH116 - many a second
        stat = (PROC / process / "stat").read_text(errors="replace")
        started = int(stat[stat.rindex(")") + 1 :].split()[_START]) / _TICKS
    except (OSError, ValueError, IndexError):
        return None
    return inode, time.clock_gettime(time.CLOCK_BOOTTIME) - started
