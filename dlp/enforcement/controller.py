"""Brings listed namespaces under control as they appear, and keeps them there.

Everything that enters a namespace or speaks netlink runs in one thread of its own, so
that the event loop neither waits nor ever stands in a foreign namespace (see watching).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar

import structlog

from dlp.datapath import links as tcx
from dlp.datapath.abi import GuardFlag
from dlp.datapath.datapath import Datapath
from dlp.datapath.links import LINKS, Pins
from dlp.enforcement import record
from dlp.enforcement.admission import Standing
from dlp.enforcement.bindings import Bindings
from dlp.enforcement.changes import Changes
from dlp.enforcement.guards import Kit
from dlp.enforcement.keys import KeyRing, inode_of, slot_of
from dlp.enforcement.ledger import Ledger
from dlp.enforcement.namespace import ControlledNamespace, open_controlled
from dlp.enforcement.places import Place, Places
from dlp.enforcement.rules import Rules
from dlp.enforcement.sentry import Sentry
from dlp.enforcement.tokens import Tokens
from dlp.enforcement.watching import Watching
from dlp.errors import DlpError, KernelError
from dlp.model import Incident, Workload, WorkloadState
from dlp.policy import PolicySet
from dlp.workloads.cgroup import CgroupWatcher, find_cgroup2
from dlp.workloads.netns import NetnsNotReadyError, entered, names, open_netns
from dlp.workloads.watch import NetnsChange, NetnsEvent, NetnsWatcher

T = TypeVar("T")
# What the kernel tells nobody of (a program put before ours, a raised gso_max_size) is looked
# for: all namespaces once in so many seconds, longer where there are many. One look takes
# 0.4 ms.
_MEND_S = 1.0
_LOOK_S = 0.02
_SWEEP_S = 10.0
# A process with CAP_NET_RAW can read the token of a packet (skb->hash) by a packet socket, and
# CAP_NET_ADMIN lets a filter set it: what was read is worth nothing soon after.
ROTATE_S = 60.0


class Controller:
    """Owns the namespaces under control.

    Args:
        datapath: where classifiers come from and bindings go.
        rules: which namespaces, under which policies.
        record_path: where it is written down what is attached.
        links: where links are pinned.
        on_change: called when a workload changes its state.
        on_incident: called when one was tampered with, or cannot be guarded; also from the
            thread of the namespaces.
    """

    def __init__(
        self,
        datapath: Datapath,
        rules: Rules,
        *,
        record_path: Path = record.RECORD,
        links: Path = LINKS,
        on_change: Callable[[], None] = lambda: None,
        on_incident: Callable[[Incident], None] = lambda _: None,
        log: Any = None,
    ) -> None:
        self._datapath = datapath
        self._rules = rules
        self._on_change = on_change
        self._on_incident = on_incident
        self._log = log if log is not None else structlog.get_logger()
        self._watching = Watching(self._controlled_now, self._changed)
        self._keys = KeyRing(key.netns for key in list(datapath.tables["workloads"].keys()))
        self._bindings = Bindings(datapath)
        self._tokens = Tokens(datapath)
        pins = Pins(links)
        sentry = self._sentry = _sentry(datapath, pins.__contains__)
        places = Places(on_open=self._place_opened, on_close=self._place_closed)
        self._kit = Kit(datapath, self._tokens, pins, places, self._listed, sentry)
        self._controlled: dict[str, ControlledNamespace] = {}
        self._failed: dict[str, str] = {}
        self._present: dict[str, int] = {}
        self._cut: set[str] = set()
        self._expected: frozenset[str] | None = None  # listed and there at the start
        self._settled = asyncio.Event()
        self._ledger = Ledger(record_path, lambda: self._controlled, self._log)

    # -- what is seen from outside -----------------------------------------------

    def workloads(self) -> list[Workload]:
        """All listed namespaces with their states, in the order of the configuration."""
        return [self._workload(name) for name in self._rules.netns]

    def name_of(self, key: int) -> str:
        """Name of the namespace with that key; `netns-INODE` for one that is gone."""
        for name, namespace in self._controlled.items():
            if namespace.key == key:
                return name
        return self._ledger.name_of(inode_of(key)) or f"netns-{inode_of(key)}"

    def keys(self) -> dict[str, int]:
        """Keys of the namespaces under control, by name."""
        return {name: namespace.key for name, namespace in self._controlled.items()}

    def cgroup_path(self, number: int) -> str:
        """Path of a cgroup by its id; empty where it is not known."""
        return self._bindings.cgroup_path(number)

    async def within(self, key: int, call: Callable[..., T], *args: Any) -> T:
        """Run a blocking call in the namespace with that key.

        Raises:
            KernelError: no such namespace is under control.
        """
        for namespace in self._controlled.values():
            if namespace.key == key:
                return await self._watching.run(_within, namespace.place.fd, call, *args)
        raise KernelError("the namespace is not under control any more")

    async def wait_known(self) -> None:
        """Wait until it is known which of the listed namespaces are there."""
        await self._until(lambda: self._expected is not None)

    def standing(self, inode: int) -> Standing:
        """How a namespace stands; one that is not known by a listed name is not listed."""
        name = self._listed(inode)
        if not name:
            return Standing.UNLISTED
        namespace = self._controlled.get(name)
        enforced = (
            namespace is not None
            and namespace.inode == inode
            and namespace.ready
            and not namespace.error
        )
        return Standing.ENFORCED if enforced else Standing.AWAITED

    async def wait_enforced(self, timeout_s: float) -> bool:
        """Wait for the listed namespaces that exist, and so long for those that do not.

        Returns whether all are enforced.
        """
        await self._until(self._tried_expected)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._until(self._all_enforced)
        return self._all_enforced()

    def quarantine(self, name: str, *, on: bool) -> None:
        """Cut a workload's egress, or let it send again; also one that is not there yet."""
        (self._cut.add if on else self._cut.discard)(name)
        namespace = self._controlled.get(name)
        if namespace is not None:
            self._tokens.set(slot_of(namespace.key), GuardFlag.QUARANTINED, on=on)

    def look_again(self, key: int) -> None:
        """Something passed the classifiers of that namespace by: see what stands there, now."""
        for namespace in self._controlled.values():
            if namespace.key == key:
                self._watching.look(namespace)

    # -- life --------------------------------------------------------------------

    async def watch(self) -> None:
        """Follow namespaces as they appear and go, until cancelled."""
        expected = await self._watching.run(self._take_stock)
        self._expected = expected
        self._changed()
        # A link takes some 10 ms to make: first all classifiers, then guards.
        self._watching.guards_wait = True
        for name in expected:
            await self._control(name)
        self._watching.release_guards()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._rotate())
            async for event in NetnsWatcher().events():
                await self._namespace_changed(event)

    async def mend(self) -> None:
        """Look at everything again and again, until cancelled.

        What stood in the way of an attach may be gone, and not all that is done to a device is
        told.
        """
        swept = time.monotonic()
        while True:
            await asyncio.sleep(max(_MEND_S, _LOOK_S * len(self._controlled)))
            for name in tuple(self._controlled):
                namespace = self._controlled.get(name)
                if namespace is None or not namespace.covered:
                    continue
                failed = bool(namespace.error)
                if await self._watching.reconcile(namespace, Changes(sure=False)):
                    self._changed()
                if failed and not namespace.error:
                    self._log.info("namespace enforced", netns=name)
            due = time.monotonic() - swept > _SWEEP_S
            swept = time.monotonic() if due else swept
            await self._watching.run(self._tidy, due)

    async def watch_cgroups(self) -> None:
        """Follow cgroups, for policies that name some, until cancelled."""
        try:
            root = find_cgroup2()
        except DlpError as error:
            self._log.warning("cgroups cannot be followed", reason=str(error))
            return
        async for event in CgroupWatcher(root).events():
            self._bindings.cgroup_changed(
                event.cgroup, self._rules.policies, self.keys(), appeared=event.appeared
            )

    def rotate_tokens(self) -> None:
        """Give every workload new tokens; those before them are accepted until the next time."""
        for namespace in self._controlled.values():
            self._tokens.renew(slot_of(namespace.key))

    async def apply(self, rules: Rules) -> None:
        """Take over another configuration: bindings are the caller's, namespaces ours."""
        gone = set(self._rules.netns) - set(rules.netns)
        fresh = [name for name in rules.netns if name not in self._rules.netns]
        self._rules = rules
        for name in gone:
            await self._forget(name, detach=True)
        for name in fresh:
            if name in self._present:
                await self._control(name)
        for name, namespace in tuple(self._controlled.items()):
            terms = rules.terms(name)
            if terms != namespace.terms:
                namespace.apply(terms)
                await self._watching.reconcile(namespace, Changes(sure=False))
        self._changed()

    def scan_cgroups(self) -> None:
        """Read the cgroups that are there. Blocking; before the first bindings are asked for."""
        self._bindings.scan()

    def bindings(self, policies: PolicySet) -> dict[tuple[int, int], int]:
        """Policy numbers by (namespace key, cgroup id), all that are needed."""
        keys = self._keys.known()
        # Of what is controlled, and of what an earlier process left attached.
        earlier = self._ledger.earlier()
        left = {name: keys[inode] for inode, name in earlier.items() if inode in keys}
        return self._bindings.all(policies, left | self.keys())

    async def close(self) -> None:
        """Let go of everything; enforcement stays on."""
        self._ledger.close()
        for namespace in self._controlled.values():
            self._watching.ignore(namespace)
            await self._watching.run(namespace.close)
        self._controlled.clear()
        await self._watching.run(self._kit.places.close)
        self._watching.close()
        if self._sentry is not None:
            await asyncio.to_thread(self._sentry.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- inside ------------------------------------------------------------------

    def _place_opened(self, place: Place) -> None:
        self._watching.place_opened(place)
        if self._sentry is not None:
            self._sentry.place_opened(place.inode, place.fd)

    def _place_closed(self, place: Place) -> None:
        self._watching.place_closed(place)
        if self._sentry is not None:
            self._sentry.place_closed(place.inode)

    async def _rotate(self) -> None:
        while True:
            await asyncio.sleep(ROTATE_S)
            self.rotate_tokens()

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._settled.clear()
            await self._settled.wait()

    def _tried_expected(self) -> bool:
        if self._expected is None:
            return False
        ready = {name for name, namespace in self._controlled.items() if namespace.ready}
        tried = ready | self._failed.keys()
        return all(name in tried for name in self._expected if name in self._present)

    def _all_enforced(self) -> bool:
        return all(workload.state is WorkloadState.ENFORCED for workload in self.workloads())

    def _take_stock(self) -> frozenset[str]:
        """Let go of what an earlier process held and this one does not list. Blocking.

        Returns the listed names that are there.
        """
        with contextlib.ExitStack() as stack:
            present = {}
            for name in names():
                with contextlib.suppress(DlpError):
                    present[name] = stack.enter_context(open_netns(name))
            listed = frozenset(present.keys() & set(self._rules.netns))
            kept = {present[name].inode for name in listed}
            self._ledger.let_go(kept, present.values(), self._kit.pins, self._kit.places)
        for inode, key in self._keys.known().items():
            if inode not in kept:
                self._release(inode, key)
        self._kit.pins.sweep()
        self._present = {name: present[name].inode for name in listed} | self._present
        return listed

    def _tidy(self, sweep: bool) -> None:  # noqa: FBT001 - for a thread
        """Close namespaces that nothing of ours is in; unpin links of devices that are gone.

        Blocking. A namespace that can be had by no path is let go of, so that it can end.
        """
        if sweep:
            self._kit.pins.sweep()
        used = set().union(*(one.places() for one in tuple(self._controlled.values())))
        for place in self._kit.places.keep(used):
            for namespace in tuple(self._controlled.values()):
                namespace.lose(place)

    def _workload(self, name: str) -> Workload:
        workload = self._rules.workload(name)
        namespace, failed = self._controlled.get(name), self._failed.get(name)
        if failed is not None:
            return replace(workload, state=WorkloadState.FAILED, error=failed)
        if namespace is None:
            return replace(workload, quarantined=name in self._cut)
        cut = self._tokens.has(slot_of(namespace.key), GuardFlag.QUARANTINED)
        return replace(namespace.describe(workload), quarantined=cut)

    def _controlled_now(self) -> Collection[ControlledNamespace]:
        return self._controlled.values()

    def _listed(self, inode: int) -> str:
        """Name of the listed namespace with that inode; in whichever thread."""
        for name, known in tuple(self._present.items()):
            if known == inode and name in self._rules.netns:
                return name
        return ""

    async def _namespace_changed(self, event: NetnsEvent) -> None:
        if event.change is NetnsChange.GONE:
            if self._present.get(event.name) == event.inode:
                del self._present[event.name]
            namespace = self._controlled.get(event.name)
            if namespace is not None and namespace.inode == event.inode:
                await self._forget(event.name, detach=False)
            self._changed()
            return
        self._present[event.name] = event.inode
        known = self._controlled.get(event.name)
        if event.name in self._rules.netns and (known is None or known.inode != event.inode):
            await self._control(event.name)

    async def _control(self, name: str) -> None:
        if name in self._controlled:
            await self._forget(name, detach=False)
        self._failed.pop(name, None)
        late = self._expected is not None and name not in self._expected
        try:
            namespace = await self._watching.run(self._open, name, late)
        except NetnsNotReadyError:
            return
        except (DlpError, OSError) as error:
            self._failed[name] = str(error)
            self._log.error("namespace not enforced", netns=name, reason=str(error))
            self._changed()
            return
        # The policy first, the classifier second: its first packet finds its policy.
        self._controlled[name] = namespace
        self._bindings.bind(self._rules.policies, name, namespace.key)
        await self._watching.reconcile(namespace, Changes())
        self._watching.listen(namespace)
        if self._sentry is not None and namespace.terms.closed and not namespace.terms.monitor:
            self._sentry.watch(namespace.inode, namespace.place.fd)
        self._ledger.taken_over(namespace.inode)
        if namespace.error:
            self._log.error("namespace not enforced", netns=name, reason=namespace.error)
        else:
            self._log.info("namespace enforced", netns=name, devices=len(namespace.covers))
        self._changed()

    def _open(self, name: str, late: bool) -> ControlledNamespace:  # noqa: FBT001 - for a thread
        """Blocking."""
        namespace = open_controlled(
            name,
            self._kit,
            self._keys,
            self._rules.terms(name),
            tell=self._on_incident,
            cut=name in self._cut,
        )
        namespace.late = late
        self._ledger.hand_over(namespace)
        return namespace

    async def _forget(self, name: str, *, detach: bool) -> None:
        namespace = self._controlled.pop(name, None)
        self._failed.pop(name, None)
        if namespace is None:
            return
        self._watching.ignore(namespace)
        if self._sentry is not None:
            self._sentry.ignore(namespace.inode)
        if detach:
            try:
                await self._watching.run(namespace.detach)
            except DlpError as error:
                self._ledger.not_let_go(name, namespace)
                self._log.error("namespace not let go", netns=name, reason=str(error))
        await self._watching.run(namespace.close)
        self._release(namespace.inode, namespace.key)
        self._changed()

    def _release(self, inode: int, key: int) -> None:
        self._keys.release(inode)
        self._bindings.unbind(key)

    def _changed(self) -> None:
        self._settled.set()
        self._ledger.changed()
        self._on_change()


def _sentry(datapath: Datapath, ours: Callable[[int], bool]) -> Sentry | None:
    """A guard of slot 0, which is no workload's, lets nothing in."""
    if not tcx.supported():
        return None
    datapath.set_guard_flags(0, GuardFlag.CLOSED)
    sentry = Sentry(datapath.guard(0), ours)
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    sentry.place_opened(os.fstat(home).st_ino, home)
    os.close(home)
    return sentry


def _within(fd: int, call: Callable[..., T], *args: Any) -> T:
    with entered(fd):
        return call(*args)
