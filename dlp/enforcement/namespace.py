"""One namespace under control: its boundary devices are found, covered, guarded and watched over.

Also those that were moved out of it: they stay the workload's, under its key. Blocking; all
namespaces are worked on in one thread (see controller).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from dlp.datapath.abi import GuardFlag
from dlp.datapath.attach import Attached, Device, Way
from dlp.datapath.rtnetlink import NO_NSID, Link
from dlp.enforcement import tamper
from dlp.enforcement.changes import Changes
from dlp.enforcement.cover import Cover, Guarding, Terms
from dlp.enforcement.covering import Coverer, nothing_yet
from dlp.enforcement.guards import UNKNOWN, Kit, Programs, drop_links, take_off
from dlp.enforcement.keys import KeyRing, slot_of
from dlp.enforcement.places import Place, open_place
from dlp.enforcement.tamper import Teller
from dlp.errors import DlpError
from dlp.model import Incident, Protection, Workload, WorkloadState
from dlp.workloads import rto
from dlp.workloads.netns import NETNS_DIR, open_netns


@dataclass(slots=True)
class ControlledNamespace:
    """Opened by `open_controlled`; `close` lets go of it and leaves enforcement on.

    Attributes:
        late: it came while the gateway ran.
        born: when it was made; `recorded`: when an earlier process wrote down what it had
            attached (time.monotonic).
        before: that, by namespace and index, as far as it is not taken over yet.
        covered: its devices have been gone through once; ready: and no guard is awaited.
        unprotected_ms: see Workload; the longest of its devices'.
        tcp: what settings of TCP were before they were lowered (workloads.rto), by name.
    """

    name: str
    place: Place
    key: int
    coverer: Coverer
    terms: Terms = field(default_factory=Terms)
    late: bool = False
    born: float = 0.0
    recorded: float = 0.0
    before: dict[tuple[int, int], Attached] = field(default_factory=dict)
    covers: dict[tuple[int, int], Cover] = field(default_factory=dict)
    uncovered: tuple[str, ...] = ()
    covered: bool = False
    ready: bool = False
    error: str = ""
    unprotected_ms: float | None = None
    tcp: Mapping[str, int] = field(default_factory=dict)

    # -- what is seen from outside -----------------------------------------------

    @property
    def inode(self) -> int:
        return self.place.inode

    @property
    def attached(self) -> tuple[Attached, ...]:
        """What is in place, as it is written down."""
        placed = (one.attached for one in self.covers.values() if one.good or one.attached.guard)
        return (*placed, *self.before.values())

    def describe(self, workload: Workload) -> Workload:
        """A workload with what is known of its namespace.

        Of several ways in which classifiers are attached it tells the one that can be undone
        from inside.
        """
        boundary = [one for one in tuple(self.covers.values()) if not one.device.loopback]
        good = [one for one in boundary if one.good]
        without = [one for one in boundary if one.guarding is not Guarding.YES]
        if not boundary:
            guard = Protection.NONE
        elif not without:
            guard = Protection.GUARDED
        else:
            all_without = len(without) == len(boundary)
            guard = Protection.UNGUARDED if all_without else Protection.PARTIAL
        state = WorkloadState.ENFORCED if self.ready else WorkloadState.ATTACHING
        return replace(
            workload,
            state=WorkloadState.FAILED if self.error else state,
            error=self.error,
            key=self.key,
            inode=self.inode,
            devices=tuple(one.device.name for one in good),
            unprotected_ms=self.unprotected_ms,
            guard=guard,
            unguarded=tuple(one.device.name for one in without),
            attach=min((one.attached.way.value for one in good), default=""),
        )

    def places(self) -> set[int]:
        """Inodes of the other namespaces in which something of this workload's is."""
        hosts = {one.host.place.inode for one in self.covers.values() if one.host}
        return hosts | {one.place.inode for one in self.covers.values() if one.place} - {self.inode}

    def due(self) -> float | None:
        """When a guard can be placed for which a device waits (time.monotonic)."""
        return min((one.due for one in self.covers.values() if one.due), default=None)

    # -- work --------------------------------------------------------------------

    def reconcile(self, changes: Changes | None = None) -> bool:
        """Bring every boundary device under control that is not as it should be.

        Returns whether anything changed. A device that vanishes meanwhile is no error.
        """
        changes = changes if changes is not None else Changes()
        before = self._state()
        errors: list[str] = []
        devices = {device.index: device for device in self.place.link.devices()}
        if not self.covered:
            self._adopt(devices.keys())
        for cover in tuple(self.covers.values()):
            removed = changes.removed.get(cover.device.index)
            if cover.place is self.place and (removed or cover.device.index not in devices):
                self._went(cover, removed)
        for cover in tuple(self.covers.values()):
            if cover.place is not self.place:
                self._follow_moved(cover, changes, errors)
        for link in changes.removed.values():
            self._take_moved(link, changes, errors)
        for device in devices.values():
            if device.boundary or (device.loopback and self.terms.loopback):
                self._bring(self.place, device, changes, errors)
            elif device.loopback:
                self._leave_alone(device)
        self._keep_tcp()
        self.uncovered = tuple(
            one.name for one in devices.values() if not (one.boundary or one.loopback) and one.up
        )
        # Now and not before: another thread reads them.
        self.error = errors[0] if errors else ""
        self.covered = True
        self.ready |= self.due() is None
        return before != self._state()

    def adopt(
        self,
        attached: Iterable[Attached],
        recorded: float,
        unprotected_ms: float | None,
        tcp: Mapping[str, int] | None = None,
    ) -> None:
        """Take over what an earlier process had done; before the first `reconcile`."""
        self.before = {(one.netns or self.inode, one.index): one for one in attached}
        self.recorded, self.unprotected_ms, self.tcp = recorded, unprotected_ms, tcp or {}

    def apply(self, terms: Terms) -> None:
        """Take over other terms; `reconcile` carries them out."""
        self.terms = terms
        tokens = self.coverer.kit.tokens
        tokens.set(slot_of(self.key), GuardFlag.MONITOR, on=terms.monitor)

    def touched(self, place: Place, changes: Changes) -> set[int]:
        """Devices that changes in another namespace are about: on a host end, or after a move."""
        there = changes.removed.keys() | changes.filtered
        return {
            one.device.index
            for one in self.covers.values()
            if (
                one.host is not None
                and one.host.place is place
                and (one.host.index in there or not changes.sure)
            )
            or (
                one.place is place
                and (one.device.index in there | changes.linked or not changes.sure)
            )
        }

    def lose(self, place: Place) -> None:
        """A namespace in which something of ours is can be had by no path any more."""
        for key, cover in tuple(self.covers.items()):
            if cover.place is place:
                del self.covers[key]
                cover.place = None
                self.covers[cover.key] = cover
            if cover.host is not None and cover.host.place is place:
                cover.host, cover.why, cover.peer = None, UNKNOWN, None

    def detach(self) -> None:
        """Take all guards and classifiers off, and put back what was changed.

        Raises:
            DlpError: the kernel refuses.
        """
        for key, cover in tuple(self.covers.items()):
            self._take_off(cover.place or self.place, cover.attached)
            del self.covers[key]
        self.apply(replace(self.terms, holds=False))
        self._keep_tcp()

    def _keep_tcp(self) -> None:
        """Where something may be held, it is to be sent again soon."""
        if self.terms.holds and not self.terms.monitor:
            self.tcp = rto.lower(self.place.fd, self.tcp)
        elif self.tcp:
            with contextlib.suppress(DlpError):
                rto.restore(self.place.fd, self.tcp)
                self.tcp = {}

    def _take_off(self, place: Place, attached: Attached) -> None:
        kit = self.coverer.kit
        take_off(place.link, attached, kit.pins, kit.places)

    def close(self) -> None:
        """Let go; what is attached stays."""
        self.coverer.programs.close()
        self.place.close()

    def _state(self) -> object:
        told = {key: (one.attached, one.good, one.guarding) for key, one in self.covers.items()}
        return told, self.error, self.uncovered, self.ready, self.tcp

    # -- a device ----------------------------------------------------------------

    def _bring(self, place: Place, device: Device, changes: Changes, errors: list[str]) -> None:
        cover = self._cover_of(place, device)
        new = cover.fresh and (self.late or self.covered)
        suspect = changes.suspects(device.index)
        try:
            self.coverer.bring(cover, place, self.terms, suspect=suspect, new=new)
        except DlpError as refused:
            if place.link.device(device.index) is not None:
                errors.append(str(refused))
        self._measure(cover, changes.since)

    def _cover_of(self, place: Place, device: Device) -> Cover:
        key = (place.inode, device.index)
        cover = self.covers.get(key)
        if cover is None:
            earlier = self.before.pop(key, None)
            attached = earlier or nothing_yet(device.name, device.index, place.inode)
            cover = self.covers[key] = Cover(device, place, replace(attached, netns=place.inode))
            if earlier is not None:
                cover.fresh, cover.adopted, cover.good = False, True, True
                cover.final = earlier.final
        self._compare(cover, device)
        return cover

    def _compare(self, cover: Cover, device: Device) -> None:
        """What the container did to a device itself."""
        tell, before = self.coverer.teller.tamper, cover.device
        if before.name != device.name:
            # A name that is given before the device is up is its first one.
            if cover.was_up:
                detail = f"{before.name} has the name {device.name} now; it is covered as before."
                tell(tamper.RENAMED, device.name, detail)
            cover.attached = replace(cover.attached, device=device.name)
        if cover.good and device.large and cover.attached.gso_max_size:
            largest = max(device.gso_max_size, device.gso_ipv4_max_size)
            detail = f"gso_max_size of {device.name} was raised to {largest}; it is lowered again."
            tell(tamper.GSO_RAISED, device.name, detail)
            if cover.place is not None:
                cover.place.link.lower(device)
        cover.device = device
        cover.was_up |= device.up

    def _measure(self, cover: Cover, since: float) -> None:
        """For how long packets could leave unseen before something stood in their way."""
        if not cover.protected_at:
            return
        known = since if self.covered else self.recorded if cover.adopted else self.born
        gap = max(0.0, cover.protected_at - known) * 1000 if cover.had_sent else 0.0
        self.unprotected_ms = max(self.unprotected_ms or 0.0, round(gap, 1))
        cover.protected_at = 0.0

    def _leave_alone(self, device: Device) -> None:
        cover = self.covers.pop((self.inode, device.index), None)
        attached = cover.attached if cover else self.before.pop((self.inode, device.index), None)
        if attached is not None:
            self._take_off(self.place, attached)

    # -- devices that went -------------------------------------------------------

    def _adopt(self, present: Collection[int]) -> None:
        """Find what an earlier process had attached and is not in this namespace any more."""
        for key, attached in tuple(self.before.items()):
            if key[0] == self.inode and key[1] in present:
                continue
            del self.before[key]
            device = Device(
                name=attached.device, index=attached.index, kind="veth", up=True, boundary=True
            )
            away = key[0] != self.inode
            place = self.coverer.kit.places.open(key[0]) if away else None
            cover = Cover(device, place, attached, fresh=False, adopted=True, good=True)
            cover.final, cover.was_up = attached.final, True
            cover.guarding = Guarding.YES if attached.guard else Guarding.NO
            self.covers[cover.key] = cover

    def _went(self, cover: Cover, link: Link | None) -> None:
        """A device is not where it was: deleted, or moved to another namespace."""
        kit = self.coverer.kit
        del self.covers[cover.key]
        found = self._where(cover, link)
        if found is None and not kit.hangs(cover.attached):
            if not self._shared(cover):
                drop_links(cover.attached, kit.pins)
            return
        place, index = found or (None, 0)
        inode = place.inode if place is not None else 0
        if cover.place is not None and inode != cover.place.inode:
            where = f"namespace {inode}" if inode else "a namespace that cannot be found"
            detail = f"{cover.device.name} was moved to {where}; it stays under control."
            self.coverer.teller.tamper(tamper.MOVED, cover.device.name, detail)
        if inode != self.inode and kit.listed(inode):
            return  # that workload's from here on
        cover.place = self.place if inode == self.inode else place
        cover.device = replace(cover.device, index=index or cover.device.index)
        cover.attached = replace(cover.attached, netns=inode, index=cover.device.index)
        cover.peer = None
        cover.good &= cover.attached.way is Way.TCX  # a filter does not move along
        self.covers.setdefault(cover.key, cover)

    def _where(self, cover: Cover, link: Link | None) -> tuple[Place | None, int] | None:
        """Namespace and index of a device now, by what its removal told or by its host end.

        The namespace is None where it cannot be found; all is None where no trace is left.
        """
        kit = self.coverer.kit
        if link is not None and link.new_index > 0:
            place = kit.places.find(self.place.link, link.new_nsid)
            if place is not None and place.link.device(link.new_index) is not None:
                return place, link.new_index
        guard = cover.attached.guard
        return kit.find_by_guard(guard) if guard is not None else None

    def _follow_moved(self, cover: Cover, changes: Changes, errors: list[str]) -> None:
        """Go on with a device that was moved out, wherever it is now."""
        for _ in range(2):
            device = cover.place.link.device(cover.device.index) if cover.place else None
            if cover.place is not None and device is not None:
                self._bring(cover.place, device, changes, errors)
                return
            self._went(cover, None)
            if cover.place in (None, self.place) or self.covers.get(cover.key) is not cover:
                return

    def _take_moved(self, link: Link, changes: Changes, errors: list[str]) -> None:
        """A device that came and was moved out before it was covered is the workload's too.

        Of a pair that was made inside, one end moved out is the host's.
        """
        if not self.covered or link.kind != "veth" or NO_NSID in {link.nsid, link.new_nsid}:
            return
        kit = self.coverer.kit
        place = kit.places.find(self.place.link, link.new_nsid)
        if place is None or kit.listed(place.inode) or (place.inode, link.new_index) in self.covers:
            return
        device = place.link.device(link.new_index)
        if device is not None:
            detail = f"{link.name} was moved to namespace {place.inode} at once; it is covered."
            self.coverer.teller.tamper(tamper.MOVED, link.name, detail)
            self._bring(place, device, changes, errors)

    def _shared(self, cover: Cover) -> bool:
        """Whether another device of the workload goes on with the same link."""
        mine = {cover.attached.link} - {0}
        return any(one.attached.link in mine for one in self.covers.values())


