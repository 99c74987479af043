"""Put a program on a device's hook, by a pinned TCX link or by clsact, and take it off.

TCX (kernel 6.6 on): first in the chain, replaced in place, not to be removed from inside the
namespace. clsact: a filter of fixed priority, replaced in place too. Where the way changes, the
new classifier stands before the old one goes, so that no packet passes between the two. Foreign
filters stay where they are. Blocking calls; the caller runs them in one thread, which enters the
namespace where that is needed.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass

from dlp.datapath import links, rtnetlink
from dlp.datapath.links import Hook, Pins
from dlp.datapath.rtnetlink import Netlink, NetlinkError
from dlp.errors import KernelError
from dlp.workloads.netns import entered

NAMES = {Hook.EGRESS: "dlp_entry", Hook.INGRESS: "dlp_guard"}
NAME = NAMES[Hook.EGRESS]
# One chunk of the scan a packet: what a packet may cost is bounded, so honest packets that
# are all digits or near misses must not be larger than the bound serves (bpf/scan.h).
GSO_MAX_SIZE = 16384
PRIORITY = 1
HANDLE = 0xD19
# Within a priority the filter that came last is asked first: to be first again, the other
# handle is taken.
_HANDLES = (HANDLE, HANDLE + 1)
_PARENTS = {Hook.EGRESS: 0xFFFFFFF3, Hook.INGRESS: 0xFFFFFFF2}  # TC_H_MAKE(TC_H_CLSACT, …)
_CLSACT, _CLSACT_PARENT = 0xFFFF0000, 0xFFFFFFF1
_NO_QUEUES = {"clsact", "ingress", "noqueue"}
_INFO = PRIORITY << 16 | 0x0300  # ETH_P_ALL in network order
_BPF_CLASSID, _BPF_FD, _BPF_NAME, _BPF_FLAGS = 3, 6, 7, 8  # TCA_BPF_
_DIRECT_ACTION = 1
_ETHERNET, _LOOPBACK = 1, 772  # ARPHRD_
_UP = 1  # IFF_UP
# What was to be removed is not there.
_GONE = {errno.ENOENT, errno.ENODEV, errno.EINVAL}

# What a packet crosses to leave the namespace. Tunnels and VLANs on top of one would
# count it twice.
_BOUNDARY = {None, "veth", "macvlan", "macvtap", "ipvlan", "ipvtap", "netkit", "virt_wifi"}


class Way(enum.StrEnum):
    TCX = "tcx"
    CLSACT = "clsact"


class Standing(enum.Enum):
    """Where a program of ours is: first of its hook, behind another's, or not there."""

    FIRST = enum.auto()
    BEHIND = enum.auto()
    MISSING = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A network device of a namespace.

    Attributes:
        kind: None for hardware.
        boundary: a packet that crosses it leaves the namespace.
        gso_max_size, gso_ipv4_max_size: in bytes; 0 where the kernel does not tell.
        sent: packets that left by it since it was made.
        linked, nsid: of a veth, the index of its other end, and by which number this namespace
            knows that end's; rtnetlink.NO_NSID is this namespace itself.
    """

    name: str
    index: int
    kind: str | None
    up: bool
    boundary: bool
    loopback: bool = False
    gso_max_size: int = 0
    gso_ipv4_max_size: int = 0
    sent: int = 0
    linked: int = 0
    nsid: int = rtnetlink.NO_NSID

    @property
    def large(self) -> bool:
        """Whether it takes packets larger than GSO_MAX_SIZE."""
        return max(self.gso_max_size, self.gso_ipv4_max_size) > GSO_MAX_SIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A program in place.

    Attributes:
        netns: inode of the namespace that the device is in; 0 where it is not known.
        made_qdisc: clsact was not there before. It stays until the program is taken off, also
            where a link takes the filter's place: the kernel loses packets when it removes one.
        link: id of the link, by TCX; 0 by clsact.
    """

    device: str
    index: int
    netns: int = 0
    way: Way = Way.CLSACT
    made_qdisc: bool = False
    link: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached(Placed):
    """A classifier in place.

    Attributes:
        gso_max_size, gso_ipv4_max_size: of the device before they were lowered, in bytes; 0 if
            they were not.
        final: no foreign filter was there before, and none is asked behind ours.
        guard: on the host's end.
    """

    gso_max_size: int = 0
    gso_ipv4_max_size: int = 0
    final: bool = False
    guard: Placed | None = None


