"""Bring one device under control, and keep it there: classifier and guard, in the right order.

    a device that is new     guard, classifier: nothing leaves before both are there
    a device in use          classifier that stamps tokens, what is under way arrives, guard
    after a restart          the classifier's program, then the guard's, each in place; tokens
                             are new, and those of the program before are let in

So no packet of an honest program is lost, but for what a new device sends meanwhile.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace

from dlp.datapath.abi import DeviceFlag
from dlp.datapath.attach import Attached, Placed, Standing, Way
from dlp.datapath.links import Hook
from dlp.enforcement import tamper
from dlp.enforcement.cover import Cover, Guarding, Terms, flags_of
from dlp.enforcement.guards import UNKNOWN, Kit, Programs, drop_guard
from dlp.enforcement.places import Place
from dlp.enforcement.tamper import Teller, once
from dlp.errors import DlpError, KernelError

# A packet that left without a token has crossed the veth by then.
SETTLE_S = 0.05


@dataclass(slots=True)
class Coverer:
    """Works on a workload's devices, one at a time. Blocking."""

    kit: Kit
    programs: Programs
    teller: Teller

    def bring(self, cover: Cover, place: Place, terms: Terms, *, suspect: bool, new: bool) -> None:
        """Have a device as it should be.

        Args:
            place: where it is.
            suspect: look at what stands there; else only what its facts say is acted on.
            new: it came while we watched; nothing was to leave by it yet.

        Raises:
            DlpError: the classifier could not be put. Where what is new is to be closed, a guard
                keeps all from leaving then, if there is a place for one.
        """
        suspect |= not cover.good
        if suspect or cover.peer != (cover.device.linked, cover.device.nsid):
            self._find_host(cover, place)
        if not suspect and self._is_settled(cover, terms):
            return
        egress, ingress = self._look(cover, place)
        guard = cover.attached.guard
        self._decide(cover, ingress, first=new and terms.closed)
        if cover.guarding is Guarding.YES and ingress is Standing.MISSING:
            self._put_guard(cover, place, terms)
        try:
            self._classify(cover, place, terms, egress)
        except DlpError:
            cover.good = False
            if terms.closed and cover.host and not cover.host.bears(cover.attached.guard):
                self._put_guard(cover, place, terms)
            raise
        if cover.guarding is Guarding.AWAITED and time.monotonic() >= cover.due:
            cover.guarding = Guarding.YES
            self._put_guard(cover, place, terms)
            self._classify(cover, place, terms, Standing.FIRST)
        elif cover.guarding is Guarding.YES and ingress is not Standing.MISSING:
            self._renew_guard(cover, terms, ingress)
        elif cover.guarding is Guarding.NO and guard is not None:
            self._drop_guard(cover, guard)
        self._conclude(cover, place)

    def _look(self, cover: Cover, place: Place) -> tuple[Standing, Standing]:
        """Where classifier and guard are now."""
        egress = ingress = Standing.MISSING
        if cover.attached.guard is not None:
            ingress = self.kit.standing(cover.attached.guard, cover.host)
        if cover.fresh:
            cover.final = not place.link.foreign(cover.device.index, Hook.EGRESS, self.kit.pins)
            cover.queues = place.link.queues(cover.device.index)
        else:
            egress = place.link.standing(cover.attached, Hook.EGRESS)
            if Standing.MISSING in {egress, ingress} and not _is_there(cover, place):
                raise KernelError(f"{cover.device.name} is gone")  # and took them with it
            self._tell_tampering(cover, place, egress, ingress)
        cover.unseen = egress is Standing.MISSING and ingress is Standing.MISSING
        return egress, ingress

    def _conclude(self, cover: Cover, place: Place) -> None:
        cover.fresh = cover.adopted = False
        if self.kit.sentry is not None:
            peer = cover.device.linked, cover.device.nsid
            host = cover.host
            end = (host.place.inode, host.index) if host is not None else None
            self.kit.sentry.release(place.inode, cover.device.index, peer, end)
        unguarded = cover.guarding is Guarding.NO and not cover.device.loopback
        if unguarded and not _is_there(cover, place):
            return
        if once(cover, tamper.UNGUARDED + cover.why, holds=unguarded):
            self.teller.unguarded(cover)

    # -- the guard ---------------------------------------------------------------

    def _find_host(self, cover: Cover, place: Place) -> None:
        cover.peer = (cover.device.linked, cover.device.nsid)
        if cover.device.loopback:
            cover.host, cover.why = None, ""
            return
        cover.host, cover.why = self.kit.host_end(place, cover.device)

    def _is_settled(self, cover: Cover, terms: Terms) -> bool:
        """Whether nothing is to be done, as far as can be told without asking the kernel."""
        awaited = cover.guarding is Guarding.AWAITED and time.monotonic() >= cover.due
        asked = cover.guarding is Guarding.NO and cover.host is not None
        way = self._way(cover, terms)
        return (
            not awaited
            and not asked
            and way is cover.attached.way
            and self._flags(cover, way) == cover.flags
        )

    def _decide(self, cover: Cover, ingress: Standing, *, first: bool) -> None:
        """How far the guard is to be; see the module's table."""
        guard, now = cover.attached.guard, time.monotonic()
        if cover.host is None:
            stays = guard is not None and ingress is not Standing.MISSING and cover.why == UNKNOWN
            cover.guarding = Guarding.YES if stays else Guarding.NO
        elif guard is not None or (cover.fresh and first):
            cover.guarding = Guarding.YES
        elif cover.guarding is not Guarding.AWAITED:
            cover.guarding = Guarding.AWAITED
            cover.due = now if cover.fresh and not cover.device.sent else now + SETTLE_S
        if cover.guarding is not Guarding.AWAITED:
            cover.due = 0.0

    def _put_guard(self, cover: Cover, place: Place, terms: Terms, *, behind: bool = False) -> None:
        """Where it is refused, the device is unguarded, and it is tried again later."""
        if cover.host is None:
            return
        try:
            guard = self._place_guard(cover, terms, behind=behind)
        except DlpError as refused:
            cover.guarding, cover.why, cover.due = Guarding.NO, str(refused), 0.0
            return
        cover.attached = replace(cover.attached, guard=guard)
        cover.due = 0.0
        self._protected(cover, place)

    def _place_guard(self, cover: Cover, terms: Terms, *, behind: bool) -> Placed:
        host, before = cover.host, cover.attached.guard
        assert host is not None  # noqa: S101 - narrows for mypy
        guard = host.place.link.place(
            host.name,
            host.index,
            self.programs.guard(fresh=behind),
            Hook.INGRESS,
            way=self._guards_way(cover, terms),
            pins=self.kit.pins,
        )
        if before is None or not host.bears(before):
            return guard
        return _with_qdisc(guard, before)

    def _renew_guard(self, cover: Cover, terms: Terms, ingress: Standing) -> None:
        guard, behind = cover.attached.guard, ingress is Standing.BEHIND
        way = self._guards_way(cover, terms)
        if guard is None or cover.host is None:
            return
        if cover.adopted or behind or guard.way is not way:
            with contextlib.suppress(DlpError):  # the one that stands there goes on
                guard = self._place_guard(cover, terms, behind=behind and way is Way.TCX)
                cover.attached = replace(cover.attached, guard=guard)

    def _guards_way(self, cover: Cover, terms: Terms) -> Way:
        return terms.way(guarded=True, tcx=self._tcx(cover.attached.guard))

    def _drop_guard(self, cover: Cover, guard: Placed) -> None:
        with contextlib.suppress(DlpError):
            drop_guard(guard, self.kit.pins, self.kit.places)
            cover.attached = replace(cover.attached, guard=None)

    # -- the classifier ----------------------------------------------------------

    def _way(self, cover: Cover, terms: Terms) -> Way:
        tcx = self._tcx(cover.attached)
        return terms.way(guarded=cover.guarding is not Guarding.NO, tcx=tcx)

    def _tcx(self, placed: Placed | None) -> bool:
        """Whether a link is there, or can be made: without pins clsact is better than nothing."""
        linked = placed is not None and placed.way is Way.TCX
        return self.kit.tcx and (linked or self.kit.pins.usable)

    def _flags(self, cover: Cover, way: Way) -> DeviceFlag:
        return flags_of(way, cover.guarding, loopback=cover.device.loopback, final=cover.final)

    def _classify(self, cover: Cover, place: Place, terms: Terms, egress: Standing) -> None:
        way = self._way(cover, terms)
        flags, before = self._flags(cover, way), cover.attached
        same = cover.good and not cover.adopted and way is before.way and flags == cover.flags
        if same and egress is Standing.FIRST:
            return
        behind = egress is Standing.BEHIND and way is Way.TCX
        program = self.programs.entry(flags, fresh=behind)
        made = place.link.attach(cover.device, program, way=way, pins=self.kit.pins)
        placed = _with_qdisc(made, before) if before.index == made.index else made
        cover.attached = replace(
            made,
            made_qdisc=placed.made_qdisc,
            gso_max_size=before.gso_max_size or made.gso_max_size,
            gso_ipv4_max_size=before.gso_ipv4_max_size or made.gso_ipv4_max_size,
            final=cover.final,
            guard=before.guard,
        )
        cover.flags, cover.good = flags, True
        self._protected(cover, place)

    def _protected(self, cover: Cover, place: Place) -> None:
        """From here on nothing leaves unseen: note when, and whether anything had left.

        What the sentry had closed before was out of the way since then.
        """
        if cover.unseen:
            cover.unseen = False
            sentry, index = self.kit.sentry, cover.device.index
            closed = sentry.closed(place.inode, index) if sentry is not None else None
            if closed is not None:
                cover.protected_at, cover.had_sent = closed.since, closed.sent
                return
            now = place.link.device(cover.device.index)
            cover.protected_at = time.monotonic()
            cover.had_sent = now.sent if now is not None else cover.device.sent

    # -- what others did ---------------------------------------------------------

    def _tell_tampering(
        self, cover: Cover, place: Place, egress: Standing, ingress: Standing
    ) -> None:
        name, attached, tell = cover.device.name, cover.attached, self.teller.tamper
        when = " while no gateway ran" if cover.adopted else ""
        if egress is Standing.MISSING and cover.good:
            gone = attached.way is Way.CLSACT and not place.link.has_qdisc(attached.index)
            what = tamper.QDISC_REMOVED if gone else tamper.FILTER_REMOVED
            tell(what, name, f"The classifier was taken off {name}{when}; it is put back.")
        if once(cover, tamper.FOREIGN_FIRST, holds=egress is Standing.BEHIND):
            detail = f"Another's program was put before the classifier on {name}{when}."
            tell(tamper.FOREIGN_FIRST, name, detail)
        # Under a classifier that is final, filters that come later are not asked.
        foreign = cover.final and place.link.foreign(cover.device.index, Hook.EGRESS, self.kit.pins)
        if once(cover, tamper.FOREIGN, holds=foreign and egress is Standing.FIRST):
            detail = f"Another's program was put behind the classifier on {name}; it is not asked."
            tell(tamper.FOREIGN, name, detail)
        queues = place.link.queues(cover.device.index) - cover.queues
        if once(cover, tamper.QDISC_ADDED, holds=bool(queues)):
            detail = (
                f"A qdisc ({', '.join(sorted(queues))}) was put on {name}: its actions come after "
                f"the classifier and can change what leaves."
            )
            tell(tamper.QDISC_ADDED, name, detail)
        if attached.guard is None or cover.host is None:
            return
        if ingress is Standing.MISSING and cover.host.bears(attached.guard):
            detail = f"The guard was taken off {cover.host.name}{when}; it is put back."
            tell(tamper.GUARD_REMOVED, cover.host.name, detail)
        if once(cover, tamper.FOREIGN_FIRST + "guard", holds=ingress is Standing.BEHIND):
            detail = f"Another's program was put before the guard on {cover.host.name}{when}."
            tell(tamper.FOREIGN_FIRST, cover.host.name, detail)


def _is_there(cover: Cover, place: Place) -> bool:
    """Whether neither the device nor its host end has been deleted meanwhile."""
    host = cover.host
    ends = [(place, cover.device.index), *([(host.place, host.index)] if host else [])]
    return all(where.link.device(index) is not None for where, index in ends)


def _with_qdisc(made: Placed, before: Placed) -> Placed:
    """A clsact of ours stays ours to remove."""
    return replace(made, made_qdisc=True) if before.made_qdisc else made


def nothing_yet(device: str, index: int, netns: int) -> Attached:
    """What is on a device that we have not touched."""
    return Attached(device=device, index=index, netns=netns)
