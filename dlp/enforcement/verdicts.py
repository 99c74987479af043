"""From what the kernel and the inspector say to verdicts and incidents, as stored and shown.

Translation only: numbers become names, edges become masked text. No input or output.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from dlp.datapath import abi
from dlp.datapath.events import Event, Packet, Payload
from dlp.enforcement.names import ReleaseNames
from dlp.inspector.messages import Finding
from dlp.model import Action, DecidedBy, Endpoint, Incident, IncidentKind, Mode, Verdict
from dlp.policy import PolicySet
from dlp.signatures.image import KernelImage
from dlp.signatures.masking import mask

_KINDS = {
    abi.EventKind.MATCH: "match",
    abi.EventKind.OPAQUE: "opaque",
    abi.EventKind.BUDGET: "budget",
    abi.EventKind.DENIED: "denied",
    abi.EventKind.REFUSED: "refused",
    abi.EventKind.HELD: "held",
    abi.EventKind.HOLD_TIMEOUT: "hold_timeout",
}
# Refusals of what honest programs do not send: each a known way around the scan.
_WAYS_AROUND = {
    abi.Reason.UNOWNED: "TCP payload or a fragment came from no socket of its protocol.",
    abi.Reason.URGENT: "A TCP segment with payload had an urgent byte.",
    abi.Reason.MPTCP_JOIN: "A further MPTCP subflow was to be opened.",
    abi.Reason.REWRITTEN: "A segment was sent again with other bytes.",
    abi.Reason.HOP_LIMIT: "A segment could not go as far as others of its connection.",
    abi.Reason.FRAGMENT_ORDER: "An IP fragment did not follow the one before it.",
}
_UNSEEN = "A packet reached the host's side without having passed the classifier."
_OVER_BUDGET = "A packet needed more work than the kernel programs may do."
_RELEASES = 8
_FLOWS = 65536
_VALUES = 64
_EXCEPTED = (-1, "")  # no rule: excepted values bring none nearer to its threshold


@dataclass(frozen=True, slots=True)
class Release:
    """A signature set and the policies that were loaded with it."""

    number: int
    image: KernelImage
    policies: PolicySet

    def index_of(self, signature: str) -> int | None:
        """Number of a signature by its id; None where the release has none such."""
        ids = [one.id for one in self.image.signatures]
        return ids.index(signature) if signature in ids else None


@dataclass(slots=True)
class MirroredFlow:
    """What is remembered of a mirrored flow: who, under which policy, what was found.

    `key` is a struct dlp_flow_key as the kernel has it.
    """

    packet: Packet
    key: bytes
    policy: int
    release: int
    values: dict[tuple[int, str], set[bytes]] = field(default_factory=dict)


class Translator:
    """Turns events and findings into verdicts, and events into incidents.

    Args:
        name_of: name of a workload by its key.
        cgroup_of: path of a cgroup by its id.
        past: releases of earlier processes, whose events may still come.
        distinct: how many distinct values a rule (policy, index) has met in a flow, by the
            kernel's count and these digests; by default the digests alone count.
        in_window: notes a value of a rule (namespace key, policy, index, seconds, digest) and
            tells how many distinct ones the window has; by default those of the flow count.
        shadow: findings are judged by shadow rules, as if they acted, and by no others.
        flows: remembered at most; the ones unused for longest are forgotten.
    """

    def __init__(
        self,
        name_of: Callable[[int], str],
        cgroup_of: Callable[[int], str] = lambda _: "",
        past: Iterable[ReleaseNames] = (),
        distinct: Callable[[int, str, int, Iterable[bytes], str], int] | None = None,
        in_window: Callable[[int, str, int, int, bytes], int] | None = None,
        *,
        shadow: bool = False,
        flows: int | None = None,
    ) -> None:
        self._name_of = name_of
        self._shadow = shadow
        self._most = flows
        self._in_window = in_window
        self._distinct = distinct or (
            lambda _flow, _policy, _rule, digests, _alone: len(set(digests))
        )
        self._cgroup_of = cgroup_of
        self._names = {names.number: names for names in past}
        self._releases: OrderedDict[int, Release] = OrderedDict()
        self._flows: OrderedDict[int, MirroredFlow] = OrderedDict()

    def add(self, release: Release) -> None:
        """Events of this release will come; the oldest ones are forgotten.

        Not the first one with its image: findings have that one's number, however often the
        image was loaded anew since (when an exception ends).
        """
        self._releases[release.number] = release
        self._names[release.number] = ReleaseNames.of(
            release.number, release.image, release.policies
        )
        first = next(n for n, one in self._releases.items() if one.image is release.image)
        while len(self._releases) > _RELEASES:
            oldest = next(number for number in self._releases if number != first)
            del self._releases[oldest]
            self._names.pop(oldest, None)

    def from_event(self, event: Event) -> Verdict | None:
        """The verdict that an event tells of; None of a bypass, which nothing decided."""
        if event.kind is abi.EventKind.BYPASS:
            return None
        names = self._names.get(event.release)
        signature = severity = masked = ""
        # A packet on its way through a swap can carry a number that its release has not.
        if names is not None and event.policy >= len(names.policies):
            names = None
        if (
            names is not None
            and event.kind is abi.EventKind.MATCH
            and event.signature < len(names.signatures)
        ):
            known = names.signatures[event.signature]
            signature, severity = known.id, known.severity
            masked = mask(event.head, event.tail, event.length, known)
        below = bool(event.flags & abi.EventFlag.BELOW_THRESHOLD)
        excepted = bool(event.flags & abi.EventFlag.EXCEPTED)
        detail = "below threshold" if below else "exception" if excepted else ""
        if event.kind is not abi.EventKind.MATCH:
            detail = abi.Reason(event.reason).label
        return Verdict(
            time=_wall_clock(event.time_ns),
            kind=_KINDS.get(event.kind, "match"),
            workload=self._name_of(event.packet.netns),
            cgroup=event.cgroup,
            cgroup_path=self._cgroup_of(event.cgroup),
            flow=event.flow,
            protocol=event.packet.protocol,
            source=_source(event.packet),
            destination=_destination(event.packet),
            signature=signature,
            severity=severity,
            policy=names.policies[event.policy] if names else str(event.policy),
            rule=event.rule,
            action=Action(event.action),
            mode=Mode.MONITOR if event.flags & abi.EventFlag.MONITOR else Mode.ENFORCE,
            enforced=not event.flags & abi.EventFlag.MONITOR and not below,
            decided=DecidedBy.KERNEL,
            masked=masked,
            digest=event.digest.hex() if event.kind is abi.EventKind.MATCH else "",
            offset=event.offset,
            length=event.length,
            sent_before=event.sent_before,
            let_out=event.let_out,
            count=event.count if not excepted else 0,
            release=event.release,
            detail=detail,
        )

    def incident_from_event(self, event: Event) -> Incident | None:
        """The incident that an event tells of, beside its verdict; None where it is none."""
        if event.kind is abi.EventKind.BYPASS:
            kind, what, detail = IncidentKind.BYPASS, "no_token", _UNSEEN
        elif event.kind is abi.EventKind.BUDGET:
            kind, detail = IncidentKind.OVER_BUDGET, _OVER_BUDGET
            what = abi.Reason(event.reason).label
        elif event.kind is abi.EventKind.REFUSED and event.reason in _WAYS_AROUND:
            reason = abi.Reason(event.reason)
            kind, what, detail = IncidentKind.BYPASS, reason.label, _WAYS_AROUND[reason]
        else:
            return None
        moment = _wall_clock(event.time_ns)
        return Incident(
            time=moment,
            last=moment,
            kind=kind,
            workload=self._name_of(event.packet.netns),
            what=what,
            protocol=event.packet.protocol,
            source=_source(event.packet),
            destination=_destination(event.packet),
            detail=detail,
        )

    def saw(self, payload: Payload) -> None:
        """Remember whose payload goes to the inspector."""
        flow = self._flows.get(payload.flow)
        if flow is None:
            flow = MirroredFlow(payload.packet, payload.key, payload.policy, payload.release)
            self._flows[payload.flow] = flow
            if len(self._flows) > (_FLOWS if self._most is None else self._most):
                self._flows.popitem(last=False)
        self._flows.move_to_end(payload.flow)
        flow.policy, flow.release = payload.policy, payload.release

    def mirrored(self, flow: int) -> MirroredFlow | None:
        """What is known of a mirrored flow; None if it is forgotten."""
        return self._flows.get(flow)

    def from_finding(self, finding: Finding, left: int | None = None) -> Verdict | None:
        """The verdict on a match that the inspector confirmed.

        None where no rule of the policy names the signature, or one allows it, or its value
        was found in the flow before; of a held flow, where the kernel decides it alone. What
        is to be held is dropped, once it is found.

        Args:
            left: of a held flow, the stream offset up to which bytes may have left.
        """
        flow = self._flows.get(finding.flow)
        release = self._releases.get(flow.release) if flow else None
        if flow is None or release is None:
            return None
        found_by = self._releases.get(finding.release)
        if found_by is None or finding.signature >= len(found_by.image.signatures):
            return None
        known = found_by.image.signatures[finding.signature]
        # The rule is looked up in the flow's own release: its policy is numbered there.
        number = finding.signature if found_by is release else release.index_of(known.id)
        row = release.policies.action_for(flow.policy, number) if number is not None else None
        gone = finding.offset + finding.length if left is None else left
        by_kernel = left is not None and known.decided is DecidedBy.KERNEL
        judged = by_kernel and finding.offset + finding.length <= gone
        action = row.action if row is not None and not judged else Action.ALLOW
        if (
            row is None
            or row.shadow is not self._shadow
            or action is Action.ALLOW
            or (by_kernel and action is not Action.HOLD)
        ):
            return None
        excepted = release.policies.excepted(flow.policy, finding.digest, time.time())
        counted = _EXCEPTED if excepted else (row.rule_index, row.alone)
        values = flow.values.setdefault(counted, set())
        again = finding.digest in values
        if again and left is None:
            return None
        if len(values) < _VALUES:
            values.add(finding.digest)
        policy = release.policies.names[flow.policy]
        count = len(values)
        if not excepted and row.window_s and self._in_window is not None:
            count = self._in_window(
                flow.packet.netns, policy, row.rule_index, row.window_s, finding.digest
            )
        elif not excepted and count < row.threshold:
            count = self._distinct(finding.flow, policy, row.rule_index, values, row.alone)
        below = not excepted and count < row.threshold
        passed = excepted or below
        if passed and (again or by_kernel):
            return None  # told before, by the kernel in the latter case
        action = Action.DROP if action is Action.HOLD else action
        return Verdict(
            time=time.time(),
            kind="match",
            workload=self._name_of(flow.packet.netns),
            cgroup=0,
            flow=finding.flow,
            protocol=flow.packet.protocol,
            source=_source(flow.packet),
            destination=_destination(flow.packet),
            signature=known.id,
            severity=known.severity,
            policy=policy,
            rule=row.rule_index,
            action=Action.ALLOW if passed else action,
            mode=release.policies.mode(flow.policy),
            enforced=release.policies.mode(flow.policy) is Mode.ENFORCE and not passed,
            decided=DecidedBy.INSPECTOR,
            masked=finding.masked,
            digest=finding.digest.hex(),
            offset=finding.offset,
            length=finding.length,
            sent_before=min(max(gone - finding.offset, 0), finding.length),
            let_out=gone,
            count=0 if excepted else count,
            release=release.number,
            detail="exception" if excepted else "below threshold" if below else "",
        )


def _source(packet: Packet) -> Endpoint:
    return Endpoint(address=packet.source, port=packet.source_port)


def _destination(packet: Packet) -> Endpoint:
    return Endpoint(address=packet.destination, port=packet.destination_port)


def _wall_clock(monotonic_ns: int) -> float:
    return time.time() - (time.monotonic_ns() - monotonic_ns) / 1e9