class NamespaceLink:
    """A way into one namespace's devices.

    Raises:
        KernelError: the namespace is gone, or the kernel refuses.
    """

    def __init__(self, fd: int) -> None:
        with entered(fd):
            self.netlink = Netlink()
        self._fd = os.dup(fd)
        self.inode = os.fstat(fd).st_ino

    def close(self) -> None:
        self.netlink.close()
        os.close(self._fd)

    def devices(self) -> list[Device]:
        """All devices, in order of their index."""
        with _explained("listing devices"):
            return [device_of(link) for link in self.netlink.links()]

    def device(self, index: int) -> Device | None:
        """One device; None where it is gone."""
        with _explained("reading a device"):
            link = self.netlink.link(index)
        return device_of(link) if link else None

    # -- classifiers -------------------------------------------------------------

    def attach(
        self, device: Device, program: int, *, way: Way = Way.CLSACT, pins: Pins | None = None
    ) -> Attached:
        """Put `program` on a device's egress, in place of the one of ours that may be there."""
        placed = self.place(device.name, device.index, program, Hook.EGRESS, way=way, pins=pins)
        try:
            lowered = self.lower(device)
        except KernelError:
            if pins is not None and self.device(device.index) is None:
                pins.detach(placed.link)
            raise
        return Attached(
            device=placed.device,
            index=placed.index,
            netns=placed.netns,
            way=placed.way,
            made_qdisc=placed.made_qdisc,
            link=placed.link,
            gso_max_size=device.gso_max_size if lowered else 0,
            gso_ipv4_max_size=device.gso_ipv4_max_size if lowered else 0,
        )

    def lower(self, device: Device) -> bool:
        """Bound the packets of a device; whether they were larger."""
        if device.large:
            with _explained(f"lowering gso_max_size of {device.name}"):
                ipv4 = GSO_MAX_SIZE if device.gso_ipv4_max_size else 0
                self.netlink.set_gso(device.index, GSO_MAX_SIZE, ipv4)
        return device.large

    def detach(self, attached: Attached, pins: Pins | None = None) -> None:
        """Remove our classifier and put back what was changed; the guard is the caller's."""
        self.remove(attached, Hook.EGRESS, pins)
        if attached.gso_max_size:
            with _explained(f"restoring {attached.device}", tolerate=_GONE):
                self.netlink.set_gso(
                    attached.index, attached.gso_max_size, attached.gso_ipv4_max_size
                )

    def attached(self, index: int, hook: Hook = Hook.EGRESS) -> bool:
        """Whether a filter of ours is on the device by clsact."""
        with _explained("listing filters"):
            return bool(self._ours(index, hook))

    # -- a program on a hook -----------------------------------------------------

    def place(
        self,
        name: str,
        index: int,
        program: int,
        hook: Hook,
        *,
        way: Way = Way.CLSACT,
        pins: Pins | None = None,
    ) -> Placed:
        """Put a program on a hook, in place of what of ours is there.

        By the same way it is replaced in place; a link that is behind another's is replaced by one
        before it, which takes a program that is not on the device yet. By the other way, the
        classifier of before goes after the new one is there; a guard goes before, as two of them
        would let nothing in: the first takes the token off.

        Args:
            pins: where links are pinned; needed for TCX.

        Raises:
            KernelError: the device is gone, the place is taken, the program is no classifier, or
                the link cannot be pinned.
        """
        first = hook is Hook.INGRESS
        with _explained(f"attaching to {name}"):
            if way is Way.TCX and pins is not None:
                pins.prepare()
                if first:
                    self._remove_filters(index, hook)
                link = self._place_link(index, program, hook, pins)
                if not first:
                    self._remove_filters(index, hook)
                return Placed(device=name, index=index, netns=self.inode, way=way, link=link)
            made = self.netlink.add_qdisc(index, _CLSACT, _CLSACT_PARENT, "clsact")
            linked = pins if pins is not None and links.supported() else None
            if linked is not None and first:
                self._remove_links(index, hook, linked)
            self._place_filter(index, program, hook)
            if linked is not None and not first:
                self._remove_links(index, hook, linked)
        return Placed(device=name, index=index, netns=self.inode, made_qdisc=made)

    def standing(self, placed: Placed, hook: Hook) -> Standing:
        """Where a program of ours is now."""
        with _explained(f"looking at {placed.device}"):
            if placed.way is Way.TCX:
                order = [one.link == placed.link for one in self.order(placed.index, hook)]
            else:
                # Only what stands in the first chain is asked; others are jumped to from there.
                found = self.netlink.filters(placed.index, _PARENTS[hook])
                order = [_is_ours(one, hook) for one in found if not one.chain]
        if not any(order):
            return Standing.MISSING
        return Standing.FIRST if order[0] else Standing.BEHIND

    def has_qdisc(self, index: int) -> bool:
        """Whether the device has clsact."""
        with _explained("listing qdiscs"):
            return any(one.kind == "clsact" for one in self.netlink.qdiscs(index))

    def queues(self, index: int) -> frozenset[str]:
        """Kinds of the qdiscs that a packet meets behind TC egress."""
        with _explained("listing qdiscs"):
            return frozenset(one.kind for one in self.netlink.qdiscs(index)) - _NO_QUEUES

    def foreign(self, index: int, hook: Hook, pins: Pins) -> bool:
        """Whether there are programs or filters of others."""
        with _explained("listing filters"):
            found = self.netlink.filters(index, _PARENTS[hook])
            if any(not _is_ours(one, hook) for one in found):
                return True
            return links.supported() and any(
                one.link not in pins for one in self.order(index, hook)
            )

    def order(self, index: int, hook: Hook) -> tuple[links.InChain, ...]:
        """What is on a device by TCX, in the order of asking; nothing once it is gone."""
        try:
            with entered(self._fd):
                return links.order(index, hook)
        except links.NoDeviceError:
            return ()

    def remove(self, placed: Placed, hook: Hook, pins: Pins | None = None) -> None:
        """Take a program off, and clsact if we made it and nobody else uses it."""
        with _explained(f"detaching from {placed.device}", tolerate=_GONE):
            if placed.way is Way.CLSACT:
                self._remove_filters(placed.index, hook)
            elif pins is not None:
                pins.detach(placed.link)
        if not placed.made_qdisc:
            return
        with _explained(f"removing clsact from {placed.device}", tolerate=_GONE):
            if not any(self.netlink.filters(placed.index, each) for each in _PARENTS.values()):
                self.netlink.delete_qdisc(placed.index, _CLSACT, _CLSACT_PARENT)

    # -- inside ------------------------------------------------------------------

    def _place_link(self, index: int, program: int, hook: Hook, pins: Pins) -> int:
        with entered(self._fd):
            order = links.order(index, hook)
            ours = [one.link for one in order if one.link in pins]
            if ours and order[0].link == ours[0]:
                kept = ours[0]
                pins.update(kept, program)
            else:
                fd = links.create(program, index, hook)
                try:
                    kept = pins.add(fd, f"{self.inode}-{index}-{hook.name.lower()}")
                finally:
                    os.close(fd)
        for link in ours:
            if link != kept:
                pins.detach(link)
        return kept

    def _remove_links(self, index: int, hook: Hook, pins: Pins) -> None:
        for one in self.order(index, hook):
            if one.link in pins:
                pins.detach(one.link)

    def _place_filter(self, index: int, program: int, hook: Hook) -> None:
        order = [one for one in self.netlink.filters(index, _PARENTS[hook]) if not one.chain]
        ours = [one.handle for one in order if _is_ours(one, hook)]
        handle = ours[0] if ours else HANDLE
        if ours and order[0].handle != handle:
            handle = next(each for each in _HANDLES if each not in ours[:1])
        options = rtnetlink.attribute(_BPF_FD, program.to_bytes(4, "little"))
        options += rtnetlink.attribute(_BPF_NAME, NAMES[hook].encode() + b"\0")
        options += rtnetlink.attribute(_BPF_FLAGS, _DIRECT_ACTION.to_bytes(4, "little"))
        options += rtnetlink.attribute(_BPF_CLASSID, (1).to_bytes(4, "little"))
        self.netlink.replace_filter(
            index, _PARENTS[hook], info=_INFO, handle=handle, kind="bpf", options=options
        )
        for each in ours:
            if each != handle:
                self._remove_filter(index, hook, each)

    def _ours(self, index: int, hook: Hook) -> list[int]:
        found = self.netlink.filters(index, _PARENTS[hook])
        return [one.handle for one in found if _is_ours(one, hook)]

    def _remove_filters(self, index: int, hook: Hook) -> None:
        for handle in self._ours(index, hook):
            self._remove_filter(index, hook, handle)

    def _remove_filter(self, index: int, hook: Hook, handle: int) -> None:
        self.netlink.delete_filter(index, _PARENTS[hook], info=_INFO, handle=handle, kind="bpf")


