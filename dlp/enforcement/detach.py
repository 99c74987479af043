"""Take classifiers off: those of the record, or every one that is found.

The record says what to put back; the kernel says where classifiers are.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from dlp.datapath.attach import Attached, NamespaceLink
from dlp.enforcement.record import Entry
from dlp.errors import DlpError, KernelError
from dlp.workloads.netns import names, open_netns

_PROC = Path("/proc")


def take_off_all(entries: Iterable[Entry], *, everywhere: bool = False) -> int:
    """Detach; returns how many classifiers were taken off. Blocking.

    Args:
        entries: of the record.
        everywhere: also in namespaces that the record does not know. They may be another
            gateway's (one with a /run of its own), so this has to be asked for.

    Raises:
        KernelError: a classifier could not be taken off; those of other namespaces were.
    """
    known = {entry.inode: {one.index: one for one in entry.attached} for entry in entries}
    count = 0
    failed: list[str] = []
    for inode, fd, name in _namespaces():
        if not everywhere and inode not in known:
            continue
        try:
            count += _take_off(fd, known.get(inode, {}))
        except (DlpError, OSError) as error:
            failed.append(f"{name}: {error}")
    if failed:
        raise KernelError(
            f"not detached from {len(failed)} namespaces ({failed[0]})",
            remedy="remove what stands in the way and detach again; nothing was unpinned",
        )
    return count


def _take_off(fd: int, known: dict[int, Attached]) -> int:
    link = NamespaceLink(fd)
    count = 0
    try:
        for device in link.devices():
            if not link.attached(device.index):
                continue
            link.detach(
                known.get(device.index)
                or Attached(device=device.name, index=device.index, made_qdisc=False)
            )
            count += 1
    finally:
        link.close()
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
