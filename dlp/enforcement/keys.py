"""The number by which the kernel programs know a namespace.

    key = inode of the namespace << 16 | slot

The inode is unique among living namespaces; the slot numbers the row of counters.
After a restart keys are taken over from the kernel's own table, so that flows and
counters go on.
"""

from __future__ import annotations

from collections.abc import Iterable

from dlp.datapath.abi import WORKLOADS
from dlp.errors import KernelError

_SLOT_BITS = 16
_SLOT_MASK = (1 << _SLOT_BITS) - 1


def slot_of(key: int) -> int:
    """The row of counters of a key."""
    return key & (WORKLOADS - 1)


def inode_of(key: int) -> int:
    """The namespace of a key."""
    return key >> _SLOT_BITS


class KeyRing:
    """Gives keys to namespaces and takes them back.

    Args:
        known: keys in use from before.
    """

    def __init__(self, known: Iterable[int] = ()) -> None:
        self._by_inode = {inode_of(key): key for key in known}
        self._last = max((slot_of(key) for key in self._by_inode.values()), default=0)

    def key(self, inode: int) -> tuple[int, bool]:
        """The namespace's key, and whether it is new.

        Raises:
            KernelError: every slot is taken.
        """
        if inode in self._by_inode:
            return self._by_inode[inode], False
        taken = {key & _SLOT_MASK for key in self._by_inode.values()}
        # Slot 0 stays free: it is what a packet counts under before its entry names it. The
        # others go round: a new namespace with the inode of one that is gone has another key,
        # and with it none of that one's flows.
        order = (*range(self._last + 1, WORKLOADS), *range(1, self._last + 1))
        slot = next((slot for slot in order if slot not in taken), None)
        if slot is None:
            raise KernelError(
                f"all {WORKLOADS - 1} workload slots are taken",
                remedy="list fewer namespaces, or run a second gateway",
            )
        self._last = slot
        self._by_inode[inode] = inode << _SLOT_BITS | slot
        return self._by_inode[inode], True

    def release(self, inode: int) -> None:
        """The namespace is gone."""
        self._by_inode.pop(inode, None)

    def known(self) -> dict[int, int]:
        """Keys by inode."""
        return dict(self._by_inode)
