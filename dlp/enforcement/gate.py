"""Keeps the children of gated cgroups from sending until their workload is enforced.

The program on the gated cgroup stays when this process ends, and so does the table of those
that it lets out: what was admitted goes on, what comes meanwhile waits for the next start.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import structlog

from dlp.config import Workloads
from dlp.datapath import gates
from dlp.datapath.datapath import Datapath
from dlp.enforcement.admission import LINGER_S, Child, Standing
from dlp.errors import DlpError, MissingDependency
from dlp.workloads.cgroup import Cgroup, CgroupWatcher, find_cgroup2, in_cgroup_namespace
from dlp.workloads.occupants import Occupants, occupants

# Who waits is looked at often while something may be under way, all of them now and then.
_SOON_S = 0.02
_SOON_FOR_S = 2.0
_LATER_S = 0.25
_ALL_S = 5.0


class Gatekeeper:
    """Puts the gates of a configuration and admits children.

    Args:
        standing: how the gateway stands to a namespace, by its inode.
        root: where cgroup v2 is mounted; found where it is not given.
        pins: where the links are pinned.
    """

    def __init__(
        self,
        datapath: Datapath,
        workloads: Workloads,
        standing: Callable[[int], Standing],
        *,
        root: Path | None = None,
        pins: Path = gates.PINS,
        log: Any = None,
    ) -> None:
        self._datapath = datapath
        self._workloads = workloads
        self._standing = standing
        self._root = root
        self._pins = pins
        self._log = log if log is not None else structlog.get_logger()
        self._cgroups: dict[str, Cgroup] = {}
        self._children: dict[str, Child] = {}
        self._put: dict[str, int] = {}  # id of the cgroup by path, where a gate is in place
        self._refused: dict[str, str] = {}
        self._fault = ""
        self._gone: dict[int, float] = {}  # until when an admitted child that went may send
        self._inherited: frozenset[int] = frozenset()
        self._wake = asyncio.Event()
        self._all_due = 0.0
        self._tidy = True  # gates or ids may be there that nobody asks for

    # -- what is seen from outside -----------------------------------------------

    def problems(self) -> list[str]:
        """Why gates that are asked for are not in place."""
        if self._fault:
            return [self._fault]
        return list(self._refused.values())

    def changed(self) -> None:
        """Namespaces have changed their standing: look again."""
        self._wake.set()

    def apply(self, workloads: Workloads) -> None:
        """Take over another configuration."""
        self._workloads = workloads
        self._children = {
            path: child for path, child in self._children.items() if self._is_child(path)
        }
        for cgroup in self._cgroups.values():
            self._add(cgroup)
        self._tidy = True
        self._all_due = 0.0
        self._wake.set()

    # -- life --------------------------------------------------------------------

    async def run(self) -> None:
        """Follow cgroups and namespaces until cancelled."""
        while True:
            try:
                await self._watch()
            except* (DlpError, OSError) as group:
                reason = str(group.exceptions[0])
                if reason != self._fault:
                    self._log.error("gates are not watched", reason=reason)
                self._fault = reason
            await asyncio.sleep(_ALL_S)

    async def _watch(self) -> None:
        """Until something fails."""
        while not self._workloads.gate:
            self._tidy_up(set())
            self._wake.clear()
            await self._wake.wait()
        root = self._root or find_cgroup2()
        if in_cgroup_namespace(root):
            raise MissingDependency(
                f"{root} shows a part of the hierarchy only, so cgroups cannot be gated",
                remedy="run the gateway in the host's cgroup namespace",
            )
        self._cgroups.clear()
        self._children.clear()
        self._put.clear()
        self._inherited = frozenset(self._admitted())
        reading = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(root, reading))
            await reading.wait()
            group.create_task(self._review(root))

    async def _follow(self, root: Path, reading: asyncio.Event) -> None:
        async for event in CgroupWatcher(root).events():
            path = event.cgroup.path
            if event.appeared:
                self._cgroups[path] = event.cgroup
                self._add(event.cgroup)
            elif self._cgroups.get(path) == event.cgroup:
                del self._cgroups[path]
                self._forget(path)
            self._wake.set()
            reading.set()  # the first reading comes whole: nothing is awaited between its events

    async def _review(self, root: Path) -> None:
        """Decide about those that wait whenever something has changed, about all now and then."""
        while True:
            self._wake.clear()
            everyone = time.monotonic() >= self._all_due
            if everyone:
                self._all_due = time.monotonic() + _ALL_S
            due = [one for one in self._children.values() if everyone or not one.admitted]
            found = await asyncio.to_thread(_read, root, due)
            self._decide(due, found)
            # Children first, gates second: what runs already is not cut off.
            wanted = self._wanted()
            self._put_gates(root, wanted, retry=everyone)
            if self._tidy or everyone:
                self._tidy_up({cgroup.id for cgroup in wanted.values()})
            self._fault = ""
            try:
                async with asyncio.timeout(self._pause()):
                    await self._wake.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(_SOON_S / 4)  # changes come in groups

    # -- inside ------------------------------------------------------------------

    def _is_child(self, path: str) -> bool:
        return path.rpartition("/")[0] in self._workloads.gate

    def _add(self, cgroup: Cgroup) -> None:
        if cgroup.path in self._children or not self._is_child(cgroup.path):
            return
        child = Child(cgroup, time.monotonic())
        child.inherited = child.admitted = cgroup.id in self._inherited
        self._children[cgroup.path] = child

    def _forget(self, path: str) -> None:
        child = self._children.pop(path, None)
        if child is not None and child.admitted:
            self._gone[child.cgroup.id] = time.monotonic() + LINGER_S

    def _decide(self, due: Iterable[Child], found: Collection[Occupants]) -> None:
        now = time.monotonic()
        for child, who in zip(due, found, strict=True):
            if self._children.get(child.cgroup.path) is not child:
                continue  # it went while it was read
            if who.netns != child.seen:
                child.seen, child.changed = who.netns, now
            may_send = child.may_send(who, self._standing, self._workloads.new, now)
            if may_send == child.admitted:
                continue
            try:
                if may_send:
                    self._datapath.admit(child.cgroup.id)
                else:
                    self._datapath.unadmit(child.cgroup.id)
            except DlpError as error:
                self._log.error("cgroup not admitted", path=child.cgroup.path, reason=str(error))
                continue
            child.admitted = may_send
            child.changed = now
            self._log.info(
                "cgroup may send" if may_send else "cgroup waits", path=child.cgroup.path
            )

    def _wanted(self) -> dict[str, Cgroup]:
        """Cgroups to gate that are there, by path."""
        paths = self._workloads.gate
        return {path: self._cgroups[path] for path in paths if path in self._cgroups}

    def _put_gates(self, root: Path, wanted: Mapping[str, Cgroup], *, retry: bool) -> None:
        self._refused = {path: why for path, why in self._refused.items() if path in wanted}
        for path, cgroup in wanted.items():
            if self._put.get(path) == cgroup.id or (path in self._refused and not retry):
                continue
            try:
                self._put_gate(root / path.lstrip("/"), cgroup)
            except DlpError as error:
                if self._refused.get(path) != str(error):
                    self._log.error("gate not in place", path=path, reason=str(error))
                self._refused[path] = str(error)
                continue
            self._refused.pop(path, None)
            self._put[path] = cgroup.id
            self._tidy = True
            self._log.info("gate in place", path=path)

    def _put_gate(self, directory: Path, cgroup: Cgroup) -> None:
        program = self._datapath.gate(cgroup.level + 1)
        try:
            gates.put(program, directory, gates.pin_of(cgroup.id, self._pins))
        finally:
            os.close(program)

    def _tidy_up(self, wanted: Collection[int]) -> None:
        """Take off gates that nobody asks for or whose cgroup is gone; forget who went."""
        self._tidy = False
        self._put = {path: number for path, number in self._put.items() if number in wanted}
        for number, pin in gates.pinned(self._pins).items():
            if number not in wanted:
                pin.unlink(missing_ok=True)
        now = time.monotonic()
        self._gone = {number: until for number, until in self._gone.items() if until > now}
        known = {child.cgroup.id for child in self._children.values() if child.admitted}
        for number in self._admitted() - known - self._gone.keys():
            self._datapath.unadmit(number)
        self._inherited = frozenset()

    def _admitted(self) -> set[int]:
        return {int(key.value) for key in list(self._datapath.tables["admitted"].keys())}

    def _pause(self) -> float:
        now = time.monotonic()
        waiting = [now - child.changed for child in self._children.values() if not child.admitted]
        if not waiting:
            return max(0.0, self._all_due - now)
        return _SOON_S if min(waiting) < _SOON_FOR_S else _LATER_S


def _read(root: Path, children: Iterable[Child]) -> list[Occupants]:
    return [occupants(root / child.cgroup.path.lstrip("/")) for child in children]
