"""What is to run when the gateway starts: the live release, verified anew.

Nothing is dropped silently: a release that was live and cannot be believed any more is
told of, and what was live before it runs, at last the policy file's packs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from dlp.config import Config
from dlp.enforcement.loaded import Beside, Sets, file_sets
from dlp.enforcement.vault import Vault
from dlp.errors import ConflictError, DlpError, ReleaseError
from dlp.releases.content import packs_of
from dlp.releases.life import BESIDE, State
from dlp.releases.override import overridden
from dlp.releases.verify import Verified, verify
from dlp.service import Release, ReleaseStep
from dlp.store.releases import ReleaseStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What is to run, and what is to be said of it.

    Attributes:
        notes: why something else runs than was live: sentences.
        expires: of what is in force, by its name: seconds since the epoch.
    """

    sets: Sets
    notes: tuple[str, ...] = ()
    expires: Mapping[str, float] = field(default_factory=dict)


def read_trust(config: Config) -> bytes:
    """The trust that the policy file names.

    Raises:
        ConflictError: it names none, or it cannot be read.
    """
    path = config.releases.trust
    if path is None:
        raise ConflictError(
            "this gateway takes no releases: it trusts nobody",
            remedy="name a trust at `releases.trust`; `dlp keys trust init` makes one",
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConflictError(f"the trust {path} cannot be read: {error.strerror}") from error


def read(vault: Vault, trust: bytes, version: int, *, keep: bool = False) -> Verified:
    """Read a release that was taken, and verify it anew. Blocking.

    Args:
        keep: it was in force: that it has expired is no reason to refuse it.

    Raises:
        ReleaseError: it is not there, or refused.
    """
    raw = vault.read(version)
    root = vault.root(trust)
    found = verify(raw, root, now=time.time(), max_size=len(raw), keep=keep)
    if found.version != version:
        raise ReleaseError(
            f"the archive of release {version} holds release {found.version}", reason="altered"
        )
    return found


async def restore(config: Config, store: ReleaseStore, vault: Vault) -> Restored:
    """What was in force when the last process ended.

    Raises:
        PackError: the policy file's packs are to run, and one is bad.
        StoreError: the database cannot be used.
    """
    vault.sweep()
    releases = {release.version: release for release in await store.all()}
    live = next((one for one in releases.values() if one.state is State.LIVE), None)
    notes: list[str] = []
    found: Verified | None = None
    while live is not None and found is None:
        found = _try(config, vault, live, notes)
        if found is None:
            await _reject(store, live, notes[-1])
            live = releases.get(live.before or 0)
            if live is not None:
                await _promote(store, live)
    sets = file_sets(config)
    expires: dict[str, float] = {}
    if found is not None:
        packs = packs_of(found.packs, f"release-{found.version}")
        sets = Sets(packs=packs, release=found.version)
        expires = found.ends
    if config.releases.development and (overrides := vault.overrides()):
        packs = overridden(sets.packs, overrides)
        sets = replace(sets, packs=packs, overrides=tuple(overrides))
    beside = next((one for one in releases.values() if one.state in BESIDE), None)
    if beside is not None:
        second = _try(config, vault, beside, notes)
        if second is None:
            await _reject(store, beside, notes[-1])
        else:
            packs = packs_of(second.packs, f"release-{second.version}")
            candidate = Beside(version=second.version, packs=packs, canary=beside.canary)
            sets = replace(sets, beside=candidate)
    return Restored(sets=sets, notes=tuple(notes), expires=expires)


def _try(config: Config, vault: Vault, release: Release, notes: list[str]) -> Verified | None:
    try:
        return read(vault, read_trust(config), release.version, keep=True)
    except DlpError as error:
        notes.append(
            f"release {release.version} was {release.state.value} and is not run: {error.message}"
        )
        return None


async def _reject(store: ReleaseStore, release: Release, why: str) -> None:
    rejected = replace(release, state=State.REJECTED, canary=None, reason=why)
    await store.record([rejected], [_step(release, State.REJECTED, why)])


async def _promote(store: ReleaseStore, release: Release) -> None:
    live = replace(release, state=State.LIVE, reason="")
    await store.record([live], [_step(release, State.LIVE, "what was live could not be run")])


def _step(release: Release, after: State, reason: str) -> ReleaseStep:
    return ReleaseStep(
        time=time.time(),
        version=release.version,
        who="gateway",
        what="restore",
        before=release.state.value,
        after=after.value,
        reason=reason,
    )
