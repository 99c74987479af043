"""Brings listed namespaces under control as they appear, and keeps them there.

Everything that enters a namespace or speaks netlink runs in one thread of its own, so
that the event loop neither waits nor ever stands in a foreign namespace (see watching).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import structlog

from dlp.datapath.abi import GuardFlag
from dlp.datapath.datapath import Datapath
from dlp.datapath.links import LINKS
from dlp.enforcement import record
from dlp.enforcement.admission import Standing
from dlp.enforcement.bindings import Bindings
from dlp.enforcement.changes import Changes
from dlp.enforcement.ground import Ground
from dlp.enforcement.keys import KeyRing, inode_of, slot_of
from dlp.enforcement.ledger import Ledger
from dlp.enforcement.namespace import ControlledNamespace, open_controlled
from dlp.enforcement.rules import Rules
from dlp.enforcement.watching import Watching
from dlp.errors import DlpError, KernelError
from dlp.model import Incident, Workload, WorkloadState
from dlp.policy import PolicySet
from dlp.workloads.netns import NetnsNotReadyError
from dlp.workloads.watch import NetnsChange, NetnsEvent, NetnsWatcher

T = TypeVar("T")
# What the kernel tells nobody of (a program put before ours, a raised gso_max_size) is looked for:
# all namespaces once in so many seconds, one after another; from 200 on, longer. One look takes
# 0.4 ms.
_MEND_S = 1.0
_LOOK_S = 0.005
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
        self._ground = Ground(datapath, links, self._watching, self._listed)
        self._kit = self._ground.kit
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
        if (namespace := self._by_key(key)) is not None:
            return namespace.name
        return self._ledger.name_of(inode_of(key)) or f"netns-{inode_of(key)}"

    def keys(self) -> dict[str, int]:
        """Keys of the namespaces under control, by name."""
        return {name: one.key for name, one in self._controlled.items()}

    def cgroup_path(self, number: int) -> str:
        """Path of a cgroup by its id; empty where it is not known."""
        return self._bindings.cgroup_path(number)

    async def within(self, key: int, call: Callable[..., T], *args: Any) -> T:
        """Run a blocking call in the namespace with that key.

        Raises:
            KernelError: no such namespace is under control.
        """
        namespace = self._by_key(key)
        if namespace is None:
            raise KernelError("the namespace is not under control any more")
        return await self._watching.within(namespace, call, *args)

    async def wait_known(self) -> None:
        """Wait until it is known which of the listed namespaces are there."""
        await self._until(lambda: self._expected is not None)

    def standing(self, inode: int) -> Standing:
        """How a namespace stands; one that is not known by a listed name is not listed."""
        name = self._listed(inode)
        if not name:
            return Standing.UNLISTED
        namespace = self._controlled.get(name)
        if namespace is None or namespace.inode != inode or not namespace.ready:
            return Standing.AWAITED
        return Standing.AWAITED if namespace.error else Standing.ENFORCED

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
            self._kit.tokens.set(slot_of(namespace.key), GuardFlag.QUARANTINED, on=on)

    def look_again(self, key: int) -> None:
        """Something passed the classifiers of that namespace by: see what stands there, now."""
        if (namespace := self._by_key(key)) is not None:
            self._watching.look(namespace)

    # -- life --------------------------------------------------------------------

    async def watch(self) -> None:
        """Follow namespaces as they appear and go, until cancelled."""
        expected = self._expected = await self._watching.run(self._take_stock)
        self._changed()
        # A link takes some 10 ms to make: first all classifiers, then guards.
        self._watching.guards_wait = True
        for name in expected:
            await self._control(name)
        self._watching.release_guards()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.rotate_tokens())
            async for event in NetnsWatcher().events():
                await self._namespace_changed(event)

    async def mend(self) -> None:
        """Look at everything again and again, until cancelled.

        What stood in the way of an attach may be gone, and not all that is done to a device is
        told.
        """
        swept = time.monotonic()
        while True:
            names = tuple(self._controlled)
            pause = max(_MEND_S / max(len(names), 1), _LOOK_S)
            for name in names:
                await asyncio.sleep(pause)
                await self._mend(name)
            if not names:
                await asyncio.sleep(pause)
            due = time.monotonic() - swept > _SWEEP_S
            swept = time.monotonic() if due else swept
            present = tuple(self._controlled.values())
            await self._watching.run(partial(self._ground.tidy, present, sweep=due))

    async def _mend(self, name: str) -> None:
        namespace = self._controlled.get(name)
        if namespace is None or not namespace.covered:
            return
        failed = namespace.error
        if await self._watching.reconcile(namespace, Changes(sure=False)):
            self._changed()
        if failed and not namespace.error:
            self._tell_of(namespace)

    async def watch_cgroups(self) -> None:
        """Follow cgroups, for policies that name some, until cancelled."""
        try:
            await self._bindings.follow(lambda: (self._rules.policies, self.keys()))
        except DlpError as error:
            self._log.warning("cgroups cannot be followed", reason=str(error))

    async def rotate_tokens(self) -> None:
        """Give every workload new tokens every minute, until cancelled.

        Those before them are accepted until the next time.
        """
        while True:
            await asyncio.sleep(ROTATE_S)
            for namespace in self._controlled.values():
                self._kit.tokens.renew(slot_of(namespace.key))

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
                self._ground.watch(namespace)
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
        await self._watching.run(self._ground.close)
        self._watching.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- inside ------------------------------------------------------------------

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
        return all(one.state is WorkloadState.ENFORCED for one in self.workloads())

    def _take_stock(self) -> frozenset[str]:
        """Let go of what an earlier process held and this one does not list. Blocking.

        Returns the listed names that are there.
        """
        present = self._ledger.take_stock(self._rules.netns, self._kit.pins, self._kit.places)
        for inode, key in self._keys.known().items():
            if inode not in present.values():
                self._release(inode, key)
        self._kit.pins.sweep()
        self._present = present | self._present
        return frozenset(present)

    def _workload(self, name: str) -> Workload:
        workload = self._rules.workload(name)
        namespace, failed = self._controlled.get(name), self._failed.get(name)
        if failed is not None:
            return replace(workload, state=WorkloadState.FAILED, error=failed)
        if namespace is None:
            return replace(workload, quarantined=name in self._cut)
        cut = self._kit.tokens.has(slot_of(namespace.key), GuardFlag.QUARANTINED)
        return replace(namespace.describe(workload), quarantined=cut)

    def _by_key(self, key: int) -> ControlledNamespace | None:
        return next((one for one in self._controlled.values() if one.key == key), None)

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
        fresh = known is None or known.inode != event.inode
        if fresh and event.name in self._rules.netns:
            await self._control(event.name, late=True)

    async def _control(self, name: str, *, late: bool = False) -> None:
        """`late`: it has just come; what ran before loses no packet by our coming."""
        if name in self._controlled:
            await self._forget(name, detach=False)
        self._failed.pop(name, None)
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
        self._ground.watch(namespace)
        self._ledger.taken_over(namespace.inode)
        self._tell_of(namespace)
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
        self._ground.ignore(namespace)
        if detach:
            try:
                await self._watching.run(namespace.detach)
            except DlpError as error:
                self._ledger.not_let_go(name, namespace)
                self._log.error("namespace not let go", netns=name, reason=str(error))
        await self._watching.run(namespace.close)
        self._release(namespace.inode, namespace.key)
        self._changed()

    def _tell_of(self, namespace: ControlledNamespace) -> None:
        if namespace.error:
            self._log.error("namespace not enforced", netns=namespace.name, reason=namespace.error)
        else:
            devices = len(namespace.covers)
            self._log.info("namespace enforced", netns=namespace.name, devices=devices)

    def _release(self, inode: int, key: int) -> None:
        self._keys.release(inode)
        self._bindings.unbind(key)

    def _changed(self) -> None:
        self._settled.set()
        self._ledger.changed()
        self._on_change()
