"""Ed25519 key pairs in files: NAME.key, which only its owner may read, and NAME.pub.

The private key is PEM (PKCS #8), under a passphrase on request; the public key is the
JSON object that TUF metadata holds, with its id. The one module here that touches files.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner, SSlibKey

from dlp.errors import Place, ReleaseError, UsageError

PRIVATE = ".key"
PUBLIC = ".pub"
OWNER_ONLY = 0o600

_LARGEST = 64 << 10
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEYID = re.compile(r"[0-9a-f]{64}")
_ED25519 = re.compile(r"[0-9a-f]{64}")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signatures are checked with.

    Attributes:
        id: 64 hexadecimal digits, the SHA-256 of the key as TUF writes it.
        value: the 32 bytes of the key in hexadecimal.
    """

    id: str
    value: str

    def tuf(self) -> SSlibKey:
        """As python-tuf takes it."""
        return SSlibKey(self.id, "ed25519", "ed25519", {"public": self.value})

    def document(self) -> bytes:
        """The content of a public key's file."""
        shown = {
            "keyid": self.id,
            "keytype": "ed25519",
            "scheme": "ed25519",
            "keyval": {"public": self.value},
        }
        return json.dumps(shown, indent=1).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that signs."""

    signer: CryptoSigner = field(repr=False)

    @property
    def public(self) -> PublicKey:
        """Its other half."""
        key = self.signer.public_key
        return PublicKey(key.keyid, key.keyval["public"])


def generate() -> PrivateKey:
    """A new key, not yet in any file."""
    return PrivateKey(CryptoSigner.generate_ed25519())


def create(directory: Path, name: str, *, passphrase: bytes = b"") -> PrivateKey:
    """Make a pair NAME.key (mode 0600) and NAME.pub; neither is ever written over.

    Raises:
        UsageError: the name is none, a file is there, or the directory cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            "not a key's name", remedy="1 to 64 letters, digits, dots, dashes, underscores"
        )
    key = Ed25519PrivateKey.generate()
    made = PrivateKey(CryptoSigner(key))
    encryption: KeySerializationEncryption = NoEncryption()
    if passphrase:
        encryption = BestAvailableEncryption(passphrase)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    _write_new(directory / f"{name}{PRIVATE}", pem, OWNER_ONLY)
    try:
        _write_new(directory / f"{name}{PUBLIC}", made.public.document(), 0o644)
    except UsageError:
        (directory / f"{name}{PRIVATE}").unlink()
        raise
    return made


def read_private(path: Path, *, passphrase: bytes = b"") -> PrivateKey:
    """A private key out of its file.

    Raises:
        ReleaseError: others may read it, it is no Ed25519 key, or the passphrase is wrong.
            `reason` is `passphrase` where one is needed or does not fit.
    """
    pem = _read(path, private=True)
    try:
        key = load_pem_private_key(pem, passphrase or None)
    except TypeError as error:
        needed = "needs a passphrase" if not passphrase else "has no passphrase"
        raise ReleaseError(
            f"the key {needed}",
            reason="passphrase",
            place=Place(path),
            remedy="--passphrase-file names a file that holds it",
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        wrong = "the passphrase does not fit, or this is no private key in PEM"
        reason = "passphrase" if passphrase else "key"
        raise ReleaseError(
            wrong if passphrase else "is no private key in PEM",
            reason=reason,
            place=Place(path),
            remedy="`dlp keys create` makes keys",
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ReleaseError(
            "is no Ed25519 key",
            reason="key",
            place=Place(path),
            remedy="`dlp keys create` makes keys",
        )
    return PrivateKey(CryptoSigner(key))


def read_public(path: Path) -> PublicKey:
    """A public key out of its file. Raises ReleaseError."""
    return parse_public(_read(path), Place(path))


def parse_public(raw: bytes, place: Place) -> PublicKey:
    """As `read_public`, from bytes. An id that is not the key's own digest is refused."""
    try:
        found = json.loads(raw)
        value = found["keyval"]["public"]
        public = PublicKey(found["keyid"], value)
        fits = (found["keytype"], found["scheme"]) == ("ed25519", "ed25519") and is_own_id(public)
    except (ValueError, TypeError, KeyError):
        fits, public = False, PublicKey("", "")
    if not fits:
        raise ReleaseError(
            "is no public key of Ed25519 under its own digest",
            reason="key",
            place=place,
            remedy="give the file NAME.pub that `dlp keys create` made",
        )
    return public


def is_own_id(key: PublicKey) -> bool:
    """Whether an id is what the key's digest makes it: nobody can give a key two ids."""
    if not (_KEYID.fullmatch(key.id) and _ED25519.fullmatch(key.value)):
        return False
    loaded = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.value))
    return SSlibKey.from_crypto(loaded).keyid == key.id


def _read(path: Path, *, private: bool = False) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as source:  # noqa: PTH123 - a descriptor, not a path
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise ReleaseError("is not a regular file", reason="key", place=Place(path))
            if private and found.st_mode & _OTHERS:
                raise ReleaseError(
                    f"is open to other users (mode {stat.S_IMODE(found.st_mode):04o})",
                    reason="key",
                    place=Place(path),
                    remedy=f"chmod 0600 {path} if nobody can have read it; else make a new key",
                )
            return source.read(_LARGEST)
    except OSError as error:
        raise ReleaseError(
            f"cannot be read: {error.strerror}",
            reason="key",
            place=Place(path),
            remedy="check path and rights",
        ) from error


def _write_new(path: Path, data: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError as error:
        raise UsageError(f"{path} exists", remedy="choose another name") from error
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", remedy="choose another --dir"
        ) from error
    try:
        with open(descriptor, "wb") as target:  # noqa: PTH123 - a descriptor, not a path
            target.write(data)
            target.flush()
            os.fsync(descriptor)
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
