"""cgroup v2 directories and the ids the kernel programs know them by.

A cgroup's id is the inode number of its directory; its level is its depth below the hierarchy's
root, as bpf_skb_ancestor_cgroup_id(skb, level) counts it. Nothing here creates or changes a cgroup.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from dlp.errors import KernelError, MissingDependency
from dlp.workloads.inotify import Inotify

MOUNTS = Path("/proc/self/mounts")
ROOT_ID = 1  # of the hierarchy's true root; another id there means a cgroup namespace

_SCAN_LIMIT = 16_384
_RESCAN_S = 1.0
# A container's start makes several directories in a row: one reading serves them all.
_SETTLE_S = 0.002


@dataclass(frozen=True, slots=True)
class Cgroup:
    """`path` is absolute within the hierarchy: "/" or "/docker/1f3a…"."""

    path: str
    id: int

    @property
    def level(self) -> int:
        """Depth below the root."""
        return level_of(self.path)


@dataclass(frozen=True, slots=True)
class CgroupScan:
    """`truncated`: there were more than the bound; the deepest are missing."""

    cgroups: tuple[Cgroup, ...]
    truncated: bool


@dataclass(frozen=True, slots=True)
class CgroupEvent:
    """A path made anew is gone and appears, with another id."""

    cgroup: Cgroup
    appeared: bool


def find_cgroup2(mounts: Path = MOUNTS) -> Path:
    """Where cgroup v2 is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified beside v1.

    Raises MissingDependency where it is not mounted.
    """
    for line in mounts.read_text().splitlines():
        fields = line.split(" ")
        if len(fields) > 2 and fields[2] == "cgroup2":  # noqa: PLR2004 - device, directory, type
            return Path(_unescape(fields[1]))
    raise MissingDependency(
        "cgroup v2 is not mounted, so workloads cannot be told apart by cgroup",
        remedy="mount -t cgroup2 none /sys/fs/cgroup/unified",
    )


def in_cgroup_namespace(root: Path) -> bool:
    """True where the mount shows only a part of the hierarchy: levels count from elsewhere then."""
    return root.stat().st_ino != ROOT_ID


def level_of(path: str) -> int:
    """Depth below the root, whose level is 0."""
    return sum(1 for part in path.split("/") if part)


def ancestor(path: str, level: int) -> str | None:
    """The path's ancestor (or itself) at a level; None where the path is not that deep."""
    parts = [part for part in path.split("/") if part]
    return "/" + "/".join(parts[:level]) if level <= len(parts) else None


def scan(root: Path, *, limit: int = _SCAN_LIMIT) -> CgroupScan:
    """All cgroups of a hierarchy, parents before children, at most `limit`.

    Directories that go while they are read are left out.
    """
    found = [Cgroup("/", root.stat().st_ino)]
    queue: deque[str] = deque([""])
    while queue:
        parent = queue.popleft()
        try:
            with os.scandir(f"{root}{parent}") as entries:
                children = sorted(
                    (entry.name, entry.inode())
                    for entry in entries
                    if entry.is_dir(follow_symlinks=False)
                )
        except (FileNotFoundError, PermissionError):
            continue
        for name, inode in children:
            if len(found) >= limit:
                return CgroupScan(tuple(found), truncated=True)
            found.append(Cgroup(f"{parent}/{name}", inode))
            queue.append(f"{parent}/{name}")
    return CgroupScan(tuple(found), truncated=False)


def matching(cgroups: Iterable[Cgroup], globs: Sequence[str]) -> tuple[Cgroup, ...]:
    """Those whose path fits one of the globs. `*` also matches slashes, as in `/docker/*`."""
    return tuple(
        cgroup for cgroup in cgroups if any(fnmatchcase(cgroup.path, glob) for glob in globs)
    )


class CgroupWatcher:
    """Tells new and removed cgroups of a hierarchy.

    inotify gives speed; a reading every `rescan_s` seconds gives certainty, since a directory made
    inside one that is not watched yet raises no event, and watches are limited.

    Attributes:
        truncated: the last reading hit its bound.
    """

    def __init__(
        self, root: Path, *, rescan_s: float = _RESCAN_S, limit: int = _SCAN_LIMIT
    ) -> None:
        self.truncated = False
        self._root = root
        self._rescan_s = rescan_s
        self._limit = limit
        self._known: dict[str, int] = {}

    async def events(self) -> AsyncIterator[CgroupEvent]:
        """First what is there, then each change. Ends only when it is closed."""
        with Inotify() as inotify:
            self._watch(inotify, "/")
            for event in self._reread(inotify):
                yield event
            while True:
                due = time.monotonic() + self._rescan_s
                if await inotify.wait(self._rescan_s):
                    while await inotify.wait(_SETTLE_S) and time.monotonic() < due:
                        pass
                for event in self._reread(inotify):
                    yield event

    def _reread(self, inotify: Inotify) -> list[CgroupEvent]:
        events: list[CgroupEvent] = []
        # Until nothing is new: what was made before its parent's watch was set is seen here.
        for _ in range(8):
            fresh = self._compare(inotify)
            events += fresh
            if not any(event.appeared for event in fresh):
                break
        return events

    def _compare(self, inotify: Inotify) -> list[CgroupEvent]:
        reading = scan(self._root, limit=self._limit)
        self.truncated = reading.truncated
        present = {cgroup.path: cgroup.id for cgroup in reading.cgroups}
        events = [
            CgroupEvent(Cgroup(path, number), appeared=False)
            for path, number in reversed(self._known.items())
            if present.get(path) != number
        ]
        for path, number in present.items():
            if self._known.get(path) != number:
                self._watch(inotify, path)
                events.append(CgroupEvent(Cgroup(path, number), appeared=True))
        self._known = present
        return events

    def _watch(self, inotify: Inotify, path: str) -> None:
        try:
            inotify.add(self._root / path.lstrip("/"))
        except KernelError:
            return  # no watch left: the regular reading finds it


def _unescape(field: str) -> str:
    """Undo the octal escapes of /proc/mounts (space, tab, newline, backslash)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), field)
