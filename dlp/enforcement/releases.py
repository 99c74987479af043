"""The releases of a running gateway: from the upload to the set that acts, and back.

    upload ─► intake ─► compiled
    shadow, canary: live set and candidate as one image ─► switch
    activate, rollback: one set ─► switch

One change at a time; each step is written down before the next begins. What is to run is
read from its archive and verified anew each time; the database alone makes nothing live.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlp.config import Config
from dlp.enforcement.audit import GATEWAY, Audit
from dlp.enforcement.candidates import CandidateWatch, Sample
from dlp.enforcement.compiling import compiling
from dlp.enforcement.in_force import InForce
from dlp.enforcement.intake import Intake, described, packs_in
from dlp.enforcement.loaded import Beside, Loaded, Sets, file_sets
from dlp.enforcement.restored import Restored, read, read_trust
from dlp.enforcement.running import Compile, Runner, Switch
from dlp.enforcement.succession import beside, live, needed, step, taken_back
from dlp.enforcement.vault import Vault
from dlp.errors import ConflictError, DlpError, StoreError, UsageError
from dlp.model import Incident
from dlp.releases.canary import Canary
from dlp.releases.diff import NO_HITS, Diff, Hits, compare
from dlp.releases.life import BESIDE, State, check_step
from dlp.releases.override import check_name
from dlp.releases.verify import Verified
from dlp.service import Override, Release
from dlp.signatures.pack import Pack
from dlp.store.releases import ReleaseStore


class Releases:
    """Implements service.Releases.

    Args:
        loaded: what runs at present.
        switch: makes something else run; raises DlpError where that fails, and then the
            caller brings back what ran.
        counted: hits of both sets since a candidate runs beside, and since when.
        tell: takes incidents.
    """

    def __init__(
        self,
        store: ReleaseStore,
        vault: Vault,
        restored: Restored,
        *,
        loaded: Callable[[], Loaded],
        switch: Switch,
        counted: Callable[[], tuple[Hits, float | None]] = lambda: (NO_HITS, None),
        compile_: Compile = compiling,
        cache: Path | None = None,
        tell: Callable[[Incident], None] = lambda _: None,
        log: Any,
    ) -> None:
        self._store = store
        self._vault = vault
        self._runner = Runner(
            loaded, switch, vault, compile_=compile_, switched=self._switched, cache=cache
        )
        self._counted = counted
        self._audit = Audit(store, tell, log)
        self._log = log
        self._intake = Intake(store, vault, self._runner, self._audit)
        self._lock = asyncio.Lock()  # of what runs, and of states
        self._uploading = asyncio.Lock()
        self._ready: Loaded | None = None  # what was compiled last, until it is live
        self._in_force = InForce(restored)
        self._watch = CandidateWatch()

    # -- asked -------------------------------------------------------------------

    @property
    def max_size(self) -> int:
        """Most bytes of an archive."""
        return self._config.releases.max_size

    async def all(self) -> list[Release]:
        """Newest version first."""
        return await self._store.all()

    async def get(self, version: int) -> Release:
        """With its steps. Raises UsageError."""
        return replace(await self._need(version), steps=tuple(await self._store.steps(version)))

    async def diff(self, version: int) -> Diff:
        """What it would do otherwise than the live set."""
        release = await self._need(version)
        sets = self._runner.sets
        if release.state is State.REJECTED:
            raise ConflictError(f"release {version} was rejected", state=release.state.value)
        candidate = await self._packs_of(version, keep=True)
        hits, since = NO_HITS, None
        if sets.beside is not None and sets.beside.version == version:
            hits, since = self._counted()
        return await asyncio.to_thread(
            compare,
            sets.packs,
            candidate,
            version=version,
            against=sets.release,
            hits=hits,
            since=since,
        )

    def problems(self, now: float) -> list[str]:
        """What is wrong with what runs: sentences for the health."""
        return self._in_force.problems(now, self._runner.sets.overrides)

    # -- changed by clients ------------------------------------------------------

    async def upload(self, chunks: AsyncIterable[bytes], *, by: str) -> Release:
        """Take an archive, verify and compile it. What runs may be changed meanwhile."""
        trust = await asyncio.to_thread(read_trust, self._config)
        raw = await self._vault.receive(chunks, self.max_size)
        async with self._alone(self._uploading, "another upload is under way"):
            known = await self._intake.known(raw)
            if known is not None:
                return await self.get(known.version)
            async with self._lock:
                release, verified = await self._intake.arrived(raw, trust, by)
            try:
                loaded = await self._intake.compiled(verified)
            except DlpError as error:
                await self._ended(release, State.REJECTED, by, str(error))
                raise
            if await self._ended(described(release, loaded), State.COMPILED, by):
                self._ready = loaded
            return await self.get(release.version)

    async def shadow(self, version: int, *, by: str) -> Release:
        """Run it beside the live set, only counted."""
        async with self._change(version):
            release = await self._need(version)
            if release.state is not State.SHADOW:
                check_step(version, release.state, State.SHADOW)
                await self._run_beside(release, None, by)
            return await self.get(version)

    async def activate(self, version: int, *, canary: Canary | None, by: str) -> Release:
        """Make it act, for chosen workloads or for all."""
        async with self._change(version):
            release = await self._need(version)
            if canary is not None:
                if (release.state, release.canary) != (State.CANARY, canary):
                    check_step(version, release.state, State.CANARY)
                    await self._run_beside(release, canary, by)
            elif release.state is not State.LIVE or self._runner.sets.overrides:
                if release.state is not State.LIVE:
                    self._no_return(release)
                    check_step(version, release.state, State.LIVE)
                await self._run_live(release, by)
            return await self.get(version)

    async def rollback(self, version: int, *, reason: str, by: str) -> Release:
        """Take it out of force; one that is out of force by a rollback stays so."""
        async with self._change(version):
            release = await self._need(version)
            if release.state in BESIDE:
                await self._end_beside(release, State.COMPILED, reason, by)
            elif release.state is State.LIVE:
                await self._run_before(release, State.SUPERSEDED, reason or "rolled back", by)
            elif not (release.state is State.SUPERSEDED and release.reason):
                raise ConflictError(
                    f"release {version} is {release.state.value}, not in force",
                    state=release.state.value,
                    remedy="`dlp release list` shows which one is live",
                )
            return await self.get(version)

    async def put_pack(self, name: str, text: bytes, *, by: str) -> Override:
        """Development mode: make a pack live in place of the one of that name."""
        return await self._override(name, text, by)

    async def put_signature(self, id_: str, text: bytes, *, by: str) -> Override:
        """Development mode: make a signature live in place of the one of that id."""
        return await self._override(id_, text, by)

    # -- changed by the gateway --------------------------------------------------

    async def reload(self, config: Config) -> Loaded:
        """Run what runs under another configuration. Waits for a change that is under way."""
        async with self._lock:
            sets = await self._runner.overridden(config, await self._without_overrides(config))
            loaded = await self._runner.make(config, sets)
            await self._runner.run(loaded)
            self._ready = None
            return loaded

    async def observe(self, sample: Sample) -> None:
        """Take the kernel's totals; roll back what exceeds `max_candidates_per_mb`."""
        self._watch.sample(sample)
        excess = self._watch.excess()
        if excess is None or self._lock.locked():
            return
        async with self._change():
            sets = self._runner.sets
            version = sets.beside.version if sets.beside else sets.release
            release = await self._store.get(version)
            if release is None:
                self._watch.settled()
                return
            reason = f"rolled back by itself: {excess}"
            if release.state in BESIDE:
                await self._end_beside(release, State.REJECTED, reason, GATEWAY)
            else:
                await self._run_before(release, State.REJECTED, reason, GATEWAY)
            self._audit.incident("candidates", f"Release {version} was {reason}.")

    def expire(self, now: float) -> None:
        """Tell once of what has expired while it is in force."""
        for what in self._in_force.expired(now):
            self._log.error("expired while in force", what=what)
            told = f"{what[:1].upper()}{what[1:]} has expired"
            self._audit.incident("expired", f"{told}; it goes on until another is live.")

    @property
    def watching(self) -> bool:
        """Whether `observe` wants totals: where no release can come, none need be measured."""
        return self._config.releases.trust is not None

    def _switched(self, before: Sets, after: Sets) -> None:
        """Something else runs: what its candidates are compared with begins here."""
        if before == after:
            return
        most = self._config.releases.max_candidates_per_mb
        if after.beside is not None and after.beside != before.beside:
            self._watch.switched(most, beside=True)
        elif after.release != before.release and after.release:
            self._watch.switched(most)
        else:
            self._watch.settled()

    # -- inside: the steps -------------------------------------------------------

    async def _ended(self, release: Release, state: State, by: str, reason: str = "") -> bool:
        """Its compilation has ended; False where a newer one went live meanwhile."""
        async with self._lock:
            if (await self._need(release.version)).state is not State.VERIFIED:
                return False
            await self._audit.move(release, state, "compile", by, reason)
            await self._tidy()
            return True

    async def _run_beside(self, release: Release, canary: Canary | None, by: str) -> None:
        packs = await self._packs_of(release.version)
        candidate = Beside(version=release.version, packs=packs, canary=canary)
        async with self._written():
            await self._run(release, replace(self._runner.sets, beside=candidate), by)
            await self._audit.record(beside(release, canary, await self._store.all(), by))

    async def _end_beside(self, release: Release, state: State, reason: str, by: str) -> None:
        async with self._written():
            await self._go_back(replace(self._runner.sets, beside=None))
            await self._audit.move(release, state, "rollback", by, reason)
        await self._tidy()

    async def _run_live(self, release: Release, by: str) -> None:
        sets = self._runner.sets
        verified = await self._read(release.version)
        ready = self._made(release.version)
        packs = ready.sets.packs if ready else await asyncio.to_thread(packs_in, verified)
        before = sets.release
        if before == release.version:  # it was live, with overrides on top
            before = release.before or 0
        async with self._written():
            await self._run(release, Sets(packs=packs, release=release.version), by, ready)
            everyone = await self._store.all()
            await self._audit.record(live(release, everyone, by, before=before, now=time.time()))
        self._ready = None
        self._in_force.now(verified)
        await asyncio.to_thread(self._vault.forget_overrides)
        await self._tidy()

    async def _run_before(self, release: Release, state: State, reason: str, by: str) -> None:
        before = await self._store.get(release.before) if release.before else None
        verified = await self._read(before.version, keep=True) if before else None
        if before is None or verified is None:
            sets = await asyncio.to_thread(file_sets, self._config)
        else:
            packs = await asyncio.to_thread(packs_in, verified)
            sets = Sets(packs=packs, release=before.version)
        async with self._written():
            await self._go_back(sets)
            everyone = await self._store.all()
            await self._audit.record(taken_back(release, state, reason, before, everyone, by))
        self._in_force.now(verified)
        await asyncio.to_thread(self._vault.forget_overrides)
        await self._tidy()

    async def _override(self, name: str, text: bytes, by: str) -> Override:
        check_name(name)
        config = self._runner.config
        if not config.releases.development:
            raise ConflictError(
                "development mode is off: signatures come in signed releases only",
                remedy="set `releases: {development: true}` where nobody else depends on it",
            )
        async with self._change():
            sets = self._runner.sets
            known = await asyncio.to_thread(self._vault.overrides)
            if known.get(name) != text or name not in sets.overrides:
                base = await self._without_overrides(config)
                after = await self._runner.overridden(config, base, {name: text})
                await self._runner.run(await self._runner.make(config, after))
                await asyncio.to_thread(self._vault.keep_override, name, text)
                await self._audit.write([], [step(sets.release, by, "put", "", "", name)])
            ids = [
                one.id
                for pack in self._runner.sets.packs
                for one in pack.signatures
                if name in {pack.name, one.id}
            ]
            return Override(name=name, signatures=tuple(ids))

    async def _without_overrides(self, config: Config) -> Sets:
        """What is to run, read anew: the live release, or the packs of the file."""
        sets = self._runner.sets
        if sets.release == 0:
            return replace(await asyncio.to_thread(file_sets, config), beside=sets.beside)
        packs = await self._packs_of(sets.release, keep=True)
        return replace(sets, packs=packs, overrides=())

    async def _tidy(self) -> None:
        """Remove archives that nothing leads back to any more. Under the lock."""
        with contextlib.suppress(StoreError):  # the next change tries again
            spared = needed(await self._store.all(), self._config.releases.rollbacks)
            await asyncio.to_thread(self._vault.keep_only, spared)

    # -- inside: the parts -------------------------------------------------------

    @property
    def _config(self) -> Config:
        return self._runner.config

    @contextlib.asynccontextmanager
    async def _change(self, version: int = 0) -> AsyncIterator[None]:
        async with self._alone(self._lock, "another change of releases is under way", version):
            yield

    @contextlib.asynccontextmanager
    async def _alone(self, lock: asyncio.Lock, told: str, version: int = 0) -> AsyncIterator[None]:
        """One at a time; who comes second is not kept waiting. Raises ConflictError."""
        if lock.locked():
            known = await self._store.get(version) if version else None
            raise ConflictError(
                told,
                state=known.state.value if known else "",
                remedy="try again when it ended",
            )
        async with lock:
            yield

    async def _need(self, version: int) -> Release:
        found = await self._store.get(version)
        if found is None:
            raise UsageError(
                f"there is no release {version}", remedy="`dlp release list` shows all"
            )
        return found

    def _no_return(self, release: Release) -> None:
        """An older one comes back by a rollback only."""
        if release.state is State.SUPERSEDED:
            raise ConflictError(
                f"release {release.version} is superseded",
                state=release.state.value,
                remedy="roll back the live release, or build this one under a higher version",
            )

    async def _read(self, version: int, *, keep: bool = False) -> Verified:
        """Read a release from its archive. Raises ReleaseError."""
        trust = await asyncio.to_thread(read_trust, self._config)
        return await asyncio.to_thread(read, self._vault, trust, version, keep=keep)

    def _made(self, version: int) -> Loaded | None:
        """What was compiled of a release, where the configuration is still the same."""
        ready = self._ready
        if ready is None or ready.sets.release != version or ready.config is not self._config:
            return None
        return ready

    async def _packs_of(self, version: int, *, keep: bool = False) -> tuple[Pack, ...]:
        return await asyncio.to_thread(packs_in, await self._read(version, keep=keep))

    async def _run(
        self, release: Release, sets: Sets, by: str, ready: Loaded | None = None
    ) -> None:
        """Make a release run. Where the kernel refuses it, what ran runs on, and it is rejected."""
        loaded = ready if ready is not None else await self._runner.make(self._config, sets)
        try:
            await self._runner.run(loaded)
        except DlpError as error:
            reason = f"rolled back by itself: {error}"
            await self._audit.move(release, State.REJECTED, "rollback", by, reason)
            self._audit.incident("load_failed", f"Release {release.version} could not be loaded.")
            raise

    @contextlib.asynccontextmanager
    async def _written(self) -> AsyncIterator[None]:
        """What ran before runs again where a change cannot be written down."""
        before = self._runner.loaded
        try:
            yield
        except StoreError:
            await self._runner.run(before)
            raise

    async def _go_back(self, sets: Sets) -> None:
        """Make what ran before run. Where that fails, what runs stays, and so do the states."""
        await self._runner.run(await self._runner.make(self._config, sets))
