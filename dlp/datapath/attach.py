"""Put the classifier on the egress of a namespace's boundary devices, and take it off.

clsact with a fixed priority and handle: replacing is atomic, and exactly one filter of
ours stands on a device however often this runs. Foreign filters stay where they are.
Blocking calls into netlink; the caller runs them in one thread, which enters the
namespace for the moment in which the socket is made.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from dlp.errors import KernelError
from dlp.workloads.netns import entered

NAME = "dlp_entry"
# One chunk of the scan a packet: what a packet may cost is bounded, so honest packets that
# are all digits or near misses must not be larger than the bound serves (bpf/scan.h).
GSO_MAX_SIZE = 16384
PRIORITY = 1
HANDLE = 0xD19
_EGRESS = 0xFFFFFFF3  # TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)
_INGRESS = 0xFFFFFFF2
_ALL_PROTOCOLS = 0x0003  # ETH_P_ALL; pyroute2 puts it in network order
_ETHERNET = 1  # ARPHRD_ETHER
_UP = 1  # IFF_UP
_EEXIST = 17
_GONE = {2, 19, 22}  # ENOENT, ENODEV, EINVAL: what was to be removed is not there

# What a packet crosses to leave the namespace. Tunnels and VLANs on top of one would
# count it twice; lo never leaves.
_BOUNDARY = {None, "veth", "macvlan", "macvtap", "ipvlan", "ipvtap", "netkit", "virt_wifi"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A network device of a namespace; `kind` is None for hardware."""

    name: str
    index: int
    kind: str | None
    up: bool
    boundary: bool
    gso_max_size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """A classifier in place.

    Attributes:
        made_qdisc: clsact was not there before.
        gso_max_size: of the device before it was lowered, in bytes; 0 if it was not.
    """

    device: str
    index: int
    made_qdisc: bool
    gso_max_size: int = 0


class NamespaceLink:
    """A netlink socket in one namespace.

    Raises:
        KernelError: the namespace is gone, or the kernel refuses.
    """

    def __init__(self, fd: int) -> None:
        with entered(fd):
            self._netlink: Any = IPRoute()

    def close(self) -> None:
        self._netlink.close()

    def devices(self) -> list[Device]:
        """All devices, in order of their index."""
        with _explained("listing devices"):
            links = list(self._netlink.get_links())
        return [_device(link) for link in links]

    def attach(self, device: Device, program: int) -> Attached:
        """Put `program` on a device's egress, in place of the one that may be there."""
        with _explained(f"attaching to {device.name}"):
            made = self._ensure_clsact(device.index)
            lowered = device.gso_max_size if device.gso_max_size > GSO_MAX_SIZE else 0
            if lowered:
                self._netlink.link("set", index=device.index, gso_max_size=GSO_MAX_SIZE)
            self._netlink.tc(
                "replace-filter",
                "bpf",
                device.index,
                handle=HANDLE,
                fd=program,
                name=NAME,
                parent=_EGRESS,
                prio=PRIORITY,
                protocol=_ALL_PROTOCOLS,
                direct_action=True,
                classid=1,
            )
        return Attached(
            device=device.name, index=device.index, made_qdisc=made, gso_max_size=lowered
        )

    def attached(self, index: int) -> bool:
        """Whether a filter of ours is on the device."""
        with _explained("listing filters"):
            return any(_is_ours(found) for found in self._filters(index, _EGRESS))

    def detach(self, attached: Attached) -> None:
        """Remove our filter, and clsact if we made it and nobody else uses it."""
        with _explained(f"detaching from {attached.device}", tolerate=_GONE):
            self._netlink.tc(
                "del-filter",
                "bpf",
                attached.index,
                handle=HANDLE,
                prio=PRIORITY,
                protocol=_ALL_PROTOCOLS,
                parent=_EGRESS,
            )
        if attached.gso_max_size:
            with _explained(f"restoring {attached.device}", tolerate=_GONE):
                self._netlink.link("set", index=attached.index, gso_max_size=attached.gso_max_size)
        if not attached.made_qdisc:
            return
        with _explained(f"removing clsact from {attached.device}", tolerate=_GONE):
            others = [
                found
                for parent in (_EGRESS, _INGRESS)
                for found in self._filters(attached.index, parent)
                if found["handle"]
            ]
            if not others:
                self._netlink.tc("del", "clsact", attached.index)

    def _ensure_clsact(self, index: int) -> bool:
        try:
            self._netlink.tc("add", "clsact", index)
        except NetlinkError as error:
            if error.code != _EEXIST:
                raise
            return False
        return True

    def _filters(self, index: int, parent: int) -> list[Any]:
        return list(self._netlink.get_filters(index=index, parent=parent))


def _device(link: Any) -> Device:
    info = link.get("linkinfo")
    kind = info.get("kind") if info else None
    return Device(
        name=link.get("ifname"),
        index=link["index"],
        kind=kind,
        up=bool(link["flags"] & _UP),
        boundary=link["ifi_type"] == _ETHERNET and kind in _BOUNDARY,
        gso_max_size=link.get("gso_max_size") or 0,
    )


def _is_ours(found: Any) -> bool:
    options = found.get("options")
    return (
        found["handle"] == HANDLE
        and options is not None
        and options.get_attr("TCA_BPF_NAME") == NAME
        and found["info"] >> 16 == PRIORITY
    )


@contextlib.contextmanager
def _explained(doing: str, tolerate: set[int] | None = None) -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if tolerate and error.code in tolerate:
            return
        raise KernelError(
            f"{doing}: {error}",
            remedy=f"see `tc filter show dev DEVICE egress`; priority {PRIORITY} must be free",
        ) from error
    except OSError as error:
        raise KernelError(f"{doing}: {error.strerror or error}") from error
