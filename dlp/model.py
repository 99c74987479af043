"""The values that the whole product speaks of: actions, workloads, flows, verdicts.

Values only: no input or output, no kernel structs (those are in datapath.abi), no
raw matched bytes. Enum numbers agree with bpf/abi.h and are append-only.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class Action(enum.IntEnum):
    """What is done with a match; the strongest of a packet wins."""

    ALLOW = 0
    ALERT = 1
    MIRROR = 2
    HOLD = 3
    DROP = 4

    @property
    def label(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Subject:
    """What policies know of a signature.

    Attributes:
        confidence: as the compiler computes it: low, medium or high.
        controls: of frameworks, as `PCI-DSS-3.4.1`.
        threshold: distinct values in a flow before a rule without a threshold of its own acts.
    """

    id: str
    category: str = ""
    tags: tuple[str, ...] = ()
    confidence: str = ""
    severity: str = ""
    controls: tuple[str, ...] = ()
    threshold: int = 1


class Mode(enum.StrEnum):
    ENFORCE = "enforce"
    MONITOR = "monitor"


class Opaque(enum.IntEnum):
    """Why the bytes of a flow tell nothing."""

    NO = 0
    TLS = 1
    QUIC = 2
    SSH = 3


class DestinationAction(enum.IntEnum):
    INSPECT = 0
    EXEMPT = 1
    DENY = 2


class Protection(enum.StrEnum):
    """Whether a guard on the host's end drops what skipped the classifier.

    `partial`: some devices have one. `none`: no device is there yet.
    """

    GUARDED = "guarded"
    PARTIAL = "partial"
    UNGUARDED = "unguarded"
    NONE = "none"


class IncidentKind(enum.StrEnum):
    """What an incident is about; see docs/incidents.md."""

    BYPASS = "bypass"
    TAMPER = "tamper"
    UNGUARDED = "unguarded"
    OVER_BUDGET = "over_budget"
    OVERLOAD = "overload"
    QUARANTINE = "quarantine"
    RELEASE = "release"


class WorkloadState(enum.StrEnum):
    """`pending`: listed and not there yet. `enforced`: every boundary device is attached."""

    PENDING = "pending"
    ATTACHING = "attaching"
    ENFORCED = "enforced"
    GONE = "gone"
    FAILED = "failed"


class DecidedBy(enum.StrEnum):
    KERNEL = "kernel"
    INSPECTOR = "inspector"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    address: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A network namespace under the gateway's control.

    Attributes:
        name: as in /run/netns.
        key: 64-bit number the kernel programs know it by; 0 while pending.
        inode: of the namespace (nsfs); 0 while pending.
        devices: boundary devices with a classifier attached.
        policies: names of the policies in force, the namespace's own first.
        unprotected_ms: how long packets could leave unseen before the first attach; 0
            where none could; None where it is not known.
        guard: whether what skips the classifier is dropped on the host's side.
        unguarded: devices without a guard.
        attach: `tcx` or `clsact`; empty while nothing is attached.
        quarantined: its egress is cut until it is released.
    """

    name: str
    state: WorkloadState
    key: int = 0
    inode: int = 0
    devices: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    mode: Mode = Mode.ENFORCE
    error: str = ""
    unprotected_ms: float | None = None
    guard: Protection = Protection.NONE
    unguarded: tuple[str, ...] = ()
    attach: str = ""
    quarantined: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One direction of a conversation as the kernel accounts for it (bytes of payload)."""

    id: int
    workload: str
    cgroup: int
    protocol: str
    source: Endpoint
    destination: Endpoint
    state: str
    opaque: str
    policy: str
    packets: int
    bytes: int
    inspected: int
    opaque_bytes: int
    missed: int
    matches: int
    partly: bool
    mirrored: bool
    age_s: float
    idle_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A decision about one match, as stored and shown.

    Attributes:
        id: given by the store; 0 before.
        time: seconds since the epoch, UTC.
        kind: match, opaque, budget, denied, refused, held or hold_timeout.
        masked: the value with all but its permitted ends hidden.
        digest: HMAC-SHA-256 of the normalised value, hex.
        offset: of the match in the stream or datagram; `length` likewise in bytes.
        cgroup_path: path of the socket's cgroup below the root; empty where unknown.
        mode: of the policy.
        sent_before: bytes of the match that had left in earlier segments.
        let_out: bytes of the flow that had left before the packet with the match.
        count: distinct values of the rule in this flow, this one included.
        enforced: False in monitor mode and below a threshold.
        decided: where the decision was made.
    """

    id: int = 0
    time: float
    kind: str
    workload: str
    cgroup: int
    cgroup_path: str = ""
    flow: int
    protocol: str
    source: Endpoint
    destination: Endpoint
    signature: str
    severity: str
    policy: str
    rule: int
    action: Action
    mode: Mode = Mode.ENFORCE
    enforced: bool
    decided: DecidedBy
    masked: str
    digest: str
    offset: int
    length: int
    sent_before: int
    let_out: int = 0
    count: int
    release: int
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something about the enforcement itself: a way around it that was tried, or a limit met.

    Attributes:
        id: given by the store; 0 before.
        time: of the first occurrence, `last` of the latest; seconds since the epoch, UTC.
        count: occurrences that were joined into this one.
        what: short name of the cause, as `no_token`, `filter_removed`, `device_moved`.
        packet: headers of the first packet, where there is one: protocol, addresses, ports.
        detail: one sentence for the operator; never payload.
    """

    id: int = 0
    time: float
    last: float
    kind: IncidentKind
    workload: str
    what: str
    count: int = 1
    device: str = ""
    protocol: str = ""
    source: Endpoint | None = None
    destination: Endpoint | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    reason: str
    packets: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldCounts:
    """Flows that waited for the inspector's word, since the gateway started.

    Attributes:
        begun: holds; each ends as cleared, blocked or undecided (no word in time).
        words: given to the kernel, of which a hold can have several.
        lost: records that could not be kept or handed over, so that their flow may be undecided.
        wait_s, longest_s: from the kernel's record to the word, in all and at most.
    """

    begun: int = 0
    cleared: int = 0
    blocked: int = 0
    undecided: int = 0
    words: int = 0
    lost: int = 0
    wait_s: float = 0.0
    longest_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counters by reason, summed over processors; by workload and in total.

    `incidents`: occurrences by kind since the gateway started.
    """

    total: tuple[Counter, ...]
    workloads: dict[str, tuple[Counter, ...]] = field(default_factory=dict)
    incidents: dict[str, int] = field(default_factory=dict)
    holds: HoldCounts = field(default_factory=HoldCounts)
