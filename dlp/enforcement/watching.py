"""One thread for all that enters a namespace or speaks netlink, and what wakes it.

    a socket of a namespace has something to tell ─► its devices are gone through
    a socket of a host end's namespace            ─► the devices that it is about
    a guard's time has come                       ─► its device

A socket is not listened to until the thread has read it, so that what comes meanwhile is read
in one go.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from dlp.enforcement.changes import Changes, drain
from dlp.enforcement.namespace import ControlledNamespace
from dlp.enforcement.places import Place
from dlp.errors import DlpError
from dlp.workloads.netns import entered

T = TypeVar("T")
_LOOK_S = 0.05


class Watching:
    """Made where a loop runs or will run; used in the loop's thread, but for `place_*`.

    Args:
        controlled: the namespaces at present.
        on_worked: called in the loop when a namespace has changed.
    """

    def __init__(
        self,
        controlled: Callable[[], Iterable[ControlledNamespace]],
        on_worked: Callable[[], None],
    ) -> None:
        self._controlled = controlled
        self._on_worked = on_worked
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="netns")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._looked: dict[int, float] = {}
        self.guards_wait = False  # all classifiers first

    async def run(self, call: Callable[..., T], *args: Any) -> T:
        """Run a blocking call in the thread."""
        self._loop = asyncio.get_running_loop()
        return await self._loop.run_in_executor(self._thread, call, *args)

    async def within(self, namespace: ControlledNamespace, call: Callable[..., T], *args: Any) -> T:
        """Run a blocking call in the thread, inside a namespace."""

        def inside() -> T:
            with entered(namespace.place.fd):
                return call(*args)

        return await self.run(inside)

    async def reconcile(self, namespace: ControlledNamespace, changes: Changes) -> bool:
        """Go through a namespace's devices; whether anything changed."""
        changed = await self.run(reconcile, namespace, changes)
        self._await_guards(namespace)
        return changed

    def listen(self, namespace: ControlledNamespace) -> None:
        """Follow a namespace's changes from here on."""
        loop = asyncio.get_running_loop()
        loop.add_reader(namespace.place.changes, self._heard, namespace)

    def ignore(self, namespace: ControlledNamespace) -> None:
        """Follow them no more; before the namespace is closed."""
        asyncio.get_running_loop().remove_reader(namespace.place.changes)
        self._looked.pop(namespace.key, None)
        timer = self._timers.pop(namespace.key, None)
        if timer is not None:
            timer.cancel()

    def look(self, namespace: ControlledNamespace) -> None:
        """Ask the kernel what stands on every device, soon; not oftener than every 50 ms."""
        now = time.monotonic()
        if now - self._looked.get(namespace.key, 0.0) > _LOOK_S:
            self._looked[namespace.key] = now
            self._submit([namespace], reconcile, namespace, Changes(sure=False))

    def release_guards(self) -> None:
        """Guards that had to wait may be placed from here on."""
        self.guards_wait = False
        for namespace in self._controlled():
            self._await_guards(namespace)

    def place_opened(self, place: Place) -> None:
        """From the thread: a host end's namespace is worked in from here on."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._listen_at, place)

    def place_closed(self, place: Place) -> None:
        """From the thread: it is about to be closed."""
        # A descriptor that is closed leaves epoll by itself; its number may be another's soon.
        if self._loop is not None and not self._loop.is_closed():
            number = place.changes.fileno()
            self._loop.call_soon_threadsafe(self._unlisten, number, place)

    def close(self) -> None:
        """End the thread."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._thread.shutdown()

    # -- inside ------------------------------------------------------------------

    def _heard(self, namespace: ControlledNamespace) -> None:
        asyncio.get_running_loop().remove_reader(namespace.place.changes)

        def again() -> None:
            if not namespace.place.closed and namespace in self._controlled():
                self.listen(namespace)

        self._submit([namespace], follow, namespace, then=again)

    def _listen_at(self, place: Place) -> None:
        if not place.closed:
            asyncio.get_running_loop().add_reader(place.changes, self._heard_at, place)

    def _unlisten(self, number: int, place: Place) -> None:
        del place
        asyncio.get_running_loop().remove_reader(number)

    def _heard_at(self, place: Place) -> None:
        asyncio.get_running_loop().remove_reader(place.changes)
        namespaces = list(self._controlled())
        self._submit(
            namespaces, follow_place, place, namespaces, then=lambda: self._listen_at(place)
        )

    def _await_guards(self, namespace: ControlledNamespace) -> None:
        """A guard may be placed later: go through the devices then."""
        due = namespace.due()
        if due is None or self.guards_wait or namespace.place.closed:
            return
        if namespace.key in self._timers:
            return

        def now() -> None:
            self._timers.pop(namespace.key, None)
            self._submit([namespace], reconcile, namespace, Changes())

        delay = max(0.0, due - time.monotonic())
        loop = asyncio.get_running_loop()
        self._timers[namespace.key] = loop.call_later(delay, now)

    def _submit(
        self,
        about: list[ControlledNamespace],
        call: Callable[..., bool],
        *args: Any,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        loop = asyncio.get_running_loop()

        def done(future: Future[bool]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(worked, future)

        def worked(future: Future[bool]) -> None:
            for namespace in about:
                self._await_guards(namespace)
            if not future.cancelled() and future.result():
                self._on_worked()
            then()

        with contextlib.suppress(RuntimeError):  # the thread has ended
            self._thread.submit(call, *args).add_done_callback(done)


def reconcile(namespace: ControlledNamespace, changes: Changes) -> bool:
    """Go through a namespace's devices; a failure is its error. Blocking."""
    if namespace.place.closed:
        return False
    try:
        return namespace.reconcile(changes)
    except (DlpError, OSError) as error:
        namespace.error = str(error)
        namespace.covered = namespace.ready = True
        return True


def follow(namespace: ControlledNamespace) -> bool:
    """Read what the kernel tells of a namespace, and act on it. Blocking."""
    place = namespace.place
    if place.closed:
        return False
    try:
        changes = drain(place.changes, {place.link.netlink.port})
    except OSError as error:
        namespace.error = f"the namespace cannot be watched: {error}"
        return True
    return reconcile(namespace, changes)


def follow_place(place: Place, namespaces: Iterable[ControlledNamespace]) -> bool:
    """Read what the kernel tells of another namespace, for those with something there. Blocking."""
    if place.closed:
        return False
    try:
        told = drain(place.changes, {place.link.netlink.port})
    except OSError:
        told = Changes(sure=False)
    changed = False
    for namespace in namespaces:
        touched = namespace.touched(place, told)
        if touched:
            changed |= reconcile(namespace, Changes(filtered=touched, since=told.since))
    return changed
