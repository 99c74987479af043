"""Named network namespaces: opening them, and entering one for a moment.

Names are those of `ip netns` (files under /run/netns). Nothing here creates or removes a
namespace, and nothing may be awaited while one is entered: the switch is of the calling thread.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from dlp.errors import DlpError, KernelError, PrivilegeError, UsageError

NETNS_DIR = Path("/run/netns")

_CLONE_NEWNET = 0x4000_0000
_NS_GET_NSTYPE = 0xB703  # ioctl_ns(2), kernel 4.11
_NAME_MAX = 255

_libc = ctypes.CDLL(None, use_errno=True)


class NetnsNotReadyError(DlpError):
    """The name is there and is no network namespace (yet).

    `ip netns add` creates an empty file and mounts the namespace over it a moment later, so
    that a caller who has just seen the name tries again.
    """


@dataclass(frozen=True, slots=True)
class NetnsHandle:
    """An open network namespace; it lives as long as this is open.

    Attributes:
        fd: close-on-exec descriptor, owned by the handle.
        inode: of the namespace in nsfs, unique among those alive on this host.
    """

    name: str
    fd: int
    inode: int

    def close(self) -> None:
        """Let go of the namespace."""
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def validate_name(name: str) -> str:
    """Return the name if it can stand under /run/netns. Raises UsageError."""
    if (
        not name
        or name in {".", ".."}
        or "/" in name
        or not name.isprintable()
        or len(os.fsencode(name)) > _NAME_MAX
    ):
        raise UsageError(
            f"{name!r} cannot be the name of a network namespace",
            remedy="use a name as `ip netns list` shows it: no slash, not '.' or '..'",
        )
    return name


def names(directory: Path = NETNS_DIR) -> tuple[str, ...]:
    """Names in the directory, sorted; empty where it does not exist."""
    try:
        return tuple(sorted(entry.name for entry in directory.iterdir()))
    except FileNotFoundError:
        return ()


def open_netns(name: str, directory: Path = NETNS_DIR) -> NetnsHandle:
    """Open a namespace by its name. The caller closes the handle.

    Raises:
        UsageError: the name is impossible.
        NetnsNotReadyError: the file is no network namespace, or not yet.
        KernelError: it does not exist or cannot be opened.
        PrivilegeError: this process may not open it.
    """
    path = directory / validate_name(name)
    try:
        # O_NONBLOCK: a FIFO of that name must not stop the daemon.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except PermissionError as error:
        raise PrivilegeError(f"{path} may not be opened", remedy="run as root") from error
    except OSError as error:
        raise KernelError(
            f"{path} cannot be opened: {error.strerror}",
            remedy=f"create it (ip netns add {name}) or take it off the list",
        ) from error
    try:
        kind = fcntl.ioctl(fd, _NS_GET_NSTYPE)
    except OSError:
        kind = 0
    if kind != _CLONE_NEWNET:
        os.close(fd)
        raise NetnsNotReadyError(
            f"{path} is not a network namespace",
            remedy=f"if it stays so, remove the stale file: ip netns delete {name}",
        )
    return NetnsHandle(name=name, fd=fd, inode=os.fstat(fd).st_ino)


@contextmanager
def entered(fd: int) -> Iterator[None]:
    """Put the calling thread into a network namespace, and back at the end.

    Sockets opened inside stay in that namespace. Must not span an await.

    Raises:
        PrivilegeError: CAP_SYS_ADMIN is missing.
        KernelError: the kernel refused, on the way in or back. In the latter case the thread
            is left in the wrong namespace and must not go on to use the network.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(fd, "enter the network namespace")
        try:
            yield
        finally:
            _setns(home, "return to the gateway's own network namespace")
    finally:
        os.close(home)


def _setns(fd: int, purpose: str) -> None:
    if _libc.setns(fd, _CLONE_NEWNET) == 0:
        return
    code = ctypes.get_errno()
    if code == errno.EPERM:
        raise PrivilegeError(
            f"not allowed to {purpose}", remedy="run as root, or grant CAP_SYS_ADMIN"
        )
    raise KernelError(
        f"cannot {purpose}: {os.strerror(code)}",
        remedy="check with `ip netns list` that the namespace is still there",
    )
