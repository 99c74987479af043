"""A running gateway: what the API asks of it, and the work that goes on meanwhile.

    events, payload ─► translator ─► store ─► subscribers
                    └► matcher process ─► translator

Enforcement does not depend on it: it may end, be killed and be started anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import structlog

import dlp
from dlp.datapath import abi
from dlp.datapath.datapath import Datapath
from dlp.datapath.events import Event, Payload
from dlp.enforcement import names as release_names
from dlp.enforcement.controller import Controller, Rules
from dlp.enforcement.flows import flow_of
from dlp.enforcement.keys import slot_of
from dlp.enforcement.loaded import Loaded, prepare, warn_of_late_keys
from dlp.enforcement.verdicts import Release, Translator
from dlp.errors import DlpError
from dlp.inspector.client import MatcherProcess
from dlp.inspector.messages import Finding, Record
from dlp.inspector.messages import Rule as MatcherRule
from dlp.model import (
    Action,
    Counter,
    DecidedBy,
    Flow,
    Stats,
    Verdict,
    Workload,
    WorkloadState,
)
from dlp.service import Health, ReloadResult, VerdictQuery
from dlp.signatures.image import ImageSignature
from dlp.store.verdicts import VerdictStore

_BEAT_S = 1.0
_SWEEP_S = 30.0
_BATCH = 512
_QUEUE = 65536
_FLUSH_S = 2.0
_LATEST = 500


class GatewayService:
    """A running gateway; implements service.Gateway."""

    def __init__(
        self,
        loaded: Loaded,
        netns: Iterable[str],
        datapath: Datapath,
        store: VerdictStore,
        key: bytes,
    ) -> None:
        self._loaded = loaded
        self._netns = tuple(netns)
        self._datapath = datapath
        self._store = store
        self._key = key
        self._log = structlog.get_logger()
        self._started = time.monotonic()
        self._controller = Controller(
            datapath, Rules(loaded.config.workloads.netns, loaded.policies), log=self._log
        )
        # Numbers go on where the last process stopped, so that events never name another set.
        past = release_names.read()
        self._release = max([datapath.settings.release, *(names.number for names in past)])
        self._translator = Translator(self._controller.name_of, self._controller.cgroup_path, past)
        self._queue: asyncio.Queue[Verdict] = asyncio.Queue(_QUEUE)
        self._stored = asyncio.Condition()
        self._last_id = 0
        self._verdicts_lost = 0
        self._blocked: dict[int, float] = {}
        self._inspector_missed = 0
        self._next_expiry: float | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._matcher = MatcherProcess(
            self._matcher_rules(),
            key=key,
            on_finding=self._on_finding,
            on_missed=self._on_missed,
            release=self._release + 1,
            log=self._log,
        )

    # -- life --------------------------------------------------------------------

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Start everything in `group`."""
        self._last_id = (await self._store.counts()).last_id
        await asyncio.to_thread(self._controller.scan_cgroups)
        self._make_live()
        loop = asyncio.get_running_loop()
        events = self._datapath.on_events(self._on_event)
        payload = self._datapath.on_payload(self._on_payload)
        loop.add_reader(events.fileno(), events.consume)
        loop.add_reader(payload.fileno(), payload.consume)
        self._tasks = [
            group.create_task(self._store_verdicts()),
            group.create_task(self._controller.watch()),
            group.create_task(self._controller.watch_cgroups()),
            group.create_task(self._controller.mend()),
        ]
        await self._matcher.start(group)
        self._datapath.beat()
        self._tasks.append(group.create_task(self._beat()))
        # What was queued while nobody read.
        events.consume()
        payload.consume()

    async def wait_enforced(self, timeout_s: float) -> bool:
        return await self._controller.wait_enforced(timeout_s)

    async def stop(self) -> None:
        """End the process's part; enforcement stays on."""
        # What came in is told to its end; then the work stops, then what it works on goes.
        await self._matcher.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_S):
                await self._queue.join()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._controller.close()

    # -- service.Gateway ---------------------------------------------------------

    async def health(self) -> Health:
        workloads = self._controller.workloads()
        enforced = sum(one.state is WorkloadState.ENFORCED for one in workloads)
        problems = [f"{one.name}: {one.error}" for one in workloads if one.error]
        lost = self._total(abi.Reason.EVENT_LOST) + self._verdicts_lost
        if self._verdicts_lost:
            problems.append(f"{self._verdicts_lost} verdicts could not be stored")
        if not self._matcher.alive:
            problems.append("the matcher process does not answer")
        problems += [
            f"exception of policy {name} has ended"
            for name, _ in self._loaded.policies.expired(time.time())
        ]
        return Health(
            status="degraded" if problems else "ok",
            version=dlp.__version__,
            uptime_s=time.monotonic() - self._started,
            kernel=platform.release(),
            release=self._release,
            signatures=len(self._loaded.image.signatures),
            image=self._loaded.image.version,
            workloads_enforced=enforced,
            workloads_pending=len(workloads) - enforced,
            events_lost=lost,
            inspector="alive" if self._matcher.alive else "down",
            problems=tuple(problems),
        )

    async def workloads(self) -> list[Workload]:
        return self._controller.workloads()

    async def flows(self, *, workload: str | None = None, limit: int = 1000) -> list[Flow]:
        now = time.monotonic_ns()
        names_of = self._loaded.policies.names
        found: list[Flow] = []
        for key, flow in self._datapath.flows(1 << 20):
            name = self._controller.name_of(key.netns)
            if workload is not None and name != workload:
                continue
            found.append(flow_of(key, flow, name, names_of, now))
            if len(found) >= limit:
                break
        return found

    async def stats(self) -> Stats:
        by_workload = {
            name: self._datapath.counters(slot_of(key))
            for name, key in self._controller.keys().items()
        }
        total = [
            Counter(
                reason=reason.label,
                packets=sum(rows[reason][0] for rows in by_workload.values()),
                bytes=sum(rows[reason][1] for rows in by_workload.values()),
            )
            for reason in abi.Reason
        ]
        missed = self._matcher.counts.missed
        total.append(
            Counter(reason="inspector_missed", packets=self._inspector_missed, bytes=missed)
        )
        return Stats(
            total=tuple(total),
            workloads={
                name: tuple(
                    Counter(reason=reason.label, packets=packets, bytes=size)
                    for reason, (packets, size) in rows.items()
                )
                for name, rows in by_workload.items()
            },
        )

    async def signatures(self) -> list[ImageSignature]:
        return list(self._loaded.image.signatures)

    async def verdicts(self, query: VerdictQuery) -> list[Verdict]:
        return await self._store.query(query)

    async def reload(self) -> ReloadResult:
        loaded = await asyncio.to_thread(prepare, self._loaded.config.file, self._netns)
        warn_of_late_keys(self._loaded.config, loaded.config)
        changed = loaded.config != self._loaded.config or loaded.image != self._loaded.image
        before, self._loaded = self._loaded, loaded
        try:
            await self._matcher.replace(self._matcher_rules(), self._release + 1)
            self._make_live()
        except DlpError:
            self._loaded = before
            raise
        await self._controller.apply(Rules(loaded.config.workloads.netns, loaded.policies))
        self._log.info("configuration reloaded", release=self._release)
        return ReloadResult(
            release=self._release,
            image=loaded.image.version,
            signatures=len(loaded.image.signatures),
            policies=len(loaded.config.policies),
            changed=changed,
        )

    def subscribe(
        self, *, after: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Verdict]]:
        return contextlib.aclosing(self._follow(self._last_id if after is None else after))

    async def _follow(self, last: int) -> Any:
        while True:
            batch = await self._store.since(last, _LATEST)
            for verdict in batch:
                last = verdict.id
                yield verdict
            if not batch:
                async with self._stored:
                    await self._stored.wait_for(lambda: self._last_id > last)  # noqa: B023

    # -- inside ------------------------------------------------------------------

    def _make_live(self) -> None:
        """Load the configuration at hand into the kernel as the next release."""
        loaded = self._loaded
        policies = loaded.policies.kernel_policies(time.time())
        self._next_expiry = policies.next_expiry
        self._release += 1
        self._translator.add(Release(self._release, loaded.image, loaded.policies))
        release_names.add(
            release_names.ReleaseNames.of(self._release, loaded.image, loaded.policies)
        )
        self._datapath.load(
            loaded.image,
            policies,
            hmac_key=self._key,
            release=self._release,
            cgroup_level=loaded.config.cgroup_level,
            bindings=self._controller.bindings(loaded.policies),
        )

    def _matcher_rules(self) -> list[MatcherRule]:
        return [
            MatcherRule(
                index=index,
                id=one.id,
                regex=one.regex,
                validator=one.validator,
                normalise=one.normalise,
                mask_head=one.mask_head,
                mask_tail=one.mask_tail,
            )
            for index, one in enumerate(self._loaded.image.signatures)
            if one.decided is DecidedBy.INSPECTOR
        ]

    def _total(self, reason: abi.Reason) -> int:
        return sum(
            self._datapath.counters(slot_of(key))[reason][0]
            for key in self._controller.keys().values()
        )

    def _on_event(self, event: Event) -> None:
        self._enqueue(self._translator.from_event(event))

    def _on_payload(self, payload: Payload) -> None:
        self._translator.saw(payload)
        self._matcher.submit(
            Record(flow=payload.flow, offset=payload.offset, data=payload.data, final=payload.final)
        )

    def _on_finding(self, finding: Finding) -> None:
        verdict = self._translator.from_finding(finding)
        if verdict is None:
            return
        if verdict.action is Action.DROP and verdict.enforced:
            self._datapath.block(verdict.flow, finding.signature)
            self._blocked[verdict.flow] = time.monotonic()
            verdict = replace(verdict, detail="blocked after the match had left")
        self._enqueue(verdict)

    def _on_missed(self, _missed: object) -> None:
        self._inspector_missed += 1

    def _enqueue(self, verdict: Verdict) -> None:
        try:
            self._queue.put_nowait(verdict)
        except asyncio.QueueFull:
            self._verdicts_lost += 1

    async def _store_verdicts(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < _BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            try:
                stored = await self._store.append(batch)
            except DlpError as error:
                self._verdicts_lost += len(batch)
                self._log.error("verdicts not stored", count=len(batch), reason=str(error))
                continue
            finally:
                for _ in batch:
                    self._queue.task_done()
            async with self._stored:
                self._last_id = stored[-1].id
                self._stored.notify_all()

    async def _beat(self) -> None:
        swept = time.monotonic()
        while True:
            await asyncio.sleep(_BEAT_S)
            if self._matcher.alive:
                self._datapath.beat()
            if self._next_expiry is not None and time.time() >= self._next_expiry:
                self._next_expiry = None
                self._log.info("an exception has ended")
                try:
                    self._make_live()
                except DlpError as error:
                    self._log.error("policies not renewed", reason=str(error))
            if time.monotonic() - swept > _SWEEP_S:
                swept = time.monotonic()
                self._sweep_blocks()

    def _sweep_blocks(self) -> None:
        """Forget blocks of flows that the kernel has long taken note of."""
        for flow, since in list(self._blocked.items()):
            if time.monotonic() - since > 10 * _SWEEP_S:
                self._datapath.unblock(flow)
                del self._blocked[flow]
