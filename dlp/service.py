"""The port through which API and CLI see a running gateway.

A Protocol and the values it speaks, nothing else: the gateway implements it, tests
use a short fake.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from dlp.model import Flow, Incident, IncidentKind, Stats, Verdict, Workload
from dlp.signatures.image import ImageSignature


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """`status`: ok, or degraded with the reasons in `problems`.

    Attributes:
        workloads_unguarded: those with a device that has no guard on the host's side.
        warnings: what does not degrade, and should be known: a workload that is unguarded or
            quarantined.
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


class Gateway(Protocol):
    """What can be asked of a running gateway."""

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
