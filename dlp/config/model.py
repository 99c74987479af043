"""What a policy file says, as values. No input or output, no kernel numbers."""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from dlp.errors import Place
from dlp.model import Action, DestinationAction, Mode

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

POLICIES = 63  # number 0 of the kernel's 64 is the strictest
DESTINATION_ROWS = 32
RULES = 256
THRESHOLD = 64
CONFIDENCES = ("low", "medium", "high")
SEVERITIES = ("low", "medium", "high", "critical")
HOLD_TIMEOUT_MS = (50, 10_000)  # least and most
ESCALATION_VERDICTS = (1, 10_000)
ESCALATION_WINDOW_S = (1.0, 86_400.0)
RELEASE_SIZE = (64 << 10, 64 << 20)  # bytes of an archive, least and most
CANDIDATES_PER_MB = (1, 10_000_000)
ROLLBACKS = (1, 1000)

# In the state directory.
STATE_DIR = Path("/var/lib/dlp")
TOKENS = "tokens.db"
VERDICTS = "verdicts.db"
RELEASES = "releases"


class InspectorDown(enum.StrEnum):
    """What becomes of what the inspector should have seen and cannot."""

    OPEN = "open"
    CLOSED = "closed"


class Handling(enum.StrEnum):
    """Whether packets of a kind are scanned, each as far as it goes, or dropped."""

    SCAN = "scan"
    DROP = "drop"


class OpenEnd(enum.StrEnum):
    """What becomes of a match at a segment's end whose boundary needs one more byte.

    `drop`: the end counts as the boundary. `wait`: the segment waits for the next byte.
    """

    WAIT = "wait"
    DROP = "drop"


class Loopback(enum.StrEnum):
    """Whether what a namespace sends to itself over `lo` is scanned."""

    IGNORE = "ignore"
    SCAN = "scan"


class NewWorkloads(enum.StrEnum):
    """Whether a workload may send before it is enforced."""

    CLOSED = "closed"
    OPEN = "open"


