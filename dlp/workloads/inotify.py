"""inotify(7) for asyncio: directory changes as values.

Watches directories one by one, not trees. The standard library has no binding, and a few calls
through ctypes do not justify a dependency.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from dlp.errors import KernelError

_CREATE = 0x0000_0100
_DELETE = 0x0000_0200
_MOVED_FROM = 0x0000_0040
_MOVED_TO = 0x0000_0080
_DELETE_SELF = 0x0000_0400
_MOVE_SELF = 0x0000_0800
_OVERFLOW = 0x0000_4000
_IGNORED = 0x0000_8000
_ONLYDIR = 0x0100_0000

_MASK = _CREATE | _DELETE | _MOVED_FROM | _MOVED_TO | _DELETE_SELF | _MOVE_SELF | _ONLYDIR
_HEADER = struct.Struct("iIII")  # wd, mask, cookie, length of the name that follows
_READ = 64 * 1024

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `directory` is None where events were lost and all must be read anew.

    `name` is empty where the directory itself went; its watch has ended then.
    """

    directory: Path | None
    name: str
    appeared: bool


class Inotify:
    """A set of watched directories. Belongs to one event loop; close it at the end."""

    def __init__(self) -> None:
        self._fd = _libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._fd < 0:
            raise KernelError(
                f"inotify is not available: {os.strerror(ctypes.get_errno())}",
                remedy="raise fs.inotify.max_user_instances",
            )
        self._directories: dict[int, Path] = {}
        self._watches: dict[Path, int] = {}

    def add(self, directory: Path) -> bool:
        """Watch a directory; False where it does not exist. Watching twice is harmless.

        Raises KernelError where the kernel's limit of watches is reached.
        """
        wd = _libc.inotify_add_watch(self._fd, os.fsencode(directory), _MASK)
        if wd < 0:
            code = ctypes.get_errno()
            if code in {errno.ENOENT, errno.ENOTDIR}:
                return False
            raise KernelError(
                f"{directory} cannot be watched: {os.strerror(code)}",
                remedy="raise fs.inotify.max_user_watches",
            )
        self._directories[wd] = directory
        self._watches[directory] = wd
        return True

    async def wait(self, timeout: float | None) -> tuple[Change, ...]:  # noqa: ASYNC109
        """Changes since the last call; empty when the time (seconds) is up."""
        changes = tuple(self._read())
        if changes:
            return changes
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._fd, readable.set)
        try:
            async with asyncio.timeout(timeout):
                await readable.wait()
        except TimeoutError:
            return ()
        finally:
            loop.remove_reader(self._fd)
        return tuple(self._read())

    def close(self) -> None:
        """End all watches."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _read(self) -> Iterator[Change]:
        try:
            data = os.read(self._fd, _READ)
        except BlockingIOError:
            return
        position = 0
        while position < len(data):
            wd, mask, _, length = _HEADER.unpack_from(data, position)
            start = position + _HEADER.size
            position = start + length
            name = os.fsdecode(data[start:position].rstrip(b"\0"))
            change = self._change(wd, mask, name)
            if change is not None:
                yield change

    def _change(self, wd: int, mask: int, name: str) -> Change | None:
        if mask & _OVERFLOW:
            return Change(directory=None, name="", appeared=True)
        directory = self._directories.get(wd)
        if directory is None:
            return None
        if mask & (_IGNORED | _DELETE_SELF | _MOVE_SELF):
            # The directory may have been made and watched anew before this was read.
            del self._directories[wd]
            if self._watches.get(directory) == wd:
                del self._watches[directory]
                _libc.inotify_rm_watch(self._fd, wd)
            return Change(directory=directory, name="", appeared=False)
        return Change(directory=directory, name=name, appeared=bool(mask & (_CREATE | _MOVED_TO)))
