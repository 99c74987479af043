"""How releases come in: verified, written down, compiled.

    bytes ─► verify ─► kept, `verified` ─► compile (a process) ─► `compiled`, or `rejected`

Nothing of it changes what runs.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import replace
from typing import Final

from dlp.enforcement.audit import Audit
from dlp.enforcement.loaded import Loaded, Sets
from dlp.enforcement.running import Runner
from dlp.enforcement.succession import step
from dlp.enforcement.vault import Vault
from dlp.errors import ConflictError, ReleaseError
from dlp.releases.content import check_fit, packs_of
from dlp.releases.life import State
from dlp.releases.verify import Verified, verify
from dlp.service import Release, ReleasePack
from dlp.signatures.pack import Pack
from dlp.store.releases import ReleaseStore

# Of one that is not further and that nobody works on, the process that did has ended.
_AGAIN: Final = frozenset({State.UPLOADED, State.VERIFIED, State.REJECTED})


class Intake:
    """Takes archives. The caller sees to it that one release arrives at a time."""

    def __init__(self, store: ReleaseStore, vault: Vault, runner: Runner, audit: Audit) -> None:
        self._store = store
        self._vault = vault
        self._runner = runner
        self._audit = audit

    async def known(self, raw: bytes) -> Release | None:
        """The release that these very bytes are, where they were taken before, and compiled.

        Its archive is there again then, if it was removed as no longer needed.
        """
        digest = hashlib.sha256(raw).hexdigest()
        for one in await self._store.all():
            if one.sha256 == digest and one.state not in _AGAIN:
                if not self._vault.has(one.version):
                    await asyncio.to_thread(self._vault.keep, one.version, raw)
                return one
        return None

    async def arrived(self, raw: bytes, trust: bytes, by: str) -> tuple[Release, Verified]:
        """Verify an archive and keep it.

        Raises:
            ReleaseError: it is refused.
            ConflictError: its version is there with another content.
        """
        verified = await self._verified(raw, trust, by)
        known = await self._store.get(verified.version)
        if known is not None and not _may_come_again(known, verified):
            raise ConflictError(
                f"release {verified.version} is there with another content",
                state=known.state.value,
                remedy="build it under a higher version",
            )
        await asyncio.to_thread(self._vault.keep, verified.version, raw)
        release = Release(
            version=verified.version,
            state=State.VERIFIED,
            sha256=verified.sha256,
            size=verified.size,
            uploaded=time.time(),
            expires=verified.expires,
            signers=verified.signers,
            packs=(),
            signatures=0,
        )
        before, arrived = known.state.value if known else "", State.UPLOADED.value
        told = f"signed by {', '.join(signer[:8] for signer in verified.signers)}"
        await self._audit.write(
            [release],
            [
                step(release.version, by, "upload", before, arrived),
                step(release.version, by, "verify", arrived, State.VERIFIED.value, told),
            ],
        )
        await asyncio.to_thread(self._vault.keep_root, trust, verified.root)
        return release, verified

    async def compiled(self, verified: Verified) -> Loaded:
        """The release, ready to run. Raises DlpError where it cannot."""
        packs = await asyncio.to_thread(packs_in, verified)
        await asyncio.to_thread(check_fit, packs)
        sets = Sets(packs=packs, release=verified.version)
        return await self._runner.make(self._runner.config, sets)

    async def _verified(self, raw: bytes, trust: bytes, by: str) -> Verified:
        root = self._vault.root(trust)
        most = self._runner.config.releases.max_size
        floor = max((one.version for one in await self._store.all() if one.went_live), default=0)
        try:
            return await asyncio.to_thread(
                verify, raw, root, now=time.time(), installed=floor, max_size=most
            )
        except ReleaseError as error:
            refused = step(0, by, "upload", "", State.REJECTED.value, error.message)
            await self._audit.write([], [refused])
            raise


def _may_come_again(known: Release, verified: Verified) -> bool:
    same = known.sha256 == verified.sha256
    return known.state is State.REJECTED or (same and known.state in _AGAIN)


def described(release: Release, loaded: Loaded) -> Release:
    """The release, with what was compiled of it."""
    return replace(
        release,
        packs=tuple(
            ReleasePack(name=pack.name, version=pack.version, signatures=len(pack.signatures))
            for pack in loaded.sets.packs
        ),
        signatures=len(loaded.image.signatures),
        image=loaded.image.version,
    )


def packs_in(verified: Verified) -> tuple[Pack, ...]:
    """The packs of a release. Raises PackError."""
    return packs_of(verified.packs, f"release-{verified.version}")
