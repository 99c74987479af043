"""The port through which API and CLI see a running gateway.

A Protocol and the values it speaks, nothing else: the gateway implements it, tests
use a short fake.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from dlp.model import Flow, Incident, IncidentKind, Stats, Verdict, Workload
from dlp.releases.canary import Canary
from dlp.releases.diff import Diff
from dlp.releases.life import State
from dlp.signatures.image import ImageSignature


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`status`: ok, or degraded with the reasons in `problems`.

    Attributes:
        workloads_unguarded: those with a device that has no guard on the host's side.
        warnings: what does not degrade, and should be known: a workload that is unguarded or
            quarantined.
        release: number of the kernel's tables; it grows with each reload as well.
        signature_release: version of the live signature release; 0 where the policy file's
            packs run.
    """

    status: str
    version: str
    uptime_s: float
    kernel: str
    release: int
    signatures: int
    image: str
    workloads_enforced: int
    workloads_pending: int
    events_lost: int
    inspector: str
    problems: tuple[str, ...] = ()
    workloads_unguarded: int = 0
    workloads_quarantined: int = 0
    warnings: tuple[str, ...] = ()
    signature_release: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadResult:
    """What a reload changed; a reload that fails raises a DlpError and changes nothing."""

    release: int
    image: str
    signatures: int
    policies: int
    changed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictQuery:
    """Filters of a verdict listing; None matches all. Times in seconds since the epoch.

    Newest first; `before_id` is the id of the last verdict of the page before.
    """

    workload: str | None = None
    signature: str | None = None
    action: str | None = None
    severity: str | None = None
    kind: str | None = None
    flow: int | None = None
    since: float | None = None
    until: float | None = None
    before_id: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentQuery:
    """Filters of an incident listing; None matches all. Newest first, as VerdictQuery."""

    workload: str | None = None
    kind: IncidentKind | None = None
    since: float | None = None
    until: float | None = None
    before_id: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePack:
    """A pack of a release; `signatures` is how many it has."""

    name: str
    version: int
    signatures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseStep:
    """One audited step. Times in seconds since the epoch.

    Attributes:
        version: 0 for an upload that was refused: what it says of itself is not believed.
        who: as `token ci`, `local user 0`, or `gateway` for what it did by itself.
        what: upload, verify, compile, shadow, activate, rollback, expire, put.
        before, after: states; empty where there is none.
    """

    id: int = 0
    time: float
    version: int
    who: str
    what: str
    before: str
    after: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A signature release on this host. Times in seconds since the epoch.

    Attributes:
        sha256: of the archive, hex; `size` in bytes.
        signers: ids of the keys that signed it.
        image: digest of the compiled set; empty before.
        reason: why it was rejected or rolled back; empty otherwise.
        canary: the workloads it acts for while it is a canary.
        went_live: when last; None where it never did.
        before: what was live before it: a version, 0 for the policy file's packs.
        steps: the latest first; empty in a listing.
    """

    version: int
    state: State
    sha256: str
    size: int
    uploaded: float
    expires: float
    signers: tuple[str, ...]
    packs: tuple[ReleasePack, ...]
    signatures: int
    image: str = ""
    reason: str = ""
    canary: Canary | None = None
    went_live: float | None = None
    before: int | None = None
    steps: tuple[ReleaseStep, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """What development mode put in, unsigned, until a release goes live: ids of signatures."""

    name: str
    signatures: tuple[str, ...]


class Releases(Protocol):
    """Signature releases of a running gateway.

    All that change something raise ConflictError where another change is under way or the
    state does not allow it, UsageError where there is no such release, and another DlpError
    where it fails; then what is live stays live.
    """

    @property
    def max_size(self) -> int:
        """Most bytes of an archive."""
        ...

    async def upload(self, chunks: AsyncIterable[bytes], *, by: str) -> Release:
        """Take an archive, verify and compile it. The same archive again: the same release.

        Raises:
            ReleaseError: it is refused.
            PackError, ConfigError: its packs, or the policies with them, are bad.
        """
        ...

    async def all(self) -> list[Release]:
        """Newest version first."""
        ...

    async def get(self, version: int) -> Release:
        """With its steps."""
        ...

    async def shadow(self, version: int, *, by: str) -> Release:
        """Run it beside the live set, only counted."""
        ...

    async def activate(self, version: int, *, canary: Canary | None, by: str) -> Release:
        """Make it act, for chosen workloads or for all."""
        ...

    async def rollback(self, version: int, *, reason: str, by: str) -> Release:
        """Take it out of force: what was live before it is live again."""
        ...

    async def diff(self, version: int) -> Diff:
        """What it would do otherwise than the live set."""
        ...

    async def put_pack(self, name: str, text: bytes, *, by: str) -> Override:
        """Development mode: make a pack live in place of the one of that name."""
        ...

    async def put_signature(self, id_: str, text: bytes, *, by: str) -> Override:
        """Development mode: make a signature live in place of the one of that id."""
        ...


class Gateway(Protocol):
    """What can be asked of a running gateway."""

    @property
    def releases(self) -> Releases:
        """Its signature releases."""
        ...

    async def health(self) -> Health: ...

    async def workloads(self) -> list[Workload]: ...

    async def flows(self, *, workload: str | None = None, limit: int = 1000) -> list[Flow]: ...

    async def stats(self) -> Stats: ...

    async def signatures(self) -> list[ImageSignature]: ...

    async def verdicts(self, query: VerdictQuery) -> list[Verdict]: ...

    async def incidents(self, query: IncidentQuery) -> list[Incident]: ...

    async def quarantine(self, workload: str, *, reason: str, by: str) -> Workload:
        """Cut a workload's egress until it is released. Idempotent.

        Raises:
            UsageError: no such workload.
        """
        ...

    async def release(self, workload: str, *, by: str) -> Workload:
        """Undo `quarantine`. Idempotent. Raises UsageError: no such workload."""
        ...

    async def reload(self) -> ReloadResult:
        """Read the configuration again and make it live.

        Raises:
            DlpError: the file or a pack is bad; nothing changed.
        """
        ...

    def subscribe(
        self, *, after: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Verdict]]:
        """Verdicts as they are stored, first those stored since `after` (an id), in order."""
        ...

    def subscribe_incidents(
        self, *, after: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Incident]]:
        """Incidents as they begin, first those begun since `after` (an id), in order."""
        ...
