"""One device of a workload, and what of ours is on it and on its host end: values and decisions.

Which way a classifier is attached:

    the guard stands or will stand    TCX. What is held leaves with the token for held packets, and
                                      the guard takes it out.
    no guard, nothing is ever held    TCX, as nobody in the namespace can take it off.
    no guard, a policy holds          clsact. Under TCX nothing takes a packet out so that TCP
                                      believes it sent (TC_ACT_STOLEN means "next" there, and
                                      TC_ACT_SHOT costs 200 ms whatever the floor). That the
                                      filter can be removed is told as an incident, and mended.
    before 6.6, or asked for          clsact.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from dlp.config.model import AttachWay
from dlp.datapath.abi import DeviceFlag
from dlp.datapath.attach import Attached, Device, Placed, Way
from dlp.enforcement.places import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a configuration asks for a workload.

    Attributes:
        attach: how classifiers are attached.
        closed: what is new may not send before it is enforced.
        holds: some policy of the workload holds.
        loopback: some policy reads what stays on `lo`.
        monitor: all of its policies only watch.
    """

    attach: AttachWay = AttachWay.AUTO
    closed: bool = True
    holds: bool = False
    loopback: bool = False
    monitor: bool = False

    def way(self, *, guarded: bool, tcx: bool) -> Way:
        """How a classifier is attached; see above."""
        if not tcx or self.attach is AttachWay.CLSACT:
            return Way.CLSACT
        return Way.TCX if guarded or not self.holds else Way.CLSACT


class Guarding(enum.Enum):
    """How far a device's guard is."""

    NO = enum.auto()
    AWAITED = enum.auto()  # packets that left without a token may still be on their way
    YES = enum.auto()


@dataclass(frozen=True, slots=True)
class HostEnd:
    """The other end of a veth, where a guard can stand."""

    place: Place
    index: int
    name: str

    def bears(self, guard: Placed | None) -> bool:
        """Whether a guard is on this device."""
        return guard is not None and (guard.netns, guard.index) == (self.place.inode, self.index)


@dataclass(slots=True)
class Cover:
    """A device and what is on it.

    Attributes:
        place: where the device is now; None where that cannot be found.
        peer: index and namespace number of its other end when that was looked for last.
        host: its host end, or None for the reason `why`.
        fresh: nothing of ours has been on it; adopted: an earlier process put it there.
        good: the classifier is in place, or was when last seen.
        due: when the guard may be placed (time.monotonic); 0 where none is awaited.
        was_up: it has been up, so that its name is no longer being given.
        final: foreign filters are not asked, as none was there when we came.
        queues: kinds of qdiscs that were there when we came.
        told: incidents that go on and have been told.
        unseen: what leaves is not seen yet.
        protected_at: since when it is (time.monotonic); had_sent: packets that had left by then.
    """

    device: Device
    place: Place | None
    attached: Attached
    peer: tuple[int, int] | None = None
    flags: DeviceFlag | None = None
    host: HostEnd | None = None
    why: str = ""
    guarding: Guarding = Guarding.NO
    fresh: bool = True
    adopted: bool = False
    good: bool = False
    due: float = 0.0
    was_up: bool = False
    final: bool = False
    queues: frozenset[str] = frozenset()
    told: frozenset[str] = frozenset()
    unseen: bool = False
    protected_at: float = 0.0
    had_sent: int = 0

    @property
    def key(self) -> tuple[int, int]:
        """Namespace and index; (0, index) where the namespace cannot be found."""
        return (self.place.inode if self.place else 0, self.device.index)


def flags_of(way: Way, guarding: Guarding, *, loopback: bool, final: bool) -> DeviceFlag:
    """What the classifier has to know of its device."""
    flags = DeviceFlag.FINAL if final else DeviceFlag(0)
    if loopback:
        flags |= DeviceFlag.LOOPBACK
    if way is Way.CLSACT:
        flags |= DeviceFlag.STEALS
    if guarding is Guarding.YES:
        flags |= DeviceFlag.GUARDED
    if guarding is Guarding.AWAITED:
        flags |= DeviceFlag.STAMPS
    return flags
