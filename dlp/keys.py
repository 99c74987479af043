"""The key of the digests: 32 random bytes in the state directory.

Whoever reads it can find a short value, as a card number, behind its digest by trying. So
both the file (0600) and its directory (0700) are for the gateway's user only, and a wider
mode is refused, not mended: by then others may have read the key.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from dlp.errors import StoreError

NAME = "hmac.key"
LENGTH = 32

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def load_or_create(state_dir: Path) -> bytes:
    """The key of a state directory; both are made where they are missing.

    Raises:
        StoreError: others may read them, they belong to somebody else, or cannot be used.
    """
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_directory(state_dir)
        try:
            return _read(state_dir / NAME)
        except FileNotFoundError:
            _create(state_dir)
            return _read(state_dir / NAME)
    except OSError as error:
        raise StoreError(
            f"the digests' key in {state_dir} cannot be used: {error.strerror or 'i/o error'}",
            remedy="run as root, or set another state_dir",
        ) from error


def _check_directory(state_dir: Path) -> None:
    found = state_dir.stat()
    if found.st_uid not in {0, os.geteuid()}:
        raise StoreError(
            f"{state_dir} belongs to another user",
            remedy=f"chown root {state_dir}, or set another state_dir",
        )
    if found.st_mode & _OTHERS:
        raise StoreError(
            f"{state_dir} is open to other users (mode {stat.S_IMODE(found.st_mode):04o})",
            remedy=f"chmod 0700 {state_dir}",
        )


def _read(path: Path) -> bytes:
    # NONBLOCK: a pipe put there must not hang the gateway.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as source:  # noqa: PTH123 - a descriptor, not a path
        found = os.fstat(descriptor)
        remove = f"remove {path}: a new key is made, and exceptions need new digests"
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(f"{path} is not a regular file", remedy=remove)
        if found.st_uid not in {0, os.geteuid()}:
            raise StoreError(f"{path} belongs to another user", remedy=remove)
        if found.st_mode & _OTHERS:
            raise StoreError(
                f"{path} is open to other users (mode {stat.S_IMODE(found.st_mode):04o})",
                remedy=f"chmod 0600 {path} if nobody can have read it; else {remove}",
            )
        key = source.read(LENGTH + 1)
    if len(key) != LENGTH:
        raise StoreError(f"{path} does not hold {LENGTH} bytes", remedy=remove)
    return key


def _create(state_dir: Path) -> None:
    """Write a new key, whole or not at all; of two that race, one wins for both."""
    temporary = state_dir / f"{NAME}.{secrets.token_hex(8)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as target:  # noqa: PTH123 - a descriptor, not a path
            target.write(secrets.token_bytes(LENGTH))
            target.flush()
            os.fsync(descriptor)
        with contextlib.suppress(FileExistsError):
            os.link(temporary, state_dir / NAME)
    finally:
        temporary.unlink()
    directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
