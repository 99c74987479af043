"""Namespaces that no workload is but that are worked in: of host ends, and of devices moved away.

Open for as long as something of ours is there. A descriptor keeps a namespace from ending, so
one that can be had by no path any more is let go of, and its devices with it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from dlp.datapath.attach import NamespaceLink
from dlp.datapath.rtnetlink import NO_NSID
from dlp.enforcement import changes
from dlp.errors import DlpError
from dlp.workloads.finder import Finder, Found


@dataclass(slots=True)
class Place:
    """An open namespace: a way into its devices, and a socket that tells of their changes."""

    inode: int
    fd: int
    path: Path
    link: NamespaceLink
    changes: socket.socket
    closed: bool = False

    def close(self) -> None:
        """Let go; what is attached stays."""
        if not self.closed:
            self.closed = True
            self.changes.close()
            self.link.close()
            os.close(self.fd)


def open_place(inode: int, fd: int, path: Path) -> Place:
    """Of a namespace that is open; `fd` is the place's from here on, also where this fails.

    Raises:
        DlpError, OSError: it is gone, or the kernel refuses.
    """
    try:
        link = NamespaceLink(fd)
        try:
            return Place(inode, fd, path, link, changes.watch(fd))
        except BaseException:
            link.close()
            raise
    except BaseException:
        os.close(fd)
        raise


class Places:
    """Opens namespaces and keeps them. Blocking; in one thread.

    Args:
        on_open, on_close: told of each place, before it is used and before it is closed.
    """

    def __init__(
        self,
        finder: Finder | None = None,
        *,
        on_open: Callable[[Place], None] = lambda _: None,
        on_close: Callable[[Place], None] = lambda _: None,
    ) -> None:
        self.finder = finder if finder is not None else Finder()
        self._on_open = on_open
        self._on_close = on_close
        self._open: dict[int, Place] = {}  # that used last is asked for first

    def __iter__(self) -> Iterator[Place]:
        return iter(tuple(self._open.values()))

    def find(self, asking: NamespaceLink, nsid: int) -> Place | None:
        """The namespace that another knows by a number; None where it cannot be found."""
        if nsid == NO_NSID:
            return None
        for place in reversed(tuple(self._open.values())):
            if asking.netlink.nsid_of(place.fd) == nsid:
                return self._used(place)
        return self._take(self.finder.find(asking.inode, nsid, asking.netlink.nsid_of))

    def open(self, inode: int) -> Place | None:
        """A namespace by its inode; None where it cannot be found."""
        known = self._open.get(inode)
        return self._used(known) if known is not None else self._take(self.finder.open(inode))

    def keep(self, used: Collection[int]) -> list[Place]:
        """Close those that are not used or are gone; which of the used ones went."""
        gone = []
        for inode, place in tuple(self._open.items()):
            if inode in used and not self._is_there(place):
                gone.append(place)
            elif inode in used:
                continue
            del self._open[inode]
            self._on_close(place)
            place.close()
        return gone

    def close(self) -> None:
        """Let go of all; what is attached stays."""
        for place in self._open.values():
            self._on_close(place)
            place.close()
        self._open.clear()

    def _used(self, place: Place) -> Place:
        self._open[place.inode] = self._open.pop(place.inode)
        return place

    def _take(self, found: Found | None) -> Place | None:
        if found is None:
            return None
        if found.inode in self._open:  # by another path
            os.close(found.fd)
            return self._used(self._open[found.inode])
        try:
            place = open_place(found.inode, found.fd, found.path)
        except (DlpError, OSError):
            return None
        self._open[place.inode] = place
        self._on_open(place)
        return place

    def _is_there(self, place: Place) -> bool:
        """By the path that it was opened by, or by another."""
        if self.finder.is_there(place.path, place.inode):
            return True
        found = self.finder.open(place.inode)
        if found is None:
            return False
        os.close(found.fd)
        place.path = found.path
        return True
