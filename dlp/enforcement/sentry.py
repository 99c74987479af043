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
from dlp.datapath.attach import NamespaceLink
from dlp.datapath.links import Hook
from dlp.datapath.rtnetlink import NO_NSID, Link, Netlink
from dlp.errors import DlpError
from dlp.workloads.netns import entered

_NICE = -20  # of the thread


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
class _Place:
    """A namespace where host ends may lie."""

    fd: int
    link: NamespaceLink

    def close(self) -> None:
        self.link.close()
        os.close(self.fd)


@dataclass(frozen=True, slots=True)
class Closed:
    """A device that is closed.

    Attributes:
        since: when that was (time.monotonic); sent: packets that had left by then.
        guard: descriptor of the link.
        end: the host end: inode of its namespace, and index.
    """

    since: float
    sent: int
    guard: int
    end: tuple[int, int]


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
        # Moved before it was released, by host end; with the namespace that it was in.
        self._away: dict[tuple[int, int], tuple[int, Closed]] = {}
        self._released: dict[tuple[int, int], tuple[int, int]] = {}
        self._places: dict[int, _Place] = {}
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

    def release(
        self, inode: int, index: int, peer: tuple[int, int], end: tuple[int, int] | None = None
    ) -> None:
        """Classifier and guard stand on a device, or it can have none: it is ours no more.

        Args:
            peer: index and namespace number of its other end.
            end: inode of that end's namespace, and index; None where it is not known.
        """
        with self._lock:
            self._released[inode, index] = peer
            keys = [
                key for key, one in self._closed.items() if key == (inode, index) or one.end == end
            ]
            opened = [self._closed.pop(key) for key in keys]
            if end in self._away:
                opened.append(self._away.pop(end)[1])
        for closed in opened:
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
        # Workloads that use all processors must not make it wait; it has little to do itself.
        with contextlib.suppress(OSError):  # without CAP_SYS_NICE
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
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
            away = [end for end, (before, _) in self._away.items() if before == inode]
            opened += [self._away.pop(end)[1] for end in away]
        for closed in opened:
            links.release(closed.guard)

    def _place(self, inode: int, fd: int | None) -> None:
        before = self._places.pop(inode, None)
        if before is not None:
            before.close()
        if fd is None:
            return
        try:
            self._places[inode] = _Place(fd, NamespaceLink(fd))
        except BaseException:
            os.close(fd)
            raise

    def _hear(self, watched: _Watched) -> None:
        messages, sure = rtnetlink.read(watched.changes)
        for message in messages:
            if message.kind not in {rtnetlink.NEWLINK, rtnetlink.DELLINK}:
                continue
            link = rtnetlink.link_of(message.body)
            if link.family != socket.AF_UNSPEC:
                continue  # of a bridge about its port, which neither came nor went
            if message.kind == rtnetlink.DELLINK:
                self._went(watched.inode, link)
            else:
                self._came(watched, link)
        if not sure:
            self._resync(watched)

    def _went(self, inode: int, link: Link) -> None:
        """A device that was moved stays closed: nobody has released it."""
        with self._lock:
            self._released.pop((inode, link.index), None)
            closed = self._closed.pop((inode, link.index), None)
            if closed is not None and link.new_index > 0:
                self._away[closed.end] = inode, closed
                return
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
            # Whose host end is there went elsewhere, or comes below.
            gone = [key for key, one in self._closed.items() if not links.info(one.guard).index]
            opened = [self._closed.pop(key) for key in gone]
            lost = [end for end, (_, one) in self._away.items() if not links.info(one.guard).index]
            opened += [self._away.pop(end)[1] for end in lost]
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
        for inode, place in self._places.items():
            if watched.netlink.nsid_of(place.fd) == link.nsid:
                self._close_end(watched, link, (inode, link.linked), place)
                return

    def _close_end(
        self, watched: _Watched, link: Link, end: tuple[int, int], place: _Place
    ) -> None:
        key, peer = (watched.inode, link.index), (link.linked, link.nsid)
        with self._lock:
            home = self._away.pop(end, None)
            if home is not None:
                self._closed[key] = home[1]
                return
        if self._linked(place, link.linked):
            return
        with entered(place.fd):
            guard = links.create(self._program, link.linked, Hook.INGRESS)
        since = time.monotonic()
        now = watched.netlink.link(link.index)
        with self._lock:
            stood = self._released.get(key) == peer
            if not stood:
                self._closed[key] = Closed(since, now.sent if now else 0, guard, end)
        if stood:
            links.release(guard)
        elif place.link.attached(link.linked, Hook.INGRESS) or self._linked(place, link.linked):
            self._open(key)  # it was moved, and what is here to tell that is not read yet

    def _linked(self, place: _Place, index: int) -> bool:
        """Whether a guard of a workload stands on a host end, by a link."""
        return any(self._ours(one.link) for one in place.link.order(index, Hook.INGRESS))

    def _open(self, key: tuple[int, int]) -> None:
        with self._lock:
            closed = self._closed.pop(key, None)
        if closed is not None:
            links.release(closed.guard)

    def _end(self) -> None:
        for watched in self._watched.values():
            watched.close()
        with self._lock:
            away = [one for _, one in self._away.values()]
            guards = [one.guard for one in (*self._closed.values(), *away)]
            self._closed.clear()
            self._away.clear()
        for guard in guards:
            links.release(guard)
        for place in self._places.values():
            place.close()
        os.close(self._program)
        self._selector.close()
