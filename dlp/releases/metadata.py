"""What a release says of itself: TUF `targets` metadata.

Its version grows from release to release, its `expires` bounds how long it may be
installed, its targets are the packs (`packs/NAME.yaml`) with length and SHA-256.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from tuf.api.metadata import Metadata, TargetFile, Targets

from dlp.errors import ReleaseError
from dlp.releases.trust import parse_metadata

PACKS: Final = 256
VERSION: Final = 2**31 - 1

_DIGEST = re.compile(r"[0-9a-f]{64}")
_PACK = re.compile(r"packs/([a-z0-9]+(?:-[a-z0-9]+)*)\.yaml")

Release = Metadata[Targets]


@dataclass(frozen=True, slots=True)
class PackFile:
    """A pack as a release lists it. `sha256` in hexadecimal, `length` in bytes."""

    name: str
    length: int
    sha256: str


def path_of(pack: str) -> str:
    """Where a pack lies in the archive."""
    return f"packs/{pack}.yaml"


def pack_of(path: str) -> str | None:
    """The inverse; None for a path that is no pack's."""
    found = _PACK.fullmatch(path)
    return found[1] if found and len(found[1]) <= 32 else None  # noqa: PLR2004 - as in packs


def create(packs: Mapping[str, bytes], *, version: int, expires: datetime) -> Release:
    """The metadata of a release, unsigned.

    Raises:
        ReleaseError: no pack, too many, or a version that is none.
    """
    if not 1 <= version <= VERSION:
        raise ReleaseError(f"a version is a number from 1 to {VERSION}", reason="version")
    if not 1 <= len(packs) <= PACKS:
        raise ReleaseError(f"a release holds 1 to {PACKS} packs", reason="malformed")
    targets = {}
    for name in sorted(packs):
        digest = hashlib.sha256(packs[name]).hexdigest()
        path = path_of(name)
        targets[path] = TargetFile(len(packs[name]), {"sha256": digest}, path)
    moment = expires.astimezone(UTC).replace(microsecond=0)
    return Metadata(Targets(version=version, expires=moment, targets=targets))


def parse(raw: bytes) -> Release:
    """Read a release's metadata; its signatures are not judged yet. Raises ReleaseError."""
    metadata: Release = parse_metadata(raw, "the release", Targets)
    if metadata.signed.delegations is not None:
        raise ReleaseError("the release delegates to others", reason="malformed")
    if metadata.signed.version > VERSION:
        raise ReleaseError(f"the release's version is above {VERSION}", reason="version")
    pack_files(metadata)
    return metadata


def pack_files(release: Release) -> tuple[PackFile, ...]:
    """The packs it lists, by name. Raises ReleaseError where it lists anything else."""
    found = []
    for path, target in sorted(release.signed.targets.items()):
        name = pack_of(path)
        digest = target.hashes.get("sha256", "")
        whole = len(target.hashes) == 1 and not target.unrecognized_fields
        if name is None or not whole or not _DIGEST.fullmatch(digest):
            raise ReleaseError("the release lists what is no pack", reason="malformed")
        found.append(PackFile(name, target.length, digest))
    if not 1 <= len(found) <= PACKS:
        raise ReleaseError(f"a release holds 1 to {PACKS} packs", reason="malformed")
    return tuple(found)
