"""The files of releases in the state directory: archives, the trust they led to, overrides.

    releases/VERSION.dlp        an archive, as it was uploaded
    releases/root.json          the newest root that a release led to
    releases/root.of            digest of the policy file's trust that it was reached from
    releases/development/       packs and signatures of development mode

Mode 0600, written whole or not at all. What is read here is verified anew by the caller.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import AsyncIterable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from dlp.errors import ReleaseError, StoreError

OWNER_ONLY: Final = 0o600
_ARCHIVE: Final = ".dlp"
_INCOMING: Final = "incoming-"
_OVERRIDE: Final = ".yaml"


class Vault:
    """The directory of releases; made on first use, mode 0700."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._overrides = directory / "development"

    def sweep(self) -> None:
        """Remove what an upload left that a dead process had begun."""
        for path in self._directory.glob(f"{_INCOMING}*"):
            path.unlink(missing_ok=True)

    async def receive(self, chunks: AsyncIterable[bytes], max_size: int) -> bytes:
        """The bytes of an upload, through a file that is gone afterwards.

        Raises:
            ReleaseError: they are more than `max_size`; `reason` is too_large.
            StoreError: there is no room for them.
        """
        size = 0
        with self._temporary() as (path, descriptor):
            async for chunk in chunks:
                size += len(chunk)
                if size > max_size:
                    raise ReleaseError(
                        f"the archive is larger than {max_size >> 10} KiB",
                        reason="too_large",
                        remedy="split it, or raise releases.max_size",
                    )
                with self._explained():
                    _write_all(descriptor, chunk)
            return path.read_bytes()

    def keep(self, version: int, raw: bytes) -> None:
        """Write an archive."""
        self._write(self._archive(version), raw)

    def has(self, version: int) -> bool:
        """Whether an archive is there."""
        return self._archive(version).is_file()

    def keep_only(self, versions: Collection[int]) -> None:
        """Remove the archives of all others. One that cannot be removed is tried the next time."""
        for path in self._directory.glob(f"*{_ARCHIVE}"):
            if path not in map(self._archive, versions):
                with contextlib.suppress(OSError):
                    path.unlink()

    def read(self, version: int) -> bytes:
        """An archive's bytes. Raises ReleaseError where it is not there."""
        try:
            return self._archive(version).read_bytes()
        except OSError as error:
            raise ReleaseError(
                f"the archive of release {version} cannot be read: {error.strerror}",
                reason="missing",
                remedy="upload it again",
            ) from error

    def root(self, trust: bytes) -> bytes:
        """The newest root known that was reached from this trust; else the trust itself.

        Another trust in the policy file begins anew: so an operator recovers from lost keys.
        """
        try:
            if (self._directory / "root.of").read_text() == hashlib.sha256(trust).hexdigest():
                return (self._directory / "root.json").read_bytes()
        except (OSError, UnicodeDecodeError):
            pass
        return trust

    def keep_root(self, trust: bytes, root: bytes) -> None:
        """Remember where a trust has led."""
        if root == self.root(trust):
            return
        # The digest first goes: of a crash between the two, the trust itself is what is left.
        (self._directory / "root.of").unlink(missing_ok=True)
        self._write(self._directory / "root.json", root)
        self._write(self._directory / "root.of", hashlib.sha256(trust).hexdigest().encode())

    def overrides(self) -> Mapping[str, bytes]:
        """What development mode put in, by file name without `.yaml`, in order."""
        return {
            path.stem: path.read_bytes() for path in sorted(self._overrides.glob(f"*{_OVERRIDE}"))
        }

    def keep_override(self, name: str, text: bytes) -> None:
        """Write an override: a pack by its name, a signature by its id, which has dots."""
        self._write(self._overrides / f"{name}{_OVERRIDE}", text)

    def forget_override(self, name: str) -> None:
        """Remove one."""
        (self._overrides / f"{name}{_OVERRIDE}").unlink(missing_ok=True)

    def forget_overrides(self) -> None:
        """Remove all of them."""
        for path in self._overrides.glob(f"*{_OVERRIDE}"):
            path.unlink(missing_ok=True)

    def _archive(self, version: int) -> Path:
        return self._directory / f"{version}{_ARCHIVE}"

    def _write(self, path: Path, data: bytes) -> None:
        with self._temporary() as (temporary, descriptor), self._explained():
            _write_all(descriptor, data)
            os.fsync(descriptor)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            temporary.replace(path)
            directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[tuple[Path, int]]:
        path = self._directory / f"{_INCOMING}{secrets.token_hex(8)}"
        with self._explained():
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(path, flags, OWNER_ONLY)
        try:
            yield path, descriptor
        finally:
            os.close(descriptor)
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"{self._directory} cannot be written: {error.strerror}",
                remedy="check that state_dir has room and is writable",
            ) from error


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
