"""A gateway that answers from lists, and the values it answers with."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from typing import Any

from dlp.errors import ReleaseError, UsageError
from dlp.model import (
    Action,
    Counter,
    DecidedBy,
    Endpoint,
    Flow,
    HoldCounts,
    Incident,
    IncidentKind,
    Protection,
    Stats,
    Verdict,
    Workload,
    WorkloadState,
)
from dlp.releases.diff import Diff, Entry, Example
from dlp.releases.life import State
from dlp.service import (
    Health,
    Override,
    Release,
    ReleasePack,
    ReleaseStep,
    ReloadResult,
)
from dlp.signatures.image import Check, ImageSignature

HERE = Endpoint(address="10.0.0.2", port=40000)
THERE = Endpoint(address="2001:db8::1", port=443)


def make_verdict(number: int, **changes: Any) -> Verdict:
    values: dict[str, Any] = {
        "id": number,
        "time": 1_700_000_000.0 + number,
        "kind": "match",
        "workload": "web",
        "cgroup": 7,
        "flow": 2**64 - 1,
        "protocol": "tcp",
        "source": HERE,
        "destination": THERE,
        "signature": "pci.card.visa",
        "severity": "high",
        "policy": "default",
        "rule": 0,
        "action": Action.DROP,
        "enforced": True,
        "decided": DecidedBy.KERNEL,
        "masked": "4111********1111",
        "digest": "ab" * 32,
        "offset": 0,
        "length": 16,
        "sent_before": 0,
        "count": 1,
        "release": 1,
    }
    return Verdict(**(values | changes))


def make_incident(number: int, **changes: Any) -> Incident:
    values: dict[str, Any] = {
        "id": number,
        "time": 1_700_000_000.0 + number,
        "last": 1_700_000_005.0 + number,
        "kind": IncidentKind.BYPASS,
        "workload": "web",
        "what": "no_token",
        "count": 3,
        "protocol": "tcp",
        "source": HERE,
        "destination": THERE,
        "detail": "A packet came past the classifier.",
    }
    return Incident(**(values | changes))


def make_flow(number: int, workload: str = "web") -> Flow:
    return Flow(
        id=number,
        workload=workload,
        cgroup=7,
        protocol="tcp",
        source=HERE,
        destination=THERE,
        state="open",
        opaque="no",
        policy="default",
        packets=3,
        bytes=300,
        inspected=300,
        opaque_bytes=0,
        missed=0,
        matches=1,
        partly=False,
        mirrored=False,
        age_s=1.5,
        idle_s=0.5,
    )


def make_release(version: int, **changes: Any) -> Release:
    values: dict[str, Any] = {
        "version": version,
        "state": State.COMPILED,
        "sha256": "ab" * 32,
        "size": 4096,
        "uploaded": 1_700_000_000.0,
        "expires": 1_800_000_000.0,
        "signers": ("cd" * 32,),
        "packs": (ReleasePack(name="own", version=1, signatures=3),),
        "signatures": 3,
        "image": "ef" * 32,
    }
    return Release(**(values | changes))


class FakeReleases:
    """`failure` is raised by whatever changes something; `asked` records the changes."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.max_size = 100_000
        self.received = b""
        self.receiving = False
        self.asked: list[tuple[Any, ...]] = []
        self.stored = {number: make_release(number) for number in (1, 2)}

    def _changed(self, *asked: Any) -> None:
        if self.failure is not None:
            raise self.failure
        self.asked.append(asked)

    async def upload(self, chunks, *, by) -> Release:
        self.receiving = True
        try:
            async for chunk in chunks:
                self.received += chunk
                if len(self.received) > self.max_size:
                    raise ReleaseError("the archive is too large", reason="too_large")
        finally:
            self.receiving = False
        self._changed("upload", by)
        return make_release(3)

    async def all(self) -> list[Release]:
        return sorted(self.stored.values(), key=lambda one: -one.version)

    async def get(self, version) -> Release:
        if version not in self.stored:
            raise UsageError(f"there is no release {version}")
        step = ReleaseStep(
            time=1.0, version=version, who="x", what="upload", before="", after="uploaded"
        )
        return dataclasses.replace(self.stored[version], steps=(step,))

    async def shadow(self, version, *, by) -> Release:
        self._changed("shadow", version, by)
        return make_release(version, state=State.SHADOW)

    async def activate(self, version, *, canary, by) -> Release:
        self._changed("activate", version, canary, by)
        state = State.CANARY if canary else State.LIVE
        return make_release(version, state=state, canary=canary)

    async def rollback(self, version, *, reason, by) -> Release:
        self._changed("rollback", version, reason, by)
        return make_release(version, state=State.SUPERSEDED, reason=reason)

    async def diff(self, version) -> Diff:
        await self.get(version)
        example = Example(workload="web", masked="4111********1111", digest="ab", time=5.0)
        entry = Entry(
            signature="own.key.long",
            workload="web",
            live=0,
            candidate=2,
            would_newly_drop=2,
            would_no_longer_drop=0,
            unchanged=0,
            would_ask=3,
            examples=(example,),
        )
        return Diff(
            version=version,
            against=0,
            since=4.0,
            added=("own.key.long",),
            removed=(),
            changed=(),
            same=4,
            entries=(entry,),
        )

    async def put_pack(self, name, text, *, by) -> Override:
        self._changed("pack", name, text, by)
        return Override(name=name, signatures=(f"{name}.key.long",))

    async def put_signature(self, id_, text, *, by) -> Override:
        self._changed("signature", id_, text, by)
        return Override(name=id_, signatures=(id_,))


