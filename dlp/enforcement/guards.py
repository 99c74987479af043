"""Guards on the host ends of workloads' devices: where they may stand, and putting them there."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from dlp.datapath import links
from dlp.datapath.abi import DeviceFlag
from dlp.datapath.attach import Attached, Device, NamespaceLink, Placed, Standing, Way
from dlp.datapath.datapath import Datapath
from dlp.datapath.links import Hook, Pins
from dlp.datapath.rtnetlink import NO_NSID
from dlp.enforcement.cover import HostEnd
from dlp.enforcement.places import Place, Places
from dlp.enforcement.sentry import Sentry
from dlp.enforcement.tokens import Tokens

# It may be found later, and a guard that was put there before goes on.
UNKNOWN = "the namespace of its other end cannot be found"


@dataclass(frozen=True, slots=True)
class Kit:
    """What all workloads share.

    Attributes:
        listed: name of the listed workload that a namespace (by its inode) is; empty for none.
        sentry: None where the kernel has no TCX.
    """

    datapath: Datapath
    tokens: Tokens
    pins: Pins
    places: Places
    listed: Callable[[int], str] = lambda _: ""
    sentry: Sentry | None = None

    @property
    def tcx(self) -> bool:
        return links.supported()

    def host_end(self, place: Place, device: Device) -> tuple[HostEnd | None, str]:
        """Where a guard for a device of that namespace can stand, or why nowhere."""
        if not device.linked or device.kind != "veth":
            return None, f"a device of kind {device.kind or 'hardware'} has no end on the host"
        if device.nsid == NO_NSID:
            return None, "its other end lies in the same namespace"
        where = self.places.find(place.link, device.nsid)
        if where is None:
            return None, UNKNOWN
        name = self.listed(where.inode)
        if name:
            return None, f"its other end lies in the workload {name}"
        end = where.link.device(device.linked)
        if end is None or end.linked != device.index:
            return None, "its other end cannot be found"
        return HostEnd(where, end.index, end.name), ""

    def find_by_guard(self, guard: Placed) -> tuple[Place | None, int] | None:
        """Where the device is now whose host end bears a guard: namespace and index.

        The namespace is None where it cannot be found; all is None where the host end is gone.
        """
        where = self.places.open(guard.netns)
        end = where.link.device(guard.index) if where else None
        if where is None or end is None or not end.linked:
            return None
        if end.nsid == NO_NSID:
            return where, end.linked
        return self.places.find(where.link, end.nsid), end.linked

    def standing(self, guard: Placed, host: HostEnd | None) -> Standing:
        """Where a guard is now. A link goes on with its device, wherever that is moved."""
        if host is not None and host.bears(guard):
            return host.place.link.standing(guard, Hook.INGRESS)
        if guard.way is Way.TCX:
            found = self.pins.info(guard.link)
            if found is not None and found.index:
                return Standing.FIRST
        return Standing.MISSING

    def hangs(self, attached: Attached) -> bool:
        """Whether a classifier's link is on some device, wherever that is."""
        found = self.pins.info(attached.link) if attached.way is Way.TCX else None
        return found is not None and found.index > 0


def drop_guard(guard: Placed, pins: Pins, places: Places) -> None:
    """Take a guard off; no error where it is gone.

    Raises:
        KernelError: the kernel refuses.
    """
    if guard.way is Way.TCX and not guard.made_qdisc:
        pins.detach(guard.link)
        return
    where = places.open(guard.netns)
    if where is not None:
        where.link.remove(guard, Hook.INGRESS, pins)
    elif guard.way is Way.TCX:
        pins.detach(guard.link)


def drop_links(attached: Attached, pins: Pins) -> None:
    """Unpin what hung on a device that is gone."""
    for placed in (attached.guard, attached):
        if placed is not None and placed.way is Way.TCX and placed.link:
            pins.detach(placed.link)


def take_off(link: NamespaceLink, attached: Attached, pins: Pins, places: Places) -> None:
    """Guard first, then classifier: a guard alone lets nothing through.

    Args:
        link: into the namespace that the device is in.

    Raises:
        KernelError: the kernel refuses.
    """
    if attached.guard is not None:
        drop_guard(attached.guard, pins, places)
    link.detach(attached, pins)


class Programs:
    """The loaded copies of a workload's programs; a copy can be on a device once only."""

    def __init__(self, datapath: Datapath, key: int) -> None:
        self._datapath = datapath
        self._key = key
        self._entries: dict[DeviceFlag, int] = {}
        self._guard: int | None = None

    def entry(self, flags: DeviceFlag, *, fresh: bool = False) -> int:
        """The classifier for devices with those flags; `fresh`: a copy that is on none."""
        if fresh and flags in self._entries:
            os.close(self._entries.pop(flags))
        if flags not in self._entries:
            self._entries[flags] = self._datapath.entry(self._key, flags)
        return self._entries[flags]

    def guard(self, *, fresh: bool = False) -> int:
        """The guard."""
        if fresh and self._guard is not None:
            os.close(self._guard)
            self._guard = None
        if self._guard is None:
            self._guard = self._datapath.guard(self._key)
        return self._guard

    def close(self) -> None:
        """Let go; what is attached stays."""
        for fd in (*self._entries.values(), *([] if self._guard is None else [self._guard])):
            os.close(fd)
        self._entries.clear()
        self._guard = None