def device_of(link: rtnetlink.Link) -> Device:
    """A device from what the kernel tells of it."""
    return Device(
        name=link.name,
        index=link.index,
        kind=link.kind,
        up=bool(link.flags & _UP),
        boundary=link.hardware == _ETHERNET and link.kind in _BOUNDARY,
        loopback=link.hardware == _LOOPBACK,
        gso_max_size=link.gso_max_size,
        gso_ipv4_max_size=link.gso_ipv4_max_size,
        sent=link.sent,
        linked=link.linked if link.kind == "veth" else 0,
        nsid=link.nsid,
    )


def _is_ours(found: rtnetlink.Tc, hook: Hook) -> bool:
    return (
        found.kind == "bpf"
        and found.handle in _HANDLES
        and found.info >> 16 == PRIORITY
        and found.options.get(_BPF_NAME, b"").rstrip(b"\0") == NAMES[hook].encode()
    )


@contextlib.contextmanager
def _explained(doing: str, tolerate: set[int] | None = None) -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if tolerate and error.errno in tolerate:
            return
        raise KernelError(
            f"{doing}: {error.strerror}",
            remedy=f"see `tc filter show dev DEVICE egress`; priority {PRIORITY} must be free",
        ) from error
    except KernelError as error:
        raise KernelError(f"{doing}: {error.message}", remedy=error.remedy) from error
    except OSError as error:
        raise KernelError(f"{doing}: {error.strerror or error}") from error
