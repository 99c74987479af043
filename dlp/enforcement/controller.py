"""Brings listed namespaces under control as they appear, and keeps them there.

Everything that enters a namespace or speaks netlink runs in one thread of its own, so
that the event loop neither waits nor ever stands in a foreign namespace.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar

import structlog

from dlp.datapath.attach import NamespaceLink
from dlp.datapath.datapath import Datapath
from dlp.enforcement import record
from dlp.enforcement.admission import Standing
from dlp.enforcement.keys import KeyRing, inode_of
from dlp.enforcement.namespace import ControlledNamespace, drain, open_controlled
from dlp.errors import ConfigError, DlpError, KernelError
from dlp.model import Incident, Mode, Workload, WorkloadState
from dlp.policy import STRICTEST, PolicySet
from dlp.workloads.cgroup import Cgroup, CgroupWatcher, find_cgroup2, scan
from dlp.workloads.netns import NetnsNotReadyError, entered, names, open_netns
from dlp.workloads.watch import NetnsChange, NetnsEvent, NetnsWatcher

T = TypeVar("T")
_MEND_S = 2.0


@dataclass(frozen=True, slots=True)
class Rules:
    """What the controller needs of a configuration."""

    netns: tuple[str, ...]
    policies: PolicySet


class Controller:
    """Owns the namespaces under control.

    Args:
        datapath: where classifiers come from and bindings go.
        rules: which namespaces, under which policies.
        record_path: where it is written down what is attached.
        on_change: called when a workload changes its state.
        on_incident: called from the thread of the namespaces when one was tampered with.
    """

    def __init__(
        self,
        datapath: Datapath,
        rules: Rules,
        *,
        record_path: Path = record.RECORD,
        on_change: Callable[[], None] = lambda: None,
        on_incident: Callable[[Incident], None] = lambda _: None,
        log: Any = None,
    ) -> None:
        self._datapath = datapath
        self._rules = rules
        self._record_path = record_path
        self._on_change = on_change
        self._on_incident = on_incident
        self._log = log if log is not None else structlog.get_logger()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="netns")
        self._keys = KeyRing(key.netns for key in list(datapath.tables["workloads"].keys()))
        self._before = {entry.inode: entry for entry in record.read(record_path)}
        self._controlled: dict[str, ControlledNamespace] = {}
        self._failed: dict[str, str] = {}
        self._present: dict[str, int] = {}
        # Attached by an earlier process and not yet taken over: the record must not forget them.
        self._left = dict(self._before)
        self._expected: frozenset[str] | None = None  # listed and there at the start
        self._cgroups: dict[str, Cgroup] = {}
        self._settled = asyncio.Event()

    # -- what is seen from outside -----------------------------------------------

    def workloads(self) -> list[Workload]:
        """All listed namespaces with their states, in the order of the configuration."""
        return [self._workload(name) for name in self._rules.netns]

    def name_of(self, key: int) -> str:
        """Name of the namespace with that key; `netns-INODE` for one that is gone."""
        for name, namespace in self._controlled.items():
            if namespace.key == key:
                return name
        earlier = self._before.get(inode_of(key))
        return earlier.name if earlier else f"netns-{inode_of(key)}"

    def keys(self) -> dict[str, int]:
        """Keys of the namespaces under control, by name."""
        return {name: namespace.key for name, namespace in self._controlled.items()}

    def cgroup_path(self, number: int) -> str:
        """Path of a cgroup by its id; empty where it is not known."""
        for path, cgroup in self._cgroups.items():
            if cgroup.id == number:
                return path
        return ""

    async def within(self, key: int, call: Callable[..., T], *args: Any) -> T:
        """Run a blocking call in the namespace with that key.

        Raises:
            KernelError: no such namespace is under control.
        """
        for namespace in self._controlled.values():
            if namespace.key == key:
                return await self._in_thread(_within, namespace.handle.fd, call, *args)
        raise KernelError("the namespace is not under control any more")

    async def wait_known(self) -> None:
        """Wait until it is known which of the listed namespaces are there."""
        await self._until(lambda: self._expected is not None)

    def standing(self, inode: int) -> Standing:
        """How a namespace stands; one that is not known by a listed name is not listed."""
        for name in self._rules.netns:
            if self._present.get(name) == inode:
                namespace = self._controlled.get(name)
                enforced = (
                    namespace is not None
                    and namespace.handle.inode == inode
                    and namespace.covered
                    and not namespace.error
                )
                return Standing.ENFORCED if enforced else Standing.AWAITED
        return Standing.UNLISTED

    async def wait_enforced(self, timeout_s: float) -> bool:
        """Wait for the listed namespaces that exist, and so long for those that do not.

        Returns whether all are enforced.
        """
        await self._until(self._tried_expected)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._until(self._all_enforced)
        return self._all_enforced()

    # -- life --------------------------------------------------------------------

    async def watch(self) -> None:
        """Follow namespaces as they appear and go, until cancelled."""
        self._expected = await self._in_thread(self._take_stock)
        self._changed()
        async for event in NetnsWatcher().events():
            await self._namespace_changed(event)

    async def mend(self) -> None:
        """Try again where an attach failed, until cancelled: what stood in its way may be gone."""
        while True:
            await asyncio.sleep(_MEND_S)
            for name in [name for name, each in self._controlled.items() if each.error]:
                namespace = self._controlled.get(name)
                if namespace is None:
                    continue
                await self._in_thread(self._reconcile_safely, namespace)
                if not namespace.error:
                    self._log.info("namespace enforced", netns=name)
                    self._changed()

    async def watch_cgroups(self) -> None:
        """Follow cgroups, for policies that name some, until cancelled."""
        try:
            root = find_cgroup2()
        except DlpError as error:
            self._log.warning("cgroups cannot be followed", reason=str(error))
            return
        async for event in CgroupWatcher(root).events():
            if event.appeared:
                self._cgroups[event.cgroup.path] = event.cgroup
            elif self._cgroups.get(event.cgroup.path) == event.cgroup:
                del self._cgroups[event.cgroup.path]
            self._bind_cgroup(event.cgroup, appeared=event.appeared)

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
        self._changed()

    def scan_cgroups(self) -> None:
        """Read the cgroups that are there. Blocking; before the first bindings are asked for."""
        with contextlib.suppress(DlpError):
            self._cgroups = {one.path: one for one in scan(find_cgroup2()).cgroups}

    def _known(self) -> dict[str, int]:
        """Keys by name: of what is controlled, and of what an earlier process left attached."""
        keys = self._keys.known()
        left = {entry.name: keys[inode] for inode, entry in self._before.items() if inode in keys}
        return left | self.keys()

    def bindings(self, policies: PolicySet) -> dict[tuple[int, int], int]:
        """Policy numbers by (namespace key, cgroup id), all that are needed."""
        found: dict[tuple[int, int], int] = {}
        for name, key in self._known().items():
            own = _resolve(policies, name, None)
            found[key, 0] = own
            for path, cgroup in self._cgroups.items():
                number = _resolve(policies, name, path)
                if number != own:
                    found[key, cgroup.id] = number
        return found

    async def close(self) -> None:
        """Let go of everything; enforcement stays on."""
        for namespace in self._controlled.values():
            asyncio.get_running_loop().remove_reader(namespace.changes)
            await self._in_thread(namespace.close)
        self._controlled.clear()
        self._thread.shutdown()

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
        covered = {name for name, namespace in self._controlled.items() if namespace.covered}
        tried = covered | self._failed.keys()
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
            handles = {handle.inode: handle for handle in present.values()}
            for inode in list(self._left.keys() - kept):
                entry = self._left[inode]
                try:
                    if inode in handles:
                        detach_entry(entry, handles[inode].fd)
                        self._log.info("namespace let go: it is not listed", netns=entry.name)
                except DlpError as error:
                    self._log.error("namespace not let go", netns=entry.name, reason=str(error))
                    continue
                del self._left[inode]
        for inode, key in self._keys.known().items():
            if inode not in kept:
                self._keys.release(inode)
                self._unbind_namespace(key)
        self._present = {name: present[name].inode for name in listed} | self._present
        return listed

    def _workload(self, name: str) -> Workload:
        policies = self._rules.policies
        numbers = policies.applicable(name)
        workload = Workload(
            name=name,
            state=WorkloadState.PENDING,
            policies=tuple(policies.names[number] for number in numbers),
            mode=policies.mode(numbers[0]) if numbers else Mode.ENFORCE,
            error=self._failed.get(name, ""),
        )
        namespace = self._controlled.get(name)
        if namespace is None:
            state = WorkloadState.FAILED if name in self._failed else WorkloadState.PENDING
            return replace(workload, state=state)
        state = WorkloadState.ENFORCED if namespace.covered else WorkloadState.ATTACHING
        return replace(
            workload,
            state=WorkloadState.FAILED if namespace.error else state,
            error=namespace.error,
            key=namespace.key,
            inode=namespace.handle.inode,
            devices=tuple(attached.device for attached in namespace.attached.values()),
        )

    async def _namespace_changed(self, event: NetnsEvent) -> None:
        if event.change is NetnsChange.GONE:
            if self._present.get(event.name) == event.inode:
                del self._present[event.name]
            namespace = self._controlled.get(event.name)
            if namespace is not None and namespace.handle.inode == event.inode:
                await self._forget(event.name, detach=False)
            self._changed()
            return
        self._present[event.name] = event.inode
        if event.name in self._rules.netns:
            await self._control(event.name)

    async def _control(self, name: str) -> None:
        if name in self._controlled:
            await self._forget(name, detach=False)
        self._failed.pop(name, None)
        try:
            namespace = await self._in_thread(open_controlled, name, self._datapath, self._keys)
        except NetnsNotReadyError:
            return
        except (DlpError, OSError) as error:
            self._failed[name] = str(error)
            self._log.error("namespace not enforced", netns=name, reason=str(error))
            self._changed()
            return
        earlier = self._before.get(namespace.handle.inode)
        if earlier is not None:
            namespace.before = {attached.index: attached for attached in earlier.attached}
        # The policy first, the classifier second: its first packet finds its policy.
        self._controlled[name] = namespace
        self._bind_namespace(name, namespace)
        await self._in_thread(self._reconcile_safely, namespace)
        asyncio.get_running_loop().add_reader(namespace.changes, self._devices_changed, name)
        # A device that came between the two is seen now.
        await self._in_thread(self._reconcile_safely, namespace)
        namespace.covered = True
        self._left.pop(namespace.handle.inode, None)
        if namespace.error:
            self._log.error("namespace not enforced", netns=name, reason=namespace.error)
        else:
            self._log.info("namespace enforced", netns=name, devices=len(namespace.attached))
        self._changed()

    def _devices_changed(self, name: str) -> None:
        namespace = self._controlled.get(name)
        if namespace is None:
            return
        removed, sure = drain(namespace.changes)
        future = self._thread.submit(self._reconcile_safely, namespace, removed, sure)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._changed))

    def _reconcile_safely(
        self,
        namespace: ControlledNamespace,
        removed: Collection[int] = (),
        sure: bool = True,  # noqa: FBT001, FBT002 - an executor passes no keywords
    ) -> None:
        try:
            namespace.reconcile(removed, sure=sure)
        except (DlpError, OSError) as error:
            namespace.error = str(error)

    async def _forget(self, name: str, *, detach: bool) -> None:
        namespace = self._controlled.pop(name, None)
        self._failed.pop(name, None)
        if namespace is None:
            return
        asyncio.get_running_loop().remove_reader(namespace.changes)
        if detach:
            try:
                await self._in_thread(namespace.detach)
            except DlpError as error:
                self._left[namespace.handle.inode] = _entry(name, namespace)
                self._log.error("namespace not let go", netns=name, reason=str(error))
        await self._in_thread(namespace.close)
        self._keys.release(namespace.handle.inode)
        self._unbind_namespace(namespace.key)
        self._changed()

    def _bind_namespace(self, name: str, namespace: ControlledNamespace) -> None:
        policies = self._rules.policies
        own = _resolve(policies, name, None)
        for path, cgroup in self._cgroups.items():
            number = _resolve(policies, name, path)
            if number != own:
                self._datapath.bind(namespace.key, cgroup.id, number)
        self._datapath.bind(namespace.key, 0, own)

    def _unbind_namespace(self, key: int) -> None:
        table = self._datapath.tables["workloads"]
        for who in [who for who in list(table.keys()) if who.netns == key]:
            table.delete(who)

    def _bind_cgroup(self, cgroup: Cgroup, *, appeared: bool) -> None:
        for name, namespace in self._controlled.items():
            if not appeared:
                self._datapath.unbind(namespace.key, cgroup.id)
                continue
            number = _resolve(self._rules.policies, name, cgroup.path)
            if number != _resolve(self._rules.policies, name, None):
                self._datapath.bind(namespace.key, cgroup.id, number)

    def _changed(self) -> None:
        self._settled.set()
        record.write(self._record_path, tuple(self._entries()))
        self._on_change()

    def _entries(self) -> Iterable[record.Entry]:
        yield from self._left.values()
        for name, namespace in self._controlled.items():
            if namespace.handle.inode not in self._left:
                yield _entry(name, namespace)

    async def _in_thread(self, call: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)


def _within(fd: int, call: Callable[..., T], *args: Any) -> T:
    with entered(fd):
        return call(*args)


def _entry(name: str, namespace: ControlledNamespace) -> record.Entry:
    return record.Entry(name, namespace.handle.inode, tuple(namespace.attached.values()))


def _resolve(policies: PolicySet, netns: str, cgroup: str | None) -> int:
    try:
        return policies.resolve(netns, cgroup)
    except ConfigError:
        return STRICTEST


def detach_entry(entry: record.Entry, fd: int) -> None:
    """Take the classifiers of a namespace off, given its descriptor. Blocking."""
    link = NamespaceLink(fd)
    try:
        for attached in entry.attached:
            link.detach(attached)
    finally:
        link.close()
