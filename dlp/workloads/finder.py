"""Which namespace it is that another knows by a number, and by which path it can be opened.

A namespace has no name of its own: rtnetlink tells of a veth's other end by a number that counts
in the asking namespace only. So candidates are shown to the kernel until one has that number:
those in use, then the names under /run/netns, then the namespaces of all processes. Looking
through the processes takes milliseconds, so that what was found is kept for a moment, and what
was not found is not looked for again at once.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dlp.errors import DlpError
from dlp.workloads.netns import NETNS_DIR, open_netns

OWN = Path("/proc/thread-self/ns/net")
_PROC = Path("/proc")
_FRESH_S = 1.0
_LEAST_S = 0.05


@dataclass(frozen=True, slots=True)
class Found:
    """An open namespace; the caller closes `fd`. `path` is where it was opened."""

    inode: int
    fd: int
    path: Path


@dataclass(slots=True)
class Finder:
    """Looks for namespaces. `nsid_of` below is Netlink.nsid_of of the asking namespace."""

    directory: Path = NETNS_DIR
    proc: Path = _PROC
    fresh_s: float = _FRESH_S
    _listed: dict[int, Path] = field(default_factory=dict)
    _listed_at: float = float("-inf")
    _missed: dict[tuple[int, int], float] = field(default_factory=dict)

    def find(self, asking: int, nsid: int, nsid_of: Callable[[int], int]) -> Found | None:
        """The namespace that the one with the inode `asking` knows as `nsid`."""
        missed = self._missed.get((asking, nsid))
        if missed is not None and time.monotonic() - missed < self.fresh_s:
            return None
        asked: set[int] = set()
        for _ in range(2):
            for inode in self._list().keys() - asked:
                found = _open(self._listed[inode])
                if found is None:
                    continue
                if _knows(nsid_of, found.fd, nsid):
                    self._missed.pop((asking, nsid), None)
                    return found
                os.close(found.fd)
            asked = set(self._listed)
            self._grow_old()  # it may have been made since
        self._missed[asking, nsid] = time.monotonic()
        return None

    def open(self, inode: int) -> Found | None:
        """A namespace by its inode."""
        for _ in range(2):
            path = self._list().get(inode)
            found = _open(path) if path is not None else None
            if found is not None and found.inode == inode:
                return found
            if found is not None:
                os.close(found.fd)
            self._grow_old()
        return None

    def is_there(self, found_at: Path, inode: int) -> bool:
        """Whether the namespace can still be had by that path."""
        try:
            return found_at.stat().st_ino == inode
        except OSError:
            return False

    def forget(self) -> None:
        """What was not found may be there now."""
        self._missed.clear()
        self._listed_at = float("-inf")

    def _grow_old(self) -> None:
        """What was listed is out of date, unless that was just now."""
        if time.monotonic() - self._listed_at >= min(_LEAST_S, self.fresh_s):
            self._listed_at = float("-inf")

    def _list(self) -> dict[int, Path]:
        if time.monotonic() - self._listed_at < self.fresh_s:
            return self._listed
        listed: dict[int, Path] = {}
        for path in self._paths():
            with contextlib.suppress(OSError):
                listed.setdefault(path.stat().st_ino, path)
        self._listed, self._listed_at = listed, time.monotonic()
        return listed

    def _paths(self) -> Iterator[Path]:
        yield OWN
        with contextlib.suppress(OSError):
            yield from sorted(self.directory.iterdir())
        with contextlib.suppress(OSError):
            for process in self.proc.iterdir():
                if process.name.isdecimal():
                    yield process / "ns/net"


def _knows(nsid_of: Callable[[int], int], fd: int, nsid: int) -> bool:
    try:
        return nsid_of(fd) == nsid
    except OSError:
        return False


def _open(path: Path) -> Found | None:
    """None where the path is gone or is no network namespace."""
    try:
        if path.parent.name == "ns":
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        else:
            fd = open_netns(path.name, path.parent).fd
    except (OSError, DlpError):
        return None
    return Found(os.fstat(fd).st_ino, fd, path)
