"""Cuts workloads off and lets go of them: in the kernel, on disk, in the log, as incidents."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import structlog

from dlp.enforcement.quarantine import Cut, Quarantine
from dlp.errors import DlpError, UsageError
from dlp.model import Incident, IncidentKind, Verdict

_PENDING = 256


class SetCut(Protocol):
    """Cuts a workload in the kernel, or ends that.

    It holds for a workload that is not under control too, from when it is.
    """

    def __call__(self, workload: str, /, *, on: bool) -> None: ...


class Isolation:
    """Keeps kernel and quarantine of one mind.

    Args:
        quarantine: what is to be cut, on disk.
        listed: names of the workloads there are.
        set_cut: how it is done.
        tell: takes an incident.
    """

    def __init__(
        self,
        quarantine: Quarantine,
        *,
        listed: Callable[[], Iterable[str]],
        set_cut: SetCut,
        tell: Callable[[Incident], None],
        log: Any = None,
    ) -> None:
        self._quarantine = quarantine
        self._listed = listed
        self._set_cut = set_cut
        self._tell = tell
        self._log = log if log is not None else structlog.get_logger()
        self._lock = asyncio.Lock()
        self._asked: asyncio.Queue[Cut] = asyncio.Queue(_PENDING)
        self._asked_for: set[str] = set()

    async def cut(self, workload: str, *, reason: str, by: str) -> None:
        """Cut a workload's egress until it is released. Idempotent.

        Raises:
            UsageError: no such workload.
            StoreError: it is cut, and will not be after a restart with another layout.
        """
        self._check(workload)
        await self._cut(Cut(workload=workload, reason=reason, by=by, time=time.time()), "operator")

    async def release(self, workload: str, *, by: str) -> None:
        """Undo `cut`. Idempotent.

        Raises:
            UsageError: no such workload.
            StoreError: nothing changed.
        """
        if workload not in self._quarantine:
            self._check(workload)
        async with self._lock:
            was = await asyncio.to_thread(self._quarantine.release, workload)
            self._set_cut(workload, on=False)
        if was:
            self._log.warning("workload released", workload=workload, by=by)
            self._record(workload, "released", f"Released by {by}.")

    def escalate(self, verdict: Verdict, reason: str) -> None:
        """Cut the workload of a verdict, at once; the rest follows in `run`."""
        workload = verdict.workload
        if workload in self._quarantine or workload in self._asked_for:
            return
        if workload not in self._listed() or self._asked.full():
            return
        self._set_cut(workload, on=True)
        self._asked_for.add(workload)
        self._asked.put_nowait(
            Cut(workload=workload, reason=reason, by=f"policy {verdict.policy}", time=time.time())
        )

    async def run(self) -> None:
        """Write down what escalated, until cancelled."""
        while True:
            cut = await self._asked.get()
            try:
                await self._cut(cut, "escalated")
            except DlpError as error:
                self._log.error("quarantine not kept", workload=cut.workload, reason=str(error))
            finally:
                self._asked_for.discard(cut.workload)
                self._asked.task_done()

    def apply(self) -> None:
        """Set in the kernel what is to be cut: at the start, before namespaces are taken over."""
        for cut in self._quarantine:
            self._set_cut(cut.workload, on=True)

    async def _cut(self, cut: Cut, what: str) -> None:
        async with self._lock:
            fresh = cut.workload not in self._quarantine
            self._set_cut(cut.workload, on=True)
            if fresh:
                self._log.warning(
                    "workload quarantined", workload=cut.workload, by=cut.by, reason=cut.reason
                )
                self._record(cut.workload, what, f"{cut.reason}, by {cut.by}")
            await asyncio.to_thread(self._quarantine.cut, cut)

    def _check(self, workload: str) -> None:
        if workload not in self._listed():
            raise UsageError(f"there is no workload {workload}", remedy="see `dlp workloads`")

    def _record(self, workload: str, what: str, detail: str) -> None:
        now = time.time()
        self._tell(
            Incident(
                time=now,
                last=now,
                kind=IncidentKind.QUARANTINE,
                workload=workload,
                what=what,
                detail=detail,
            )
        )
