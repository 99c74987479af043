"""What goes out: the model's values as JSON objects, with their schemas.

Fields are named as those of dlp.model and dlp.service. Enums are lower-case labels.
Identifiers of 64 bits are decimal strings: a JavaScript number holds 53.
"""

from __future__ import annotations

import enum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _label(value: Any) -> Any:
    if isinstance(value, enum.StrEnum):
        return value.value
    return value.name.lower() if isinstance(value, enum.Enum) else value


def _text(value: Any) -> Any:
    # A name of the file system may hold bytes that are no UTF-8: Python's lone surrogates.
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _decimal(value: Any) -> Any:
    return str(value) if isinstance(value, int) else value


Text = Annotated[str, BeforeValidator(_text)]
Label = Annotated[str, BeforeValidator(_label)]
ActionLabel = Annotated[
    Literal["allow", "alert", "mirror", "hold", "drop"], BeforeValidator(_label)
]
ModeLabel = Annotated[Literal["enforce", "monitor"], BeforeValidator(_label)]
StateLabel = Annotated[
    Literal["pending", "attaching", "enforced", "gone", "failed"], BeforeValidator(_label)
]
GuardLabel = Annotated[Literal["guarded", "partial", "unguarded", "none"], BeforeValidator(_label)]
IncidentLabel = Annotated[
    Literal["bypass", "tamper", "unguarded", "over_budget", "overload", "quarantine", "release"],
    BeforeValidator(_label),
]
ReleaseState = Annotated[
    Literal[
        "uploaded",
        "verified",
        "compiled",
        "shadow",
        "canary",
        "live",
        "rejected",
        "superseded",
    ],
    BeforeValidator(_label),
]
DecidedLabel = Annotated[Literal["kernel", "inspector"], BeforeValidator(_label)]
Decimal64 = Annotated[str, BeforeValidator(_decimal)]


class View(BaseModel):
    """Base of all objects that go out; made from the value of the same name."""

    model_config = ConfigDict(from_attributes=True)


class Health(View):
    """`status` is ok, or degraded with the reasons in `problems`; `warnings` do not degrade."""

    status: Text
    version: Text
    uptime_s: float
    kernel: Text
    release: int
    signatures: int
    image: Text
    workloads_enforced: int
    workloads_pending: int
    events_lost: int
    inspector: Text
    problems: list[Text]
    workloads_unguarded: int
    workloads_quarantined: int
    warnings: list[Text]
    signature_release: int


class Workload(View):
    """A network namespace under the gateway's control; `key` is a decimal string."""

    name: Text
    state: StateLabel
    key: Decimal64
    inode: int
    devices: list[Text]
    policies: list[Text]
    mode: ModeLabel
    error: Text
    unprotected_ms: float | None
    guard: GuardLabel
    unguarded: list[Text]
    attach: Text
    quarantined: bool


class Endpoint(View):
    """An end of a flow."""

    address: Text
    port: int


class Flow(View):
    """One direction of a conversation; `id` is a decimal string, bytes are of payload."""

    id: Decimal64
    workload: Text
    cgroup: int
    protocol: Text
    source: Endpoint
    destination: Endpoint
    state: Label
    opaque: Label
    policy: Text
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


class Verdict(View):
    """A decision about one match; `time` in seconds since 1970, `flow` a decimal string."""

    id: int
    time: float
    kind: Text
    workload: Text
    cgroup: int
    cgroup_path: Text
    flow: Decimal64
    protocol: Text
    source: Endpoint
    destination: Endpoint
    signature: Text
    severity: Text
    policy: Text
    rule: int
    action: ActionLabel
    mode: Text
    enforced: bool
    decided: DecidedLabel
    masked: Text
    digest: Text
    offset: int
    length: int
    sent_before: int
    let_out: int
    count: int
    release: int
    detail: Text


class Incident(View):
    """A way around the enforcement that was tried, or a limit met; times as a verdict's.

    What repeats is joined: `count` occurrences from `time` to `last`. Both ends are null where
    no packet was seen.
    """

    id: int
    time: float
    last: float
    kind: IncidentLabel
    workload: Text
    what: Text
    count: int
    device: Text
    protocol: Text
    source: Endpoint | None
    destination: Endpoint | None
    detail: Text


