"""The gateway: the composition root, where every part meets the others.

    configuration ─► packs ─► image ─┐
                   └► policies ──────┴► datapath ─► controller (namespaces)
    events, payload ─► translator ─► store ─► subscribers
                    └► matcher process ─► translator

Enforcement does not depend on this process: it may end, be killed and be started anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import resource
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import structlog

import dlp
from dlp.api.app import create_app
from dlp.api.serve import serve
from dlp.config import Config, load, with_netns
from dlp.datapath import abi
from dlp.datapath.datapath import ROOT, Datapath, current_layout
from dlp.datapath.events import Event, Payload, packet_of, protocol_name
from dlp.datapath.pins import RUN, Layout, remove_tree
from dlp.enforcement import lock, record
from dlp.enforcement import names as release_names
from dlp.enforcement.controller import Controller, Rules
from dlp.enforcement.detach import take_off_all
from dlp.enforcement.keys import slot_of
from dlp.enforcement.verdicts import Release, Translator
from dlp.errors import DlpError, KernelError, PrivilegeError
from dlp.inspector.client import MatcherProcess
from dlp.inspector.messages import Finding, Record
from dlp.inspector.messages import Rule as MatcherRule
from dlp.keys import load_or_create
from dlp.model import (
    Action,
    Counter,
    DecidedBy,
    Endpoint,
    Flow,
    Opaque,
    Stats,
    Verdict,
    Workload,
    WorkloadState,
)
from dlp.policy import PolicySet
from dlp.service import Health, ReloadResult, VerdictQuery
from dlp.signatures.compiler import compile_packs
from dlp.signatures.image import ImageSignature, KernelImage
from dlp.signatures.pack import load_packs
from dlp.store.tokens import TokenStore
from dlp.store.verdicts import VerdictStore

_BEAT_S = 1.0
_SWEEP_S = 30.0
_BATCH = 512
_QUEUE = 65536
_FLUSH_S = 2.0
_LATEST = 500


@dataclass(frozen=True, slots=True)
class Loaded:
    """One configuration with all that was made of it."""

    config: Config
    image: KernelImage
    policies: PolicySet


def prepare(path: Path, netns: Iterable[str] = ()) -> Loaded:
    """Read, compile and check a configuration; nothing outside this process changes.

    Raises:
        ConfigError, PackError: with file, line and key.
    """
    config = with_netns(load(path), netns)
    image = compile_packs(load_packs(config.signatures, config.base))
    return Loaded(config, image, PolicySet(config, [one.id for one in image.signatures]))


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
            found.append(_flow(key, flow, name, names_of, now))
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
        _check_unchanged(self._loaded.config, loaded.config)
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


def _flow(
    key: abi.FlowKeyStruct, flow: abi.FlowStruct, name: str, policies: tuple[str, ...], now: int
) -> Flow:
    packet = packet_of(key)
    flags = abi.FlowFlag(flow.flags)
    return Flow(
        id=flow.id,
        workload=name,
        cgroup=flow.cgroup,
        protocol=protocol_name(key.family, key.protocol),
        source=Endpoint(address=packet.source, port=packet.source_port),
        destination=Endpoint(address=packet.destination, port=packet.destination_port),
        state=abi.FlowState(flow.state).name.lower(),
        opaque=Opaque(flow.opaque).name.lower(),
        policy=policies[flow.policy] if flow.policy < len(policies) else str(flow.policy),
        packets=flow.packets,
        bytes=flow.inspected + flow.missed,
        inspected=flow.inspected,
        opaque_bytes=flow.opaque_bytes,
        missed=flow.missed,
        matches=flow.matches,
        partly=abi.FlowFlag.PARTLY in flags,
        mirrored=abi.FlowFlag.MIRROR in flags,
        age_s=(now - flow.started_ns) / 1e9,
        idle_s=(now - flow.seen_ns) / 1e9,
    )


def _check_unchanged(old: Config, new: Config) -> None:
    """Some keys are read once, at the start."""
    for key in ("state_dir", "api"):
        if getattr(old, key) != getattr(new, key):
            structlog.get_logger().warning(
                "this key is read at the start only", key=key, remedy="restart the gateway"
            )


def run(config_path: Path, netns: list[str], wait: float) -> int:
    """Run in the foreground until SIGTERM or SIGINT; the command `dlp run`.

    Raises:
        DlpError: the gateway cannot start.
    """
    if os.geteuid() != 0:
        raise PrivilegeError("the gateway needs root", remedy="run it with sudo")
    _configure_log()
    _raise_limits()
    with lock.alone():
        return asyncio.run(_main(config_path, netns, wait))


def _raise_limits() -> None:
    """Each namespace takes some five descriptors; the usual soft limit is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _main(config_path: Path, netns: list[str], wait: float) -> int:
    loaded = prepare(config_path, netns)
    key = load_or_create(loaded.config.state_dir)
    stale = _other_builds()
    datapath = await asyncio.to_thread(partial(Datapath.open, older=stale))
    stale = _other_builds()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(datapath.close)
        store = await stack.enter_async_context(
            await VerdictStore.open(loaded.config.verdicts_file)
        )
        tokens = TokenStore(loaded.config.tokens_file)
        service = GatewayService(loaded, netns, datapath, store, key)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with asyncio.TaskGroup() as group:
            loop.add_signal_handler(
                signal.SIGHUP, lambda: group.create_task(_reload_on_signal(service))
            )
            await service.run(group)
            tcp = loaded.config.api.tcp
            async with serve(
                create_app(service, tokens, version=dlp.__version__),
                unix=loaded.config.api.unix,
                tcp=(tcp.host, tcp.port) if tcp else None,
            ):
                waiting = group.create_task(_announce(service, wait, stale))
                await stop.wait()
                waiting.cancel()
            await service.stop()
    return 0


