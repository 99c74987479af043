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
        self._closed: dict[tuple[int, int], int] = {}  # namespace, index: the guard's link
        self._released: set[tuple[int, int]] = set()
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

    def release(self, inode: int, index: int) -> None:
        """Classifier and guard stand on a device, or it can have none: it is ours no more."""
        with self._lock:
            self._released.add((inode, index))
            link = self._closed.pop((inode, index), None)
        if link is not None:
            os.close(link)

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
            self._released = {key for key in self._released if key[0] != inode}
            opened = [self._closed.pop(key) for key in tuple(self._closed) if key[0] == inode]
        for link in opened:
            os.close(link)

    def _place(self, inode: int, fd: int | None) -> None:
        before = self._places.pop(inode, None)
        if before is not None:
            os.close(before)
        if fd is not None:
            self._places[inode] = fd

    def _hear(self, watched: _Watched) -> None:
        messages, sure = rtnetlink.read(watched.changes)
        if not sure:
            self._sweep()
        for message in messages:
            if message.kind == rtnetlink.DELLINK:
                self._went(watched.inode, rtnetlink.index_of(message.body))
            elif message.kind == rtnetlink.NEWLINK:
                with contextlib.suppress(DlpError, OSError):  # it is gone already
                    self._came(watched, rtnetlink.link_of(message.body))

    def _went(self, inode: int, index: int) -> None:
        with self._lock:
            self._released.discard((inode, index))
            link = self._closed.pop((inode, index), None)
        if link is not None:
            os.close(link)

    def _sweep(self) -> None:
        """Messages were lost: let go of what hangs on no device any more."""
        with self._lock:
            gone = [key for key, link in self._closed.items() if not links.info(link).index]
            released = [self._closed.pop(key) for key in gone]
        for link in released:
            os.close(link)

    def _came(self, watched: _Watched, link: Link) -> None:
        key = (watched.inode, link.index)
        if link.kind != "veth" or not link.linked or link.nsid == NO_NSID:
            return
        with self._lock:
            if key in self._released or key in self._closed:
                return
        for fd in self._places.values():
            if watched.netlink.nsid_of(fd) == link.nsid:
                with entered(fd):
                    if any(self._ours(one.link) for one in links.order(link.linked, Hook.INGRESS)):
                        return
                    guard = links.create(self._program, link.linked, Hook.INGRESS)
                with self._lock:
                    if key not in self._released:
                        self._closed[key] = guard
                        return
                os.close(guard)  # all stood by then
                return

    def _end(self) -> None:
        for watched in self._watched.values():
            watched.close()
        with self._lock:
            opened = [*self._closed.values(), *self._places.values(), self._program]
            self._closed.clear()
        for fd in opened:
            os.close(fd)
        self._selector.close()
