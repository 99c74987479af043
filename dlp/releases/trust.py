"""The trust: a TUF root that says which keys may sign, how many must, and until when.

Two roles of it are used: `root` may change the trust, `targets` may sign releases
(https://theupdateframework.github.io/specification/latest/, 4.3 and 5.3). A new root is
valid where the root before it and the new one itself are satisfied by its signatures.

Stricter than TUF asks, so that no byte can change unnoticed: every signature in a file
must be valid and by a key that is listed, ids must be the keys' digests, and the file
must be in the one form that it is written in here.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Targets
from tuf.api.serialization import DeserializationError

from dlp.errors import ReleaseError
from dlp.releases.keys import PrivateKey, PublicKey, is_own_id

ROOT: Final = "root"
RELEASES: Final = "targets"
KEYS: Final = 32
LARGEST: Final = 256 << 10

_SIGNATURE = re.compile(r"[0-9a-f]{128}")

Trust = Metadata[Root]


def create(
    root_keys: Sequence[PublicKey],
    release_keys: Sequence[PublicKey],
    *,
    root_threshold: int,
    threshold: int,
    expires: datetime,
) -> Trust:
    """Version 1 of a trust, unsigned.

    Args:
        root_keys: may change the trust, `root_threshold` of them together.
        release_keys: may sign releases, `threshold` of them together.

    Raises:
        ReleaseError: a threshold that no set of the keys can meet.
    """
    root = Root(version=1, expires=_moment(expires), consistent_snapshot=False)
    for role, keys in ((ROOT, root_keys), (RELEASES, release_keys)):
        for key in keys:
            root.add_key(key.tuf(), role)
    root.roles[ROOT].threshold = root_threshold
    root.roles[RELEASES].threshold = threshold
    _check_root(root)
    return Metadata(root)


def change(
    trust: Trust,
    *,
    add_root: Iterable[PublicKey] = (),
    add_release: Iterable[PublicKey] = (),
    remove: Iterable[str] = (),
    root_threshold: int | None = None,
    threshold: int | None = None,
    expires: datetime,
) -> Trust:
    """The next version of a trust, unsigned.

    `remove`: ids of keys, or their first 8 digits or more, taken out of both roles.

    Raises:
        ReleaseError: no such key, or a threshold that no set of the keys can meet.
    """
    root = copy.deepcopy(trust.signed)
    root.version += 1
    root.expires = _moment(expires)
    for wanted in remove:
        for keyid in _named(root, wanted):
            for role in (ROOT, RELEASES):
                if keyid in root.roles[role].keyids:
                    root.revoke_key(keyid, role)
    for role, keys in ((ROOT, add_root), (RELEASES, add_release)):
        for key in keys:
            root.add_key(key.tuf(), role)
    root.roles[ROOT].threshold = root_threshold or root.roles[ROOT].threshold
    root.roles[RELEASES].threshold = threshold or root.roles[RELEASES].threshold
    _check_root(root)
    return Metadata(root)


def sign(metadata: Metadata[Root] | Metadata[Targets], key: PrivateKey) -> None:
    """Add a signature; one by the same key is replaced."""
    metadata.sign(key.signer, append=True)


def parse(raw: bytes, what: str = "the trust") -> Trust:
    """Read a root; its signatures are not judged yet. Raises ReleaseError."""
    metadata: Trust = parse_metadata(raw, what, Root)
    _check_root(metadata.signed)
    return metadata


def parse_metadata(raw: bytes, what: str, kind: type[Root | Targets]) -> Any:
    """Read metadata of a kind that stands in its one form. Raises ReleaseError.

    Returns a `Metadata[kind]`.
    """
    if len(raw) > LARGEST:
        raise ReleaseError(f"{what} is larger than {LARGEST >> 10} KiB", reason="malformed")
    try:
        metadata: Metadata[Root] = Metadata.from_bytes(raw)  # or another: asked for below
        whole = metadata.to_bytes() == raw
    except (DeserializationError, RepositoryError, RecursionError, ValueError) as error:
        raise ReleaseError(f"{what} is no TUF metadata", reason="malformed") from error
    extra = metadata.unrecognized_fields or metadata.signed.unrecognized_fields
    if not whole or extra:
        raise ReleaseError(
            f"{what} is not as dlp writes it: it was altered, or made by another program",
            reason="malformed",
        )
    if type(metadata.signed) is not kind:
        raise ReleaseError(f"{what} is metadata of another kind", reason="malformed")
    return metadata


def check_signatures(
    by: Root, role: str, metadata: Metadata[Root] | Metadata[Targets], what: str
) -> tuple[str, ...]:
    """Raise ReleaseError unless enough keys of a role signed, and nobody else did.

    Returns the ids of the keys that signed, sorted.
    """
    payload = metadata.signed_bytes
    allowed = set(by.roles[role].keyids)
    signers = []
    for keyid, signature in metadata.signatures.items():
        if keyid not in allowed:
            # Of a rotation: who signs by the right of the other root.
            if isinstance(metadata.signed, Root):
                continue
            raise ReleaseError(
                f"{what} is signed by the key {keyid[:8]}, which the trust does not list",
                reason="unknown_key",
                remedy="sign it with a key of the trust; `dlp keys trust show` lists them",
            )
        if signature.unrecognized_fields or not _SIGNATURE.fullmatch(signature.signature):
            raise _altered(what, keyid)
        if not _verifies(by, keyid, metadata, payload):
            raise _altered(what, keyid)
        signers.append(keyid)
    needed = by.roles[role].threshold
    if len(signers) < needed:
        raise ReleaseError(
            f"{what} has {len(signers)} of the {needed} signatures it needs",
            reason="threshold",
            remedy="have more holders of keys sign it",
        )
    return tuple(sorted(signers))


def check_self(trust: Trust, what: str = "the trust") -> None:
    """Raise ReleaseError unless a root satisfies itself and every signature in it is valid."""
    check_signatures(trust.signed, ROOT, trust, what)


def follow(trust: Trust, chain: Sequence[bytes]) -> Trust:
    """The newest root that a chain of roots leads to.

    Args:
        trust: what is trusted.
        chain: every root from version 1 on, or nothing. Those that are not newer than
            `trust` are judged too, by those before them, though nothing follows from them.

    Raises:
        ReleaseError: a link of the chain is not signed by the root before it and by
            itself, or one is missing.
    """
    newest = trust
    before: Trust | None = None
    for number, raw in enumerate(chain, 1):
        what = f"the root of version {number}"
        root = parse(raw, what)
        if root.signed.version != number:
            raise ReleaseError(
                f"the chain of roots lacks version {number}",
                reason="chain",
                remedy="build the release with every root from version 1 on (--root)",
            )
        _check_link(before, root, what)
        before = root
        if number <= newest.signed.version:
            continue
        if number != newest.signed.version + 1:
            raise ReleaseError("the chain of roots does not begin at 1", reason="chain")
        check_signatures(newest.signed, ROOT, root, what)
        newest = root
    return newest


def _check_link(before: Trust | None, root: Trust, what: str) -> None:
    known = set(root.signed.roles[ROOT].keyids)
    check_self(root, what)
    if before is not None:
        check_signatures(before.signed, ROOT, root, what)
        known |= set(before.signed.roles[ROOT].keyids)
    if unknown := root.signatures.keys() - known:
        raise _altered(what, min(unknown))


def _verifies(
    by: Root, keyid: str, metadata: Metadata[Root] | Metadata[Targets], payload: bytes
) -> bool:
    from securesystemslib.exceptions import (  # noqa: PLC0415
        UnverifiedSignatureError,
        VerificationError,
    )

    try:
        by.get_key(keyid).verify_signature(metadata.signatures[keyid], payload)
    except (UnverifiedSignatureError, VerificationError, ValueError):
        return False
    return True


def _altered(what: str, keyid: str) -> ReleaseError:
    return ReleaseError(
        f"{what} was altered: the signature of the key {keyid[:8]} does not fit",
        reason="altered",
    )


def _named(root: Root, wanted: str) -> list[str]:
    found = [keyid for keyid in root.keys if keyid == wanted]
    if not found and len(wanted) >= 8:  # noqa: PLR2004 - as they are shown
        found = [keyid for keyid in root.keys if keyid.startswith(wanted)]
    if len(found) != 1:
        raise ReleaseError(
            "the trust has no such key" if not found else "several keys begin so",
            reason="key",
            remedy="`dlp keys trust show` lists them",
        )
    return found


def _check_root(root: Root) -> None:
    for keyid, key in root.keys.items():
        value = key.keyval.get("public", "")
        kind = (key.keytype, key.scheme) == ("ed25519", "ed25519")
        if not kind or key.unrecognized_fields or not is_own_id(PublicKey(keyid, value)):
            raise ReleaseError(
                f"the trust's key {keyid[:8]} is no Ed25519 key under its own digest",
                reason="malformed",
            )
    if len(root.keys) > KEYS:
        raise ReleaseError(f"the trust has more than {KEYS} keys", reason="malformed")
    for role, what in ((ROOT, "change the trust"), (RELEASES, "sign releases")):
        keys, threshold = len(root.roles[role].keyids), root.roles[role].threshold
        if not 1 <= threshold <= keys:
            raise ReleaseError(
                f"{threshold} of {keys} keys would have to {what}",
                reason="threshold",
                remedy="choose a threshold from 1 to the number of keys",
            )


def _moment(when: datetime) -> datetime:
    return when.astimezone(UTC).replace(microsecond=0)
