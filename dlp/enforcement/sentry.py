"""Closes a new device of a workload at once, until the one thread for namespaces has time for it.

Going through a namespace takes long where much changes in it, and each attach waits for all
processors. So a thread of its own hears of new devices and puts a guard that lets nothing in on
the host's end; it goes when classifier and guard stand. Only host ends in known places are
closed: nobody in a container can make one there, so nobody can keep this thread busy.

Links of TCX only: one that is not pinned goes with its descriptor, whatever becomes of us.
"""

from __future__ import annotations

import contextlib
import os
import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from dlp.datapath import links, rtnetlink
from dlp.datapath.links import Hook
from dlp.datapath.rtnetlink import NO_NSID, Link, Netlink
from dlp.errors import DlpError
from dlp.workloads.netns import entered


@dataclass(slots=True)
class _Watched:
    """A workload's namespace: what tells of its devices, and whom to ask for numbers."""

    inode: int
    changes: socket.socket
    netlink: Netlink

    def close(self) -> None:
        self.changes.close()
        self.netlink.close()


@dataclass(frozen=True, slots=True)
class Closed:
    """A device that is closed: since when (time.monotonic), and packets that had left by then."""

    since: float
    sent: int
    guard: int


class Sentry:
    """A thread; its methods may be called from any other.

    Args:
        program: descriptor of a guard that is closed; the sentry's from here on.
        ours: whether a link, by its id, is of a guard that stands: such a device comes home.
    """

    def __init__(self, program: int, ours: Callable[[int], bool] = lambda _: False) -> None:
        self._program = program
        self._ours = ours
        self._lock = threading.Lock()
        # By namespace and index. Of what is released, where its other end is: no other device
        # has the same, whatever message was lost.
        self._closed: dict[tuple[int, int], Closed] = {}
        self._released: dict[tuple[int, int], tuple[int, int]] = {}
        self._places: dict[int, int] = {}
        self._watched: dict[int, _Watched] = {}
        self._orders: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._selector = selectors.DefaultSelector()
        self._bell, self._ear = socket.socketpair()
        self._ear.setblocking(False)  # noqa: FBT003
        self._selector.register(self._ear, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="sentry", daemon=True)
        self._thread.start()

    def watch(self, inode: int, fd: int) -> None:
        """New devices of that namespace are closed from here on."""
        own = os.dup(fd)
        self._order(lambda: self._watch(inode, own))

    def ignore(self, inode: int) -> None:
        """They are not; what is closed is opened."""
        self._order(lambda: self._ignore(inode))

    def place_opened(self, inode: int, fd: int) -> None:
        """Host ends may lie in that namespace."""
        own = os.dup(fd)
        self._order(lambda: self._place(inode, own))

    def place_closed(self, inode: int) -> None:
        self._order(lambda: self._place(inode, None))

    def closed(self, inode: int, index: int) -> Closed | None:
        """Since when nothing of a device gets in; None where it was not closed."""
        with self._lock:
            return self._closed.get((inode, index))

    def release(self, inode: int, index: int, peer: tuple[int, int]) -> None:
        """Classifier and guard stand on a device, or it can have none: it is ours no more.

        Args:
            peer: index and namespace number of its other end.
        """
        with self._lock:
            self._released[inode, index] = peer
            closed = self._closed.pop((inode, index), None)
        if closed is not None:
            links.release(closed.guard)

    def close(self) -> None:
        """End the thread; what is closed is opened."""
        self._orders.put(None)
        self._bell.send(b"\0")
        self._thread.join()
        self._bell.close()  # not before: the thread may be at its end while we ring
        self._ear.close()

    # -- in the thread -----------------------------------------------------------

    def _order(self, what: Callable[[], None]) -> None:
        self._orders.put(what)
        self._bell.send(b"\0")

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._ear:
                    with contextlib.suppress(BlockingIOError):
                        self._ear.recv(4096)
                    if not self._obey():
                        self._end()
                        return
                else:
                    with contextlib.suppress(DlpError, OSError):
                        self._hear(key.data)

    def _obey(self) -> bool:
        """Carry out what was ordered; False at the end."""
        while not self._orders.empty():
            what = self._orders.get()
            if what is None:
                return False
            with contextlib.suppress(DlpError, OSError):  # the namespace is gone
                what()
        return True

    def _watch(self, inode: int, fd: int) -> None:
        self._unhear(inode)
        try:
            with entered(fd):
                changes, netlink = rtnetlink.watch(rtnetlink.LINK_CHANGES), Netlink()
        finally:
            os.close(fd)
        watched = self._watched[inode] = _Watched(inode, changes, netlink)
        self._selector.register(changes, selectors.EVENT_READ, watched)

    def _unhear(self, inode: int) -> None:
        watched = self._watched.pop(inode, None)
        if watched is not None:
            self._selector.unregister(watched.changes)
            watched.close()

    def _ignore(self, inode: int) -> None:
        self._unhear(inode)
        with self._lock:
            self._released = {key: peer for key, peer in self._released.items() if key[0] != inode}
            opened = [self._closed.pop(key) for key in tuple(self._closed) if key[0] == inode]
        for closed in opened:
            links.release(closed.guard)

    def _place(self, inode: int, fd: int | None) -> None:
        before = self._places.pop(inode, None)
        if before is not None:
            os.close(before)
        if fd is not None:
            self._places[inode] = fd

    def _hear(self, watched: _Watched) -> None:
        messages, sure = rtnetlink.read(watched.changes)
        for message in messages:
            if message.kind == rtnetlink.DELLINK:
                self._went(watched.inode, rtnetlink.index_of(message.body))
            elif message.kind == rtnetlink.NEWLINK:
                self._came(watched, rtnetlink.link_of(message.body))
        if not sure:
            self._resync(watched)

    def _went(self, inode: int, index: int) -> None:
        with self._lock:
            self._released.pop((inode, index), None)
            closed = self._closed.pop((inode, index), None)
        if closed is not None:
            links.release(closed.guard)

    def _resync(self, watched: _Watched) -> None:
        """Messages were lost: close what came, let go of what hangs on no device any more."""
        there = watched.netlink.links()
        present = {(watched.inode, link.index) for link in there}
        with self._lock:
            for key in [key for key in self._released if key[0] == watched.inode]:
                if key not in present:
                    del self._released[key]
            gone = [key for key, one in self._closed.items() if not links.info(one.guard).index]
            opened = [self._closed.pop(key) for key in gone]
        for closed in opened:
            links.release(closed.guard)
        for link in there:
            self._came(watched, link)

    def _came(self, watched: _Watched, link: Link) -> None:
        with contextlib.suppress(DlpError, OSError):  # it is gone already
            self._close(watched, link)

    def _close(self, watched: _Watched, link: Link) -> None:
        key, peer = (watched.inode, link.index), (link.linked, link.nsid)
        if link.kind != "veth" or not link.linked or link.nsid == NO_NSID:
            return
        with self._lock:
            if self._released.get(key) == peer or key in self._closed:
                return
        for fd in self._places.values():
            if watched.netlink.nsid_of(fd) == link.nsid:
                with entered(fd):
                    if any(self._ours(one.link) for one in links.order(link.linked, Hook.INGRESS)):
                        return
                    guard = links.create(self._program, link.linked, Hook.INGRESS)
                since = time.monotonic()
                now = watched.netlink.link(link.index)
                with self._lock:
                    if self._released.get(key) != peer:
                        self._closed[key] = Closed(since, now.sent if now else 0, guard)
                        return
                links.release(guard)  # all stood by then
                return

    def _end(self) -> None:
        for watched in self._watched.values():
            watched.close()
        with self._lock:
            guards = [closed.guard for closed in self._closed.values()]
            self._closed.clear()
        for guard in guards:
            links.release(guard)
        for fd in (*self._places.values(), self._program):
            os.close(fd)
        self._selector.close()