class FakeGateway:
    """`failure` is raised by whatever is asked next; `queries` records what was asked."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.stored = [make_verdict(number) for number in range(1, 6)]
        self.incident_list = [make_incident(number) for number in range(1, 6)]
        self.cut: dict[str, tuple[str, str]] = {}
        self.released: list[tuple[str, str]] = []
        self.flow_list = [make_flow(2**64 - 1), make_flow(5), make_flow(9, "db")]
        self.queries: list[Any] = []
        self.reloads = 0
        self.reloading = asyncio.Event()
        self.reload_gate = asyncio.Event()
        self.reload_gate.set()
        self.news = asyncio.Condition()
        self.ended = False
        self.subscribers = 0
        self.listed = asyncio.Event()  # more than the newest entry was asked for
        self.followed = asyncio.Event()
        self.releases = FakeReleases()

    def _asked(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def health(self) -> Health:
        self._asked()
        return Health(
            status="degraded",
            version="1.2.3",
            uptime_s=12.5,
            kernel="6.18",
            release=4,
            signatures=30,
            image="ab" * 32,
            workloads_enforced=2,
            workloads_pending=1,
            events_lost=3,
            inspector="running",
            problems=("db is pending",),
            workloads_unguarded=1,
            workloads_quarantined=1,
            warnings=("web: quarantined",),
        )

    async def workloads(self) -> list[Workload]:
        self._asked()
        return [
            Workload(
                name="web",
                state=WorkloadState.ENFORCED,
                key=2**64 - 1,
                inode=4,
                devices=("eth0",),
                guard=Protection.GUARDED,
                attach="tcx",
                quarantined="web" in self.cut,
            ),
            Workload(name="db\udcff", state=WorkloadState.PENDING),
        ]

    async def flows(self, *, workload=None, limit=1000) -> list[Flow]:
        self._asked()
        return [flow for flow in self.flow_list if workload in {None, flow.workload}][:limit]

    async def stats(self) -> Stats:
        self._asked()
        counters = (Counter(reason="pass", packets=5, bytes=900),)
        return Stats(
            total=counters,
            workloads={'we"b\n': counters},
            incidents={"bypass": 15},
            holds=HoldCounts(begun=4, cleared=3, blocked=1, words=5, wait_s=0.5, longest_s=0.25),
        )

    async def signatures(self) -> list[ImageSignature]:
        self._asked()
        return [
            ImageSignature(
                id="pii.us.ssn",
                severity="high",
                decided=DecidedBy.KERNEL,
                why="Its shapes equal the regex.",
                check=Check.US_SSN,
                normalise=True,
                mask_head=0,
                mask_tail=4,
                regex=r"\d{3}-\d{2}-\d{4}",
                validator="us_ssn",
                shapes=(0,),
            )
        ]

    async def verdicts(self, query) -> list[Verdict]:
        self._asked()
        return self._listed(self.stored, query)

    async def incidents(self, query) -> list[Incident]:
        self._asked()
        return self._listed(self.incident_list, query)

    def _listed(self, stored, query):
        self.queries.append(query)
        if query.limit > 1:
            self.listed.set()
        before = query.before_id or 2**63
        return [found for found in reversed(stored) if found.id < before][: query.limit]

    async def quarantine(self, workload, *, reason, by) -> Workload:
        self.cut[await self._known(workload)] = (reason, by)
        return (await self.workloads())[0]

    async def release(self, workload, *, by) -> Workload:
        self.cut.pop(await self._known(workload), None)
        self.released.append((workload, by))
        return (await self.workloads())[0]

    async def _known(self, workload):
        self._asked()
        if workload != "web":
            raise UsageError("there is no such workload")
        return workload

    async def reload(self) -> ReloadResult:
        self._asked()
        self.reloading.set()
        await self.reload_gate.wait()
        self.reloads += 1
        return ReloadResult(release=5, image="cd" * 32, signatures=31, policies=2, changed=True)

    async def publish(self, *found: Verdict | Incident) -> None:
        async with self.news:
            self.stored += [one for one in found if isinstance(one, Verdict)]
            self.incident_list += [one for one in found if isinstance(one, Incident)]
            self.news.notify_all()

    async def end(self) -> None:
        async with self.news:
            self.ended = True
            self.news.notify_all()

    def subscribe(self, *, after=None):
        return self._follow(self.stored, after)

    def subscribe_incidents(self, *, after=None):
        return self._follow(self.incident_list, after)

    @contextlib.asynccontextmanager
    async def _follow(self, stored, after):
        self._asked()
        at = len(stored)
        if after is not None:
            at = next((n for n, found in enumerate(stored) if found.id > after), at)

        def has_news():
            return at < len(stored) or self.ended

        async def items():
            nonlocal at
            while True:
                async with self.news:
                    await self.news.wait_for(has_news)
                if self.failure is not None:
                    raise self.failure
                if at >= len(stored):
                    return
                yield stored[at]
                at += 1

        self.subscribers += 1
        self.followed.set()
        try:
            yield items()
        finally:
            self.subscribers -= 1
