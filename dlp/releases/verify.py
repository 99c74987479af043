"""An archive against a trust: taken whole, or refused with the reason.

Nothing of an archive is used before this: not its version, not the names in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tuf.api.metadata import Root, Targets

from dlp.errors import ReleaseError
from dlp.releases import archive, metadata, trust
from dlp.releases.metadata import PackFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A release that may be believed.

    Attributes:
        sha256: of the archive, in hexadecimal.
        size: of the archive, in bytes.
        expires, trust_expires: seconds since the epoch.
        signers: ids of the keys that signed it.
        root: the newest root that it leads to; what is to be trusted from here on.
        notes: why it would be refused, were it new: sentences, empty as a rule.
    """

    version: int
    sha256: str
    size: int
    expires: float
    trust_expires: float
    signers: tuple[str, ...]
    files: tuple[PackFile, ...]
    packs: Mapping[str, bytes] = field(repr=False)
    root: bytes = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def ends(self) -> dict[str, float]:
        """What of it expires, by name: seconds since the epoch."""
        return {f"release {self.version}": self.expires, "the trust": self.trust_expires}


def verify(
    raw: bytes,
    root: bytes,
    *,
    now: float,
    installed: int = 0,
    max_size: int = archive.MAX_SIZE,
    keep: bool = False,
) -> Verified:
    """Judge an archive.

    Args:
        raw: its bytes.
        root: the trusted root's bytes.
        now: seconds since the epoch.
        installed: the release must be newer than this version.
        keep: it is in force already: that it or the trust has expired meanwhile is noted
            in `notes`, and no reason to refuse it.

    Raises:
        ReleaseError: with `reason` malformed, truncated, too_large, altered, unknown_key,
            threshold, chain, expired, trust_expired, old or pack.
    """
    found = archive.read(raw, max_size=max_size)
    trusted = trust.parse(root)
    trust.check_self(trusted)
    newest = trust.follow(trusted, found.roots)
    release = metadata.parse(found.release)
    signers = trust.check_signatures(newest.signed, trust.RELEASES, release, "the release")
    files = metadata.pack_files(release)
    _check_packs(files, found.packs)
    notes = _expiries(newest.signed, release.signed, now)
    if notes and not keep:
        reason, told = notes[0]
        raise ReleaseError(told, reason=reason, remedy="have it renewed and signed again")
    if release.signed.version <= installed:
        raise ReleaseError(
            f"release {release.signed.version} is not newer than {installed}, which was "
            "installed here",
            reason="old",
            remedy="build it under a higher version",
        )
    return Verified(
        version=release.signed.version,
        sha256=hashlib.sha256(raw).hexdigest(),
        size=len(raw),
        expires=release.signed.expires.timestamp(),
        trust_expires=newest.signed.expires.timestamp(),
        signers=signers,
        files=files,
        packs=found.packs,
        root=newest.to_bytes(),
        notes=tuple(told for _, told in notes),
    )


def _check_packs(files: tuple[PackFile, ...], packs: Mapping[str, bytes]) -> None:
    listed = {one.name: one for one in files}
    for name, data in packs.items():
        one = listed.get(name)
        if one is None:
            raise ReleaseError(f"the pack {name} is not part of the release", reason="pack")
        if len(data) != one.length or hashlib.sha256(data).hexdigest() != one.sha256:
            raise ReleaseError(f"the pack {name} was altered", reason="altered")
    if missing := listed.keys() - packs.keys():
        raise ReleaseError(f"the pack {min(missing)} is missing", reason="pack")


def _expiries(root: Root, release: Targets, now: float) -> list[tuple[str, str]]:
    moment = datetime.fromtimestamp(now, UTC)
    found = []
    if release.is_expired(moment):
        day = release.expires.date().isoformat()
        found.append(("expired", f"release {release.version} has expired on {day}"))
    if root.is_expired(moment):
        day = root.expires.date().isoformat()
        found.append(("trust_expired", f"the trust has expired on {day}"))
    return found
