"""One thread for all namespaces, and what wakes it."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from types import SimpleNamespace

import pytest

from dlp.enforcement import watching as module
from dlp.enforcement.changes import Changes
from dlp.enforcement.watching import Watching
from dlp.errors import KernelError
from tests.netlab import PATIENCE


class Namespace:
    """The part of a namespace that is woken."""

    def __init__(self, key: int = 1) -> None:
        self.key = key
        self.told, self.changes = socket.socketpair()
        self.changes.setblocking(False)
        link = SimpleNamespace(netlink=SimpleNamespace(port=7))
        self.place = SimpleNamespace(changes=self.changes, closed=False, link=link)
        self.seen: list[Changes] = []
        self.threads: set[str] = set()
        self.error, self.covered, self.ready = "", False, False
        self.awaited: float | None = None
        self.refuse: Exception | None = None

    def reconcile(self, changes: Changes) -> bool:
        self.threads.add(threading.current_thread().name)
        self.seen.append(changes)
        if self.refuse is not None:
            raise self.refuse
        if self.awaited is not None and self.awaited <= time.monotonic():
            self.awaited = None
        return True

    def touched(self, place, told) -> set[int]:
        return {2} if place.inode == 5 else set()

    def due(self) -> float | None:
        return self.awaited

    def close(self) -> None:
        self.place.closed = True
        self.told.close()
        self.changes.close()


@pytest.fixture
def namespace(monkeypatch):
    """One, whose socket tells bytes in place of messages."""

    def drain(changes: socket.socket, _ours=()) -> Changes:
        changes.recv(4096)
        return Changes(linked={9})

    monkeypatch.setattr(module, "drain", drain)
    made = Namespace()
    yield made
    made.close()


@pytest.fixture
async def watching(namespace):
    """At work on it."""
    worked = []
    made = Watching(lambda: [namespace], lambda: worked.append(1))
    made.worked = worked
    yield made
    made.ignore(namespace)
    made.close()


async def until(holds) -> None:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < PATIENCE, "it did not come to be in time"
        await asyncio.sleep(0.001)


async def test_what_is_told_is_acted_on(watching, namespace):
    """In the thread for namespaces, each time; whoever watches states is told."""
    watching.listen(namespace)
    for turn in range(3):
        namespace.told.send(b"x")
        await until(lambda turn=turn: len(namespace.seen) == turn + 1)
    await until(lambda: len(watching.worked) == 3)

    assert [{9}] * 3 == [one.linked for one in namespace.seen]
    assert 1 == len(namespace.threads)
    assert next(iter(namespace.threads)).startswith("netns")


async def test_many_at_once_are_read_at_once(watching, namespace):
    """While the thread is busy, what is told adds up."""
    busy = threading.Event()
    watching.listen(namespace)
    waiting = asyncio.ensure_future(watching.run(busy.wait, 5))  # noqa: TID251
    for _ in range(20):
        namespace.told.send(b"x")
        await asyncio.sleep(0.001)
    busy.set()
    await waiting
    await until(lambda: namespace.seen)
    await asyncio.sleep(0.02)

    assert 1 == len(namespace.seen)


async def test_looks_are_few(watching, namespace, monkeypatch):
    """A flood of reasons to look again is one look, and another one later."""
    monkeypatch.setattr(module, "_LOOK_S", 0.5)  # longer than the flood on a busy machine
    for _ in range(50):
        watching.look(namespace)
    await until(lambda: namespace.seen)
    await asyncio.sleep(module._LOOK_S)
    first = len(namespace.seen)
    watching.look(namespace)
    await until(lambda: len(namespace.seen) == 2)

    assert 1 == first
    assert not namespace.seen[0].sure


async def test_guard_in_time(watching, namespace):
    """A device whose guard is awaited is gone through again when its time has come."""
    began = time.monotonic()
    namespace.awaited = began + 0.05
    await watching.reconcile(namespace, Changes())
    await until(lambda: namespace.awaited is None)

    assert 0.05 <= time.monotonic() - began < 1
    assert 2 == len(namespace.seen)


async def test_classifiers_before_guards(watching, namespace):
    """As long as guards are to wait, none is placed; then all are."""
    namespace.awaited = time.monotonic()
    watching.guards_wait = True
    await watching.reconcile(namespace, Changes())
    await asyncio.sleep(0.03)
    held = len(namespace.seen)
    watching.release_guards()
    await until(lambda: namespace.awaited is None)

    assert 1 == held


async def test_failure_is_the_namespaces(watching, namespace):
    """It is told as its error, and nobody waits for it for ever."""
    namespace.refuse = KernelError("refused")

    assert await watching.reconcile(namespace, Changes())
    assert ("refused", True, True) == (namespace.error, namespace.covered, namespace.ready)


async def test_closed_namespace_is_left(watching, namespace):
    """What was queued for it meanwhile does nothing."""
    namespace.place.closed = True

    assert not await watching.reconcile(namespace, Changes())
    assert [] == namespace.seen
    namespace.place.closed = False


async def test_place(watching, namespace):
    """What a host end's namespace tells wakes those that have something there."""
    told, changes = socket.socketpair()
    link = SimpleNamespace(netlink=SimpleNamespace(port=7))
    place = SimpleNamespace(inode=5, changes=changes, closed=False, link=link)
    await watching.run(lambda: watching.place_opened(place))
    told.send(b"x")
    await until(lambda: namespace.seen)
    await watching.run(lambda: watching.place_closed(place))
    place.closed = True
    told.send(b"x")
    await asyncio.sleep(0.02)
    told.close()
    changes.close()

    assert [{2}] == [one.filtered for one in namespace.seen]
