"""One namespace under control: its key, its classifier, the devices that carry it.

Blocking; all namespaces are worked on in one thread (see controller).
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace

from dlp.datapath.attach import Attached, NamespaceLink
from dlp.datapath.datapath import Datapath
from dlp.enforcement.keys import KeyRing, slot_of
from dlp.errors import DlpError
from dlp.workloads.netns import NetnsHandle, entered, open_netns

_RTMGRP_LINK = 1
_RTM_DELLINK = 17
_DRAIN = 1 << 16
# struct nlmsghdr: length, type, flags, sequence, port; then struct ifinfomsg: family, index.
_MESSAGE = struct.Struct("=IH10xB3xi")


@dataclass(slots=True)
class ControlledNamespace:
    """Opened by `open_controlled`; `close` lets go of it and leaves enforcement on."""

    handle: NetnsHandle
    key: int
    program: int
    link: NamespaceLink
    changes: socket.socket
    before: dict[int, Attached] = field(default_factory=dict)
    attached: dict[int, Attached] = field(default_factory=dict)
    uncovered: tuple[str, ...] = ()
    covered: bool = False  # its devices have been gone through once
    error: str = ""

    def reconcile(self, removed: Collection[int] = (), *, sure: bool = True) -> bool:
        """Attach to every boundary device that has no classifier of ours.

        Args:
            removed: indices of devices that went; one made anew can have the old index.
            sure: False asks the kernel about each classifier instead of remembering it.

        Returns whether anything changed. A device that vanishes meanwhile is no error.
        """
        for index in removed:
            self.attached.pop(index, None)
        devices = {device.index: device for device in self.link.devices()}
        wanted = {index: device for index, device in devices.items() if device.boundary}
        changed = self.attached.keys() - wanted.keys()
        for index in changed:
            del self.attached[index]
        self.uncovered = tuple(
            device.name
            for device in devices.values()
            if not device.boundary and device.name != "lo" and device.up
        )
        error = ""
        for index, device in wanted.items():
            known = self.attached.get(index)
            try:
                same = known is not None and known.device == device.name
                if same and (sure or self.link.attached(index)):
                    continue
                attached = self.link.attach(device, self.program)
            except DlpError as refused:
                if index in {left.index for left in self.link.devices()}:
                    error = str(refused)
                continue
            self.attached[index] = _with_history(attached, known or self.before.get(index))
            changed = changed | {index}
        self.error = error  # now and not before: another thread reads it
        return bool(changed)

    def detach(self) -> None:
        """Take all classifiers off."""
        for attached in self.attached.values():
            self.link.detach(attached)
        self.attached.clear()

    def close(self) -> None:
        """Let go; what is attached stays."""
        self.changes.close()
        self.link.close()
        os.close(self.program)
        self.handle.close()


def _with_history(attached: Attached, earlier: Attached | None) -> Attached:
    """What was changed when a classifier was first put there stays what is to be put back."""
    if earlier is None:
        return attached
    return replace(
        attached,
        made_qdisc=attached.made_qdisc or earlier.made_qdisc,
        gso_max_size=attached.gso_max_size or earlier.gso_max_size,
    )


def drain(changes: socket.socket) -> tuple[set[int], bool]:
    """Read the messages of link changes that are there.

    Returns the indices of devices that went, and whether no message was lost.
    """
    removed: set[int] = set()
    sure = True
    while True:
        try:
            data = changes.recv(_DRAIN)
        except BlockingIOError:
            return removed, sure
        except OSError:  # ENOBUFS: the kernel had more to say than the socket holds
            sure = False
            continue
        removed.update(_removed(data))


def _removed(data: bytes) -> Iterator[int]:
    """Indices in the RTM_DELLINK messages of a datagram (rtnetlink(7))."""
    at = 0
    while at + _MESSAGE.size <= len(data):
        length, kind, family, index = _MESSAGE.unpack_from(data, at)
        if kind == _RTM_DELLINK and family == socket.AF_UNSPEC:
            yield index
        at += max(length + 3 & ~3, _MESSAGE.size)


def open_controlled(name: str, datapath: Datapath, keys: KeyRing) -> ControlledNamespace:
    """Open a namespace by name and load its classifier; nothing is attached yet.

    Raises:
        DlpError: it is gone or not ready, or the kernel refuses.
    """
    handle = open_netns(name)
    with contextlib.ExitStack() as undo:
        undo.callback(handle.close)
        key, fresh = keys.key(handle.inode)
        if fresh:
            datapath.clear_counters(slot_of(key))
        with entered(handle.fd):
            changes = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
            )
            undo.callback(changes.close)
            changes.bind((0, _RTMGRP_LINK))
        link = NamespaceLink(handle.fd)
        undo.callback(link.close)
        program = datapath.entry(key)
        undo.pop_all()
    return ControlledNamespace(handle=handle, key=key, program=program, link=link, changes=changes)