def open_controlled(
    name: str,
    kit: Kit,
    keys: KeyRing,
    terms: Terms | None = None,
    *,
    tell: Callable[[Incident], None] = lambda _: None,
    cut: bool = False,
) -> ControlledNamespace:
    """Open a namespace by name and load its classifier; nothing is attached yet.

    Args:
        cut: the workload is in quarantine.

    Raises:
        DlpError: it is gone or not ready, or the kernel refuses.
    """
    handle = open_netns(name)
    place = open_place(handle.inode, handle.fd, NETNS_DIR / name)
    with contextlib.ExitStack() as undo:
        undo.callback(place.close)
        key, fresh = keys.key(handle.inode)
        slot = slot_of(key)
        if fresh:
            kit.datapath.clear_counters(slot)
            kit.tokens.clear(slot)
        # Before a classifier stamps them; those of an earlier process's are still let in.
        kit.tokens.renew(slot)
        if cut:
            kit.tokens.set(slot, GuardFlag.QUARANTINED, on=True)
        programs = Programs(kit.datapath, key)
        undo.callback(programs.close)
        born = time.monotonic() - max(0.0, time.time() - os.fstat(handle.fd).st_ctime)
        made = ControlledNamespace(
            name, place, key, Coverer(kit, programs, Teller(name, tell)), born=born
        )
        made.apply(terms if terms is not None else Terms())
        undo.pop_all()
    return made