async def _announce(service: GatewayService, wait: float, stale: list[Layout]) -> None:
    """Say `ready` when every listed namespace is enforced, or the time for it is over."""
    enforced = await service.wait_enforced(wait)
    if enforced:
        for build in stale:
            build.remove()  # every classifier of it has been replaced by now
    if not enforced:
        missing = [
            one.name for one in await service.workloads() if one.state is not WorkloadState.ENFORCED
        ]
        sys.stderr.write(f"dlp: warning: not enforced yet: {', '.join(missing)}\n")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    _notify_systemd("READY=1")


async def _reload_on_signal(service: GatewayService) -> None:
    try:
        await service.reload()
    except DlpError as error:
        structlog.get_logger().error("reload refused, nothing changed", reason=str(error))


def _notify_systemd(state: str) -> None:
    """sd_notify(3), without the library: one datagram to the socket systemd names."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        out.sendto(state.encode(), address)


def _other_builds() -> list[Layout]:
    """Other builds than this one's that are pinned, the latest first."""
    current = current_layout().pins
    if not ROOT.is_dir():
        return []
    found = [
        Layout(path, RUN / f"datapath-{path.name}.json")
        for path in ROOT.iterdir()
        if path != current
    ]
    return sorted(
        found,
        key=lambda one: one.manifest.stat().st_mtime if one.manifest.exists() else 0,
        reverse=True,
    )


def detach(*, everywhere: bool = False) -> int:
    """Remove everything the gateway made, and put back what it changed.

    Args:
        everywhere: search all namespaces of the host instead of believing the record.

    Returns how many classifiers were taken off.

    Raises:
        KernelError: a gateway runs, the record is lost, or the kernel refuses; then
            nothing is unpinned, as a classifier without its programs drops everything.
    """
    if os.geteuid() != 0:
        raise PrivilegeError("detaching needs root", remedy="run it with sudo")
    with lock.alone():
        if ROOT.is_dir() and not record.is_whole(record.RECORD) and not everywhere:
            raise KernelError(
                f"the record of what is attached, {record.RECORD}, is lost or damaged",
                remedy="`dlp detach --all` searches every namespace of this host",
            )
        count = take_off_all(record.read(record.RECORD), everywhere=everywhere)
        remove_tree(ROOT)
        for path in (*RUN.glob("datapath-*"), record.RECORD, release_names.FILE):
            path.unlink(missing_ok=True)
    return count


def _configure_log() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
