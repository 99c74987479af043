"""Take guards and classifiers off: those of the record, or every one that is found.

The record says what to put back; the kernel says where filters are, and pins are links.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from dlp.datapath import links
from dlp.datapath.attach import NAMES, Attached, NamespaceLink, Placed
from dlp.datapath.links import Hook, Pins
from dlp.enforcement.guards import drop_guard, take_off
from dlp.enforcement.places import Places
from dlp.enforcement.record import Entry
from dlp.errors import DlpError, KernelError
from dlp.workloads import rto
from dlp.workloads.netns import names, open_netns

_PROC = Path("/proc")


def take_off_all(
    entries: Iterable[Entry], *, everywhere: bool = False, pins: Pins | None = None
) -> int:
    """Detach; returns how many classifiers were taken off. Blocking.

    Args:
        entries: of the record.
        everywhere: also in namespaces that the record does not know. They may be another
            gateway's (one with a /run of its own), so this has to be asked for.
        pins: all links pinned there go, whatever the record says.

    Raises:
        KernelError: one could not be taken off; those of other namespaces were.
    """
    entries = tuple(entries)
    pins = pins if pins is not None else Pins()
    failed: list[str] = []
    # A guard alone lets nothing through, so that all of them go first.
    _remove_guards(entries, pins, failed)
    removed = {number for number in pins if pins.hook(number) is Hook.EGRESS}
    count = sum(pins.detach(number) for number in removed)
    known: dict[int, dict[int, Attached]] = {}
    for entry in entries:
        for one in entry.attached:
            known.setdefault(one.netns or entry.inode, {})[one.index] = one
    lowered = {entry.inode: entry.tcp for entry in entries if entry.tcp}
    for inode, fd, name in _namespaces():
        if not everywhere and inode not in known and inode not in lowered:
            continue
        try:
            count += _take_off(fd, known.get(inode, {}), everywhere=everywhere)
            rto.restore(fd, lowered.get(inode, {}))
        except (DlpError, OSError) as error:
            failed.append(f"{name}: {error}")
    if everywhere and links.supported():
        count += _detach_links()
    if failed:
        raise KernelError(
            f"not detached from {len(failed)} namespaces ({failed[0]})",
            remedy="remove what stands in the way and detach again; nothing was unpinned",
        )
    return count


def let_go(entry: Entry, fd: int, pins: Pins, places: Places) -> None:
    """Take off what a record tells of a namespace, given its descriptor. Blocking.

    Raises:
        KernelError: the kernel refuses.
    """
    own = NamespaceLink(fd)
    try:
        for attached in entry.attached:
            elsewhere = attached.netns not in (0, entry.inode)
            place = places.open(attached.netns) if elsewhere else None
            take_off(place.link if place else own, attached, pins, places)
    finally:
        own.close()
    rto.restore(fd, entry.tcp)


def _remove_guards(entries: Iterable[Entry], pins: Pins, failed: list[str]) -> None:
    places = Places()
    try:
        for entry in entries:
            for guard in [one.guard for one in entry.attached if one.guard is not None]:
                try:
                    drop_guard(guard, pins, places)
                except DlpError as error:
                    failed.append(f"{entry.name}: {error}")
    finally:
        places.close()
    for number in [number for number in pins if pins.hook(number) is Hook.INGRESS]:
        pins.detach(number)


def _take_off(fd: int, known: dict[int, Attached], *, everywhere: bool) -> int:
    link = NamespaceLink(fd)
    count = 0
    try:
        for device in link.devices():
            if everywhere and link.attached(device.index, Hook.INGRESS):
                link.remove(Placed(device=device.name, index=device.index), Hook.INGRESS)
            filtered = link.attached(device.index)
            attached = known.get(device.index)
            if filtered or attached:
                link.detach(attached or Attached(device=device.name, index=device.index))
            count += filtered
    finally:
        link.close()
    return count


def _detach_links() -> int:
    """Cut off every link whose program has one of our names; how many classifiers there were."""
    count = 0
    for hook in (Hook.INGRESS, Hook.EGRESS):
        for number, name in links.everywhere(hook):
            if name == NAMES[hook]:
                count += links.cut(number) and hook is Hook.EGRESS
    return count


def _namespaces() -> Iterator[tuple[int, int, str]]:
    """Every network namespace with a name or a process, once: inode, descriptor, name.

    The descriptor is open until the next one is asked for.
    """
    seen: set[int] = set()
    for name in names():
        with contextlib.suppress(DlpError), open_netns(name) as handle:
            if handle.inode not in seen:
                seen.add(handle.inode)
                yield handle.inode, handle.fd, name
    for process in _PROC.iterdir():
        if not process.name.isdigit():
            continue
        try:
            fd = os.open(process / "ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue  # it has ended, or is a kernel thread of its last moment
        try:
            inode = os.fstat(fd).st_ino
            if inode not in seen:
                seen.add(inode)
                yield inode, fd, f"of process {process.name}"
        finally:
            os.close(fd)
