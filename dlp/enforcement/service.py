"""A running gateway: what the API asks of it, and the work that goes on meanwhile.

    events, payload ─► translator ─► recorders ─► store ─► subscribers
                    │             └► responses: sockets killed, workloads cut
                    └► matcher process ─► translator
    held payload ─► hold lane ─► words to the kernel, findings ─► translator
    shadow payload ─► shadow lane ─► account of live set and candidate

Enforcement does not depend on it: it may end, be killed and be started anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from itertools import islice

import structlog

from dlp.datapath import abi
from dlp.datapath.datapath import Datapath
from dlp.datapath.events import Event, Payload
from dlp.enforcement import names as release_names
from dlp.enforcement.candidates import Sample
from dlp.enforcement.controller import Controller
from dlp.enforcement.flows import flows_of
from dlp.enforcement.gate import Gatekeeper
from dlp.enforcement.health import health_of
from dlp.enforcement.holding import HoldLane
from dlp.enforcement.incidents import IncidentRecorder
from dlp.enforcement.isolation import Isolation
from dlp.enforcement.keys import slot_of
from dlp.enforcement.kill import Killer
from dlp.enforcement.loaded import Loaded, configured, matcher_rules, warn_of_late_keys
from dlp.enforcement.losses import Losses, sample
from dlp.enforcement.quarantine import Quarantine
from dlp.enforcement.recorder import VerdictRecorder
from dlp.enforcement.releases import Releases
from dlp.enforcement.responses import Responses
from dlp.enforcement.restored import Restored
from dlp.enforcement.rules import Rules
from dlp.enforcement.shadow import ShadowAccount
from dlp.enforcement.shadowing import FLOWS, ShadowLane, ShadowWindows
from dlp.enforcement.stats import stats_of
from dlp.enforcement.vault import Vault
from dlp.enforcement.verdicts import Release, Translator
from dlp.enforcement.words import Words
from dlp.errors import DlpError
from dlp.inspector.client import MatcherProcess
from dlp.inspector.messages import Finding, Record
from dlp.model import (
    Action,
    Flow,
    Incident,
    Stats,
    Verdict,
    Workload,
    WorkloadState,
)
from dlp.releases.diff import Count, Hits
from dlp.service import Health, IncidentQuery, ReloadResult, VerdictQuery
from dlp.signatures.cache import usual_directory
from dlp.signatures.collector import settle
from dlp.signatures.image import ImageSignature
from dlp.store.verdicts import VerdictStore

_BEAT_S = 1.0
_SWEEP_S = 30.0
_FLUSH_S = 2.0
_OBSERVE_S = 5.0
_CANDIDATES = (
    abi.Reason.BLOOM_CANDIDATE,
    abi.Reason.DIGIT_CANDIDATE,
    abi.Reason.SHAPE_CANDIDATE,
)
# A quarter of the ring of events, so that no workload fills it alone.
_EVENT_BURST = 1000


class GatewayService:
    """A running gateway; implements service.Gateway."""

    def __init__(
        self,
        loaded: Loaded,
        netns: Iterable[str],
        datapath: Datapath,
        store: VerdictStore,
        key: bytes,
        restored: Restored,
    ) -> None:
        self._loaded = loaded
        self._netns = tuple(netns)
        self._datapath = datapath
        self._store = store
        self._key = key
        self._log = structlog.get_logger()
        self._started = time.monotonic()
        self._loop = asyncio.get_running_loop()
        self._recorder = VerdictRecorder(store, self._log)
        self._incidents = IncidentRecorder(store.incidents, self._log)
        self._controller = Controller(
            datapath,
            Rules.of(loaded.config, loaded.policies),
            log=self._log,
            on_change=self._on_change,
            on_incident=self._on_incident,
        )
        self._gate = Gatekeeper(
            datapath, loaded.config.workloads, self._controller.standing, log=self._log
        )
        # Numbers go on where the last process stopped, so that events never name another set.
        past = release_names.read()
        self._release = max([datapath.settings.release, *(names.number for names in past)])
        self._translator = Translator(
            self._controller.name_of,
            self._controller.cgroup_path,
            past,
            datapath.distinct,
            datapath.note_in_window,
        )
        self._words = Words(datapath)
        self._quarantine = Quarantine(loaded.config.state_dir)
        self._killer = Killer(self._controller.within, self._log)
        self._isolation = Isolation(
            self._quarantine,
            listed=lambda: self._loaded.config.workloads.netns,
            set_cut=self._controller.quarantine,
            tell=self._incidents.add,
            log=self._log,
        )
        self._isolation.apply()
        self._account = ShadowAccount()
        self._releases = Releases(
            store.releases,
            Vault(loaded.config.releases_dir),
            restored,
            loaded=lambda: self._loaded,
            switch=self._switch,
            tell=self._incidents.add,
            counted=self._counted,
            cache=usual_directory(),
            log=self._log,
        )
        self._responses = Responses(self._killer.add, self._isolation.escalate)
        counted = {who.netns for who in list(datapath.tables["workloads"].keys())}
        self._losses = Losses(partial(sample, datapath), counted)
        self._inspector_missed = 0
        self._next_expiry: float | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._matcher = MatcherProcess(
            matcher_rules(self._loaded),
            key=key,
            on_finding=self._on_finding,
            on_missed=self._on_missed,
            release=self._release + 1,
            log=self._log,
        )
        self._holds = HoldLane(
            loaded,
            self._words,
            key=key,
            release=self._release + 1,
            on_finding=self._on_held_finding,
            log=self._log,
        )
        # With flows and values of its own: nothing that is acted on is forgotten for it.
        self._shadow_translator = Translator(
            self._controller.name_of,
            distinct=partial(datapath.distinct, shadow=True),
            in_window=ShadowWindows().note,
            shadow=True,
            flows=FLOWS,
        )
        self._shadow = ShadowLane(
            self._shadow_translator, key=key, tell=self._on_shadow_finding, log=self._log
        )

    # -- life --------------------------------------------------------------------

    async def run(self, group: asyncio.TaskGroup) -> None:
        """Start everything in `group`."""
        await self._recorder.prepare()
        await self._incidents.prepare()
        await asyncio.to_thread(self._controller.scan_cgroups)
        self._make_live()
        events = self._datapath.on_events(self._on_event)
        payload = self._datapath.on_payload(self._on_payload)
        self._loop.add_reader(events.fileno(), events.consume)
        self._loop.add_reader(payload.fileno(), payload.consume)
        shadow = self._datapath.on_shadow_events(self._on_shadow_event)
        self._loop.add_reader(shadow.fileno(), shadow.consume)
        beside = self._datapath.on_shadow_payload(self._shadow.take)
        held = self._datapath.on_held(self._on_held)
        self._loop.add_reader(held.fileno(), held.consume)
        work = (
            self._recorder.run,
            self._incidents.run,
            self._killer.run,
            self._isolation.run,
            self._controller.watch,
            self._controller.watch_cgroups,
            self._controller.mend,
            self._keep_gates,
            self._watch_releases,
            self._shadow.run,
        )
        self._tasks = [group.create_task(each()) for each in work]
        await self._matcher.start(group)
        await self._holds.start(group)
        await self._shadow.replace(self._loaded, self._release)
        await self._shadow.start(group, beside.consume)
        self._datapath.beat()
        self._tasks.append(group.create_task(self._beat()))
        settle()
        # What was queued while nobody read.
        held.consume()
        events.consume()
        payload.consume()

    async def wait_enforced(self, timeout_s: float) -> bool:
        return await self._controller.wait_enforced(timeout_s)

    async def stop(self) -> None:
        """End the process's part; enforcement stays on."""
        # What came in is told to its end; then the work stops, then what it works on goes.
        await self._matcher.stop()
        await self._holds.stop()
        await self._shadow.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_S):
                await self._recorder.flush()
                await self._incidents.flush()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._controller.close()

    # -- service.Gateway ---------------------------------------------------------

    async def health(self) -> Health:
        return health_of(
            await self.workloads(),
            self._loaded,
            release=self._release,
            uptime_s=time.monotonic() - self._started,
            matcher_alive=self._matcher.alive and self._holds.alive,
            events_lost=self._total(abi.Reason.EVENT_LOST),
            verdicts_lost=self._recorder.lost,
            incidents_lost=self._incidents.lost,
            gates=self._gate.problems(),
            releases=self._releases.problems(time.time()),
            now=time.time(),
        )

    @property
    def releases(self) -> Releases:
        return self._releases

    async def workloads(self) -> list[Workload]:
        return self._controller.workloads()

    async def flows(self, *, workload: str | None = None, limit: int = 1000) -> list[Flow]:
        found = flows_of(self._datapath, self._controller.name_of, self._loaded.policies.names)
        wanted = (flow for flow in found if workload in {None, flow.workload})
        return list(islice(wanted, limit))

    async def stats(self) -> Stats:
        return stats_of(
            self._datapath,
            self._controller.keys(),
            inspector_missed=(self._inspector_missed, self._matcher.counts.missed),
            shadow_missed=self._shadow.missed,
            incidents=self._incidents.counts,
            holds=self._holds.counts,
        )

    async def signatures(self) -> list[ImageSignature]:
        signatures = self._loaded.image.signatures
        return [signatures[index] for index in self._loaded.live]

    async def verdicts(self, query: VerdictQuery) -> list[Verdict]:
        return await self._store.query(query)

    async def incidents(self, query: IncidentQuery) -> list[Incident]:
        return await self._store.incidents.query(query)

    async def quarantine(self, workload: str, *, reason: str, by: str) -> Workload:
        await self._isolation.cut(workload, reason=reason, by=by)
        return await self._workload(workload)

    async def release(self, workload: str, *, by: str) -> Workload:
        await self._isolation.release(workload, by=by)
        return await self._workload(workload)

    async def _workload(self, name: str) -> Workload:
        gone = Workload(name=name, state=WorkloadState.GONE)  # released, and not listed any more
        return next((one for one in await self.workloads() if one.name == name), gone)

    async def reload(self) -> ReloadResult:
        before = self._loaded
        config = await asyncio.to_thread(configured, before.config.file, self._netns)
        warn_of_late_keys(before.config, config)
        loaded = await self._releases.reload(config)
        self._gate.apply(config.workloads)
        self._log.info("configuration reloaded", release=self._release)
        return ReloadResult(
            release=self._release,
            image=loaded.image.version,
            signatures=len(loaded.live),
            policies=len(config.policies),
            changed=loaded.config != before.config or loaded.image != before.image,
        )

    async def _switch(self, loaded: Loaded) -> None:
        """Make another configuration or set run. Raises DlpError: what ran runs on."""
        before, self._loaded, number = self._loaded, loaded, self._release
        # Findings of these rules can come before the kernel has them.
        self._know(Release(self._release + 1, loaded.image, loaded.policies))
        try:
            await self._matcher.replace(matcher_rules(loaded), self._release + 1)
            await self._holds.replace(loaded, self._release + 1)
            await self._shadow.replace(loaded, self._release + 1)
            self._make_live()
        except DlpError:
            self._loaded = before
            with contextlib.suppress(DlpError):
                await self._shadow.replace(before, number)
            raise
        await self._controller.apply(Rules.of(loaded.config, loaded.policies))
        settle()

    def subscribe(
        self, *, after: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Verdict]]:
        return self._recorder.feed.follow(after)

    def subscribe_incidents(
        self, *, after: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Incident]]:
        return self._incidents.feed.follow(after)

    # -- inside ------------------------------------------------------------------

    def _know(self, release: Release) -> None:
        """What names this release will come."""
        self._translator.add(release)
        self._shadow_translator.add(release)

    def _make_live(self) -> None:
        """Load the configuration at hand into the kernel as the next release."""
        loaded = self._loaded
        policies = loaded.policies.kernel_policies(time.time())
        self._next_expiry = policies.next_expiry
        self._release += 1
        self._know(Release(self._release, loaded.image, loaded.policies))
        self._responses.use(loaded.policies)
        release_names.add(
            release_names.ReleaseNames.of(self._release, loaded.image, loaded.policies)
        )
        took = self._datapath.load(
            loaded.image,
            policies,
            hmac_key=self._key,
            release=self._release,
            cgroup_level=loaded.config.cgroup_level,
            bindings=self._controller.bindings(loaded.policies),
            event_burst=_EVENT_BURST,
        )
        self._account.count(self._hits(before=True))  # to the last packet; they begin at 0 now
        self._account.loaded(loaded, self._release)
        self._holds.live(self._release)
        self._log.info(
            "loaded",
            release=self._release,
            signatures=len(loaded.image.signatures),
            write_ms=round(took.write_s * 1000, 1),
            switch_ms=round(took.switch_s * 1000, 3),
        )

    def _hits(self, *, before: bool = False) -> dict[tuple[str, int], Count]:
        """The kernel's counts by workload and number of the signature, since the last load.

        `before`: of the set before it.
        """
        names = {slot_of(key): name for name, key in self._controller.keys().items()}
        return {
            (names[slot], index): Count(hits.matches, hits.acted, hits.prefilters)
            for (slot, index), hits in self._datapath.hits(before=before).items()
            if slot in names
        }

    def _counted(self) -> tuple[Hits, float | None]:
        self._account.count(self._hits())
        return self._account.found()

    async def _watch_releases(self) -> None:
        """Look what a release costs, and whether what is in force has expired, until cancelled.

        Apart from the beat, which must not wait where one is rolled back.
        """
        while True:
            await asyncio.sleep(_OBSERVE_S)
            self._releases.expire(time.time())
            if self._releases.watching:
                await self._observe()

    async def _observe(self) -> None:
        rows = [self._datapath.counters(slot_of(key)) for key in self._controller.keys().values()]
        sample = Sample(
            time.monotonic(),
            sum(row[reason][0] for row in rows for reason in _CANDIDATES),
            sum(row[abi.Reason.INSPECTED][1] for row in rows),
        )
        try:
            await self._releases.observe(sample)
        except DlpError as error:
            self._log.error("release not rolled back", reason=str(error))

    def _total(self, reason: abi.Reason) -> int:
        return sum(
            self._datapath.counters(slot_of(key))[reason][0]
            for key in self._controller.keys().values()
        )

    def _on_event(self, event: Event) -> None:
        verdict = self._translator.from_event(event)
        incident = self._translator.incident_from_event(event)
        if event.kind is abi.EventKind.BYPASS:
            self._losses.told(event.packet.netns)
            self._controller.look_again(event.packet.netns)
        elif event.kind is abi.EventKind.HOLD_TIMEOUT:
            self._holds.keeper.timed_out(event.flow)
        if incident is not None:
            self._incidents.add(incident)
        if verdict is not None:
            self._saw(event, verdict)
            self._recorder.add(verdict)
            self._responses.to_event(event, verdict)

    def _on_shadow_event(self, event: Event) -> None:
        """Told of and nothing else: no verdict is stored, nobody is cut off."""
        verdict = self._translator.from_event(event)
        if verdict is not None:
            self._saw(event, verdict)

    def _saw(self, event: Event, verdict: Verdict) -> None:
        if event.kind is abi.EventKind.MATCH and event.release == self._release:
            self._account.saw(event.signature, verdict)

    def _on_payload(self, payload: Payload) -> None:
        self._translator.saw(payload)
        self._matcher.submit(
            Record(flow=payload.flow, offset=payload.offset, data=payload.data, final=payload.final)
        )

    def _on_held(self, payload: Payload) -> None:
        self._translator.saw(payload)
        self._holds.take(payload)

    def _on_held_finding(self, finding: Finding) -> None:
        self._on_finding(finding, self._holds.keeper.left(finding.flow))

    def _on_finding(self, finding: Finding, left: int | None = None) -> None:
        verdict = self._translator.from_finding(finding, left)
        if verdict is None:
            return
        self._account.decided(finding.release, finding.signature, verdict)
        mirrored = self._translator.mirrored(verdict.flow)
        if verdict.action is Action.DROP and verdict.enforced:
            self._words.block(verdict.flow, finding.signature, mirrored.key if mirrored else None)
            self._holds.keeper.blocked(verdict.flow)
            gone = verdict.sent_before == verdict.length
            detail = "blocked after the match had left" if gone else "blocked while it was held"
            verdict = replace(verdict, detail=detail)
        self._recorder.add(verdict)
        if mirrored is not None:
            self._responses.to_finding(mirrored.packet, verdict)

    def _on_shadow_finding(self, finding: Finding, verdict: Verdict) -> None:
        """Counted and nothing else."""
        self._account.decided(finding.release, finding.signature, verdict)

    def _on_missed(self, _missed: object) -> None:
        self._inspector_missed += 1

    def _on_incident(self, incident: Incident) -> None:
        """From whichever thread."""
        self._loop.call_soon_threadsafe(self._incidents.add, incident)

    def _on_change(self) -> None:
        self._gate.changed()

    async def _keep_gates(self) -> None:
        """A child waits for listed namespaces only: which are there has to be known first."""
        await self._controller.wait_known()
        await self._gate.run()

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
            for incident in self._losses.since_last(self._controller.keys()):
                self._incidents.add(incident)
            self._words.expire()
            if time.monotonic() - swept > _SWEEP_S:
                swept = time.monotonic()
                self._words.sweep()
                self._holds.keeper.sweep()