class AttachWay(enum.StrEnum):
    """`auto`: TCX where the kernel has it (6.6), else clsact."""

    AUTO = "auto"
    CLSACT = "clsact"


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """Quarantine a workload at `verdicts` enforced drops within `window_s` seconds."""

    verdicts: int
    window_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpAddress:
    """`host`: a name or an address, IPv6 without brackets."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this host can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """Where the API listens."""

    unix: Path = Path("/run/dlp/api.sock")
    tcp: TcpAddress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workloads:
    """Which workloads, and how they are taken under control.

    Attributes:
        netns: names as in /run/netns.
        new: whether a listed workload may send before it is enforced; the policy file's
            `new_workloads`.
        gate: cgroups (absolute paths in the hierarchy of cgroup v2, as "/docker") whose
            children may not send before their workload is enforced.
        attach: how classifiers are attached.
    """

    netns: tuple[str, ...] = ()
    new: NewWorkloads = NewWorkloads.CLOSED
    gate: tuple[str, ...] = ()
    attach: AttachWay = AttachWay.AUTO


@dataclass(frozen=True, slots=True, kw_only=True)
class Releases:
    """Signed signature releases through the API.

    Attributes:
        trust: the TUF root that says who may sign; without one no release is taken.
        development: single packs and signatures may be put in, unsigned.
        max_size: of an archive, in bytes.
        rollbacks: how many in a row are possible: archives of so many earlier releases are kept.
        max_candidates_per_mb: above it a release is rolled back; None is twice what the set
            before it had on the same traffic.
    """

    trust: Path | None = None
    development: bool = False
    max_size: int = 16 << 20
    rollbacks: int = 10
    max_candidates_per_mb: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Globs of which one must fit; an empty tuple fits all. `*` also fits slashes."""

    netns: tuple[str, ...] = ()
    cgroup: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PortRange:
    """Both ends included."""

    low: int
    high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """`ports`: empty for all."""

    network: Network
    ports: tuple[PortRange, ...] = ()
    action: DestinationAction

    @property
    def rows(self) -> int:
        """How many of the kernel's rows it takes."""
        return len(self.ports) or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyException:
    """A value that may pass, by its keyed digest, until that day begins (UTC)."""

    digest: bytes
    until: date
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Signatures by what they are: every key given must fit, and within a key any value.

    Attributes:
        framework: a control, or what controls begin with, as `PCI-DSS` of `PCI-DSS-3.4.1`.
    """

    category: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    confidence: tuple[str, ...] = ()
    severity: tuple[str, ...] = ()
    framework: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """An action for signatures; one of the two ways to name them is given, or both.

    Attributes:
        signatures: globs over ids; empty for all that `select` names.
        select: None for all that `signatures` names; with both, a signature must fit both.
        threshold: distinct values, 1 is at once; None: as each signature says.
        window_s: they are counted in a workload in so many seconds; 0: in a flow.
    """

    signatures: tuple[str, ...] = ()
    select: Selection | None = None
    action: Action
    threshold: int | None = None
    window_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What holds for the workloads it matches.

    Attributes:
        on_inspector_down: for mirror rules, while the inspector is down.
        uninspectable: allow, alert or drop.
        on_hold_timeout: for hold rules, while the inspector is down or where it does not
            answer within `hold_timeout_ms`; the policy file's `on_inspector_down.hold`.
        on_overload: closed drops payload that finds no room on its way to the inspector.
        hold_udp: of datagrams that a hold rule names, as they cannot be held: drop or
            mirror.
        unowned: TCP payload without a TCP socket; fragments without any socket.
        urgent: TCP payload with an urgent byte.
        mptcp: SYN of a further subflow.
        other_protocols: transports other than TCP, UDP, ICMP and IGMP, ethertypes other than
            IP and ARP.
        kill: destroy the socket of a blocked flow.
        over_budget: alert or drop.
    """

    name: str
    match: Match = Match()
    mode: Mode = Mode.ENFORCE
    on_inspector_down: InspectorDown = InspectorDown.OPEN
    uninspectable: Action = Action.ALLOW
    on_hold_timeout: InspectorDown = InspectorDown.CLOSED
    on_overload: InspectorDown = InspectorDown.OPEN
    hold_timeout_ms: int = 500
    hold_udp: Action = Action.DROP
    open_end: OpenEnd = OpenEnd.WAIT
    unowned: Handling = Handling.DROP
    urgent: Handling = Handling.DROP
    mptcp: Handling = Handling.DROP
    fragments: Handling = Handling.SCAN
    other_protocols: Handling = Handling.DROP
    loopback: Loopback = Loopback.IGNORE
    kill: bool = False
    escalate: Escalation | None = None
    over_budget: Action = Action.DROP
    destinations: tuple[Destination, ...] = ()
    exceptions: tuple[PolicyException, ...] = ()
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A policy file.

    Attributes:
        signatures: packs by name, or by path as written; a relative path begins at
            `base`.
        cgroup_level: ancestor level that names a workload; 0: the socket's own cgroup.
        warnings: what is allowed but unwise, one sentence each.
        lines: 1-based line by dotted key, as `policies[0].rules[1].action`.
    """

    file: Path
    state_dir: Path = STATE_DIR
    api: Api = Api()
    signatures: tuple[str, ...]
    workloads: Workloads = Workloads()
    releases: Releases = Releases()
    cgroup_level: int = 0
    policies: tuple[Policy, ...]
    warnings: tuple[str, ...] = ()
    lines: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)

    @property
    def base(self) -> Path:
        """Directory that relative paths begin at."""
        return self.file.parent

    @property
    def tokens_file(self) -> Path:
        """The API's tokens; `dlp token` writes it too."""
        return self.state_dir / TOKENS

    @property
    def verdicts_file(self) -> Path:
        """The database of verdicts."""
        return self.state_dir / VERDICTS

    @property
    def releases_dir(self) -> Path:
        """Archives of releases, and the trust that they have led to."""
        return self.state_dir / RELEASES

    def place(self, key: str) -> Place:
        """Where a dotted key stands in the file."""
        return Place(self.file, self.lines.get(key), key)
