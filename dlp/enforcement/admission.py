"""When a child of a gated cgroup may send: values in, values out.

A child waits for the listed namespaces that its processes were seen in. Which namespaces are
listed is known for sure only a little after a container's start: its first process begins in
the host's namespace, and its own is given its name later. So a child with processes in a
namespace that is not listed is admitted when its oldest process has run for a while.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field

from dlp.config import NewWorkloads
from dlp.workloads.cgroup import Cgroup
from dlp.workloads.occupants import Occupants

SETTLED_S = 1.0
# What an ended process still has to send is sent by the kernel.
LINGER_S = 60.0


class Standing(enum.Enum):
    """How the gateway stands to a network namespace."""

    ENFORCED = enum.auto()
    AWAITED = enum.auto()  # listed, and not enforced yet
    UNLISTED = enum.auto()


@dataclass(slots=True)
class Child:
    """A child of a gated cgroup.

    Attributes:
        changed: when it appeared or was last found otherwise, in monotonic seconds.
        admitted: it may send.
        inherited: an earlier process of the gateway had admitted it, for what ran then.
        awaited: inodes of namespaces it waits for, seen at some time and not yet enforced.
        enforced: inodes of namespaces it is in that were enforced once. A fault of a device
            later is the guard's business and does not cut the child off.
        seen: inodes of the namespaces of what ran in it last.
        emptied: since when nothing runs in it, in monotonic seconds.
    """

    cgroup: Cgroup
    changed: float
    admitted: bool = False
    inherited: bool = False
    awaited: set[int] = field(default_factory=set)
    enforced: set[int] = field(default_factory=set)
    seen: frozenset[int] = frozenset()
    emptied: float | None = None

    def may_send(
        self,
        found: Occupants,
        standing: Callable[[int], Standing],
        new: NewWorkloads,
        now: float,
    ) -> bool:
        """Whether it may, from what runs in it at `now` (monotonic seconds)."""
        if not found.netns:
            self.enforced.clear()
            return self._may_linger(now)
        self.emptied = None
        if self.inherited:
            self.inherited = False
            self.enforced |= found.netns
        stands = {inode: standing(inode) for inode in found.netns | self.awaited}
        self.enforced &= found.netns
        self.enforced |= {inode for inode in found.netns if stands[inode] is Standing.ENFORCED}
        self.awaited = {
            inode for inode, each in stands.items() if each is Standing.AWAITED
        } - self.enforced
        if self.awaited:
            return False
        known = all(stands[inode] is Standing.ENFORCED for inode in found.netns)
        return known or self.admitted or new is NewWorkloads.OPEN or found.oldest_s >= SETTLED_S

    def _may_linger(self, now: float) -> bool:
        if self.emptied is None:
            self.emptied = now
        return self.admitted and now - self.emptied < LINGER_S