class Weighted(View):
    """A weighted sum over a value's letters and digits; see docs/signatures.md."""

    weights: list[int]
    modulus: int
    check: int
    expected: list[int]
    digits: bool


class Proximity(View):
    """Words one of which must stand within `distance` bytes of a value, on that side."""

    keywords: list[Text]
    distance: int
    side: Text


class Signature(View):
    """What is looked for, and where a match of it is decided.

    `leaves`: most bytes of a match that can have left in earlier segments when it is found.
    """

    id: Text
    severity: Text
    decided: DecidedLabel
    why: Text
    check: Label
    normalise: bool
    mask_head: int
    mask_tail: int
    regex: Text
    validator: Text
    shapes: list[int]
    leaves: int | None
    sums: list[Weighted]
    proximity: Proximity | None


class Counter(View):
    """Packets and bytes that met a reason."""

    reason: Text
    packets: int
    bytes: int


class Holds(View):
    """Flows that waited for the inspector's word, since the start.

    `wait_s`, `longest_s`: from what was held to its word, in all and at most.
    """

    begun: int
    cleared: int
    blocked: int
    undecided: int
    words: int
    lost: int
    wait_s: float
    longest_s: float


class Stats(View):
    """Counters by reason, in total and by workload; incidents by kind and holds since the start."""

    total: list[Counter]
    workloads: dict[str, list[Counter]]
    incidents: dict[str, int]
    holds: Holds


class ReloadResult(View):
    """What a reload changed."""

    release: int
    image: Text
    signatures: int
    policies: int
    changed: bool


class Canary(View):
    """Workloads that a release acts for before it does for all."""

    netns: list[Text]
    percent: int


class ReleasePack(View):
    """A pack of a release, and how many signatures it has."""

    name: Text
    version: int
    signatures: int


class ReleaseStep(View):
    """An audited step: who did what, from which state to which."""

    id: int
    time: float
    version: int
    who: Text
    what: Text
    before: Text
    after: Text
    reason: Text


class Release(View):
    """A signature release on this host; times in seconds since 1970.

    `before`: what was live before it, 0 for the policy file's packs. `steps`: the latest
    first; empty in a listing.
    """

    version: int
    state: ReleaseState
    sha256: Text
    size: int
    uploaded: float
    expires: float
    signers: list[Text]
    packs: list[ReleasePack]
    signatures: int
    image: Text
    reason: Text
    canary: Canary | None
    went_live: float | None
    before: int | None
    steps: list[ReleaseStep]


class Example(View):
    """A hit, masked; equal digests are equal values."""

    workload: Text
    masked: Text
    digest: Text
    time: float


class DiffEntry(View):
    """Hits of one signature in one workload since the candidate runs beside.

    `live` and `candidate` count matches, `would_*` and `unchanged` drops and holds; `would_ask`
    how much oftener the inspector would be called.
    """

    signature: Text
    workload: Text
    live: int
    candidate: int
    would_newly_drop: int
    would_no_longer_drop: int
    unchanged: int
    would_ask: int
    examples: list[Example]


class ReleaseDiff(View):
    """What a release would do otherwise than the live set (`against`, 0: the policy file's)."""

    version: int
    against: int
    since: float | None
    added: list[Text]
    removed: list[Text]
    changed: list[Text]
    same: int
    entries: list[DiffEntry]


class Override(View):
    """What development mode put in, and the ids of its signatures."""

    name: Text
    signatures: list[Text]


class List(View):
    """A page; `next` is the cursor of the page behind it, null on the last."""

    next: str | None = None


class WorkloadList(List):
    """All workloads."""

    items: list[Workload]


class FlowList(List):
    """Flows in the order of their ids."""

    items: list[Flow]


class VerdictList(List):
    """Verdicts, newest first."""

    items: list[Verdict]


class IncidentList(List):
    """Incidents, those that began last first."""

    items: list[Incident]


class SignatureList(List):
    """All signatures in force."""

    items: list[Signature]


class ReleaseList(List):
    """Releases, newest version first."""

    items: list[Release]


class ProblemDetails(View):
    """An error as RFC 9457 has it; some kinds have further members."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
