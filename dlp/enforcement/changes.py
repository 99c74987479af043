"""What the kernel tells of a namespace's devices, filters and qdiscs, read to its end."""

from __future__ import annotations

import socket
import time
from collections.abc import Container
from dataclasses import dataclass, field

from dlp.datapath import rtnetlink
from dlp.datapath.rtnetlink import Link
from dlp.workloads.netns import entered

_TC_KINDS = {
    rtnetlink.NEWQDISC,
    rtnetlink.DELQDISC,
    rtnetlink.NEWTFILTER,
    rtnetlink.DELTFILTER,
}


@dataclass(slots=True)
class Changes:
    """Changes since the last reading.

    Attributes:
        removed: devices that went, by index; one made anew can have the old index.
        linked: devices that came or changed.
        filtered: devices whose filters or qdiscs somebody else changed.
        sure: False where messages were lost: all has to be asked for then.
        since: when they were read (time.monotonic).
    """

    removed: dict[int, Link] = field(default_factory=dict)
    linked: set[int] = field(default_factory=set)
    filtered: set[int] = field(default_factory=set)
    sure: bool = True
    since: float = field(default_factory=time.monotonic)

    def suspects(self, index: int) -> bool:
        """Whether what stands on a device has to be looked at."""
        return not self.sure or index in self.filtered


def watch(fd: int) -> socket.socket:
    """A socket on which a namespace's changes can be read."""
    with entered(fd):
        return rtnetlink.watch(rtnetlink.LINK_CHANGES | rtnetlink.TC_CHANGES)


def drain(changes: socket.socket, ours: Container[int] = ()) -> Changes:
    """Read what is there.

    Args:
        ours: ports of the sockets by which filters are changed on our behalf.
    """
    found = Changes()
    messages, found.sure = rtnetlink.read(changes)
    for message in messages:
        if message.kind == rtnetlink.DELLINK:
            link = rtnetlink.link_of(message.body)
            if link.family == socket.AF_UNSPEC:  # a bridge tells of its ports too
                found.removed[link.index] = link
        elif message.kind == rtnetlink.NEWLINK:
            found.linked.add(rtnetlink.index_of(message.body))
        elif message.kind in _TC_KINDS and message.port not in ours:
            found.filtered.add(rtnetlink.index_of(message.body))
    return found
