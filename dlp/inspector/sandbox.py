"""A process that locks itself in: after `enter` it can compute, and use one socket.

Each step stands by itself and is tried by a test that asks a locked-in process what it can still
do. All that the process will ever import or open must be there before: afterwards no file can be
opened, not even a module's.
"""

from __future__ import annotations

import ctypes
import enum
import os
import resource
from collections.abc import Callable
from dataclasses import dataclass

from dlp.inspector import syscalls

NOBODY = 65534
MEMORY = 512 * 1024 * 1024

_FILES = 16  # poll(2) refuses more entries than this, so it cannot be 0

_CLONE_NEWNS = 0x0002_0000
_CLONE_NEWUTS = 0x0400_0000
_CLONE_NEWIPC = 0x0800_0000
_CLONE_NEWNET = 0x4000_0000

_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2

_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REC, _MS_PRIVATE = 0x4000, 0x4_0000
_MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


class Step(enum.StrEnum):
    """What `enter` does, in this order."""

    DESCRIPTORS = "descriptors"
    NAMESPACES = "namespaces"
    EMPTY_ROOT = "empty-root"
    LIMITS = "limits"
    IDENTITY = "identity"
    UNDUMPABLE = "undumpable"
    NO_NEW_PRIVILEGES = "no-new-privileges"
    SYSCALLS = "syscalls"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Steps taken, and those this host or this user does not allow."""

    taken: tuple[Step, ...]
    missing: tuple[Step, ...]


def enter(socket_fd: int, *, memory: int = MEMORY) -> Sandbox:
    """Lock the calling process in for good; it keeps `socket_fd` and the standard streams.

    Args:
        socket_fd: descriptor to keep.
        memory: bound of the address space in bytes.

    Must be called from a process with one thread. A step that fails is named in the result, and
    the others are still taken: without root there is no other user to become.
    """
    steps: dict[Step, Callable[[], None]] = {
        Step.DESCRIPTORS: lambda: close_descriptors(socket_fd),
        Step.NAMESPACES: leave_namespaces,
        Step.EMPTY_ROOT: leave_files,
        Step.LIMITS: lambda: limit_resources(memory),
        Step.IDENTITY: become_nobody,
        Step.UNDUMPABLE: hide_memory,
        Step.NO_NEW_PRIVILEGES: refuse_privileges,
        Step.SYSCALLS: filter_syscalls,
    }
    taken: list[Step] = []
    missing: list[Step] = []
    for step, take in steps.items():
        try:
            take()
        except (OSError, ValueError):
            missing.append(step)
        else:
            taken.append(step)
    return Sandbox(tuple(taken), tuple(missing))


def close_descriptors(keep: int) -> None:
    """Close all but the standard streams and one descriptor."""
    os.closerange(3, keep)
    os.closerange(max(keep + 1, 3), os.sysconf("SC_OPEN_MAX"))


def leave_namespaces() -> None:
    """Into new network, IPC and UTS namespaces. Without root: OSError."""
    _check(_libc.unshare(_CLONE_NEWNET | _CLONE_NEWIPC | _CLONE_NEWUTS))


def leave_files() -> None:
    """Make an empty, read-only file system the root. Without root: OSError."""
    # First of all, and checked: what follows would take the host's files away.
    _check(_libc.unshare(_CLONE_NEWNS))
    _mount(b"/", None, _MS_REC | _MS_PRIVATE, None)
    # Any directory will do as a place to mount on; this one is always there.
    flags = _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    _mount(b"/proc", b"tmpfs", flags, b"size=4k,nr_inodes=2")
    os.chdir("/proc")
    try:
        # pivot_root(2), "pivot_root(".", ".")": also lets go of the host's mounts, so that no
        # network namespace stays alive because this process still has it mounted.
        _check(_libc.pivot_root(b".", b"."))
        _check(_libc.umount2(b".", _MNT_DETACH))
    except OSError:
        # An initial ramfs cannot be pivoted away.
        os.chroot(".")
    os.chdir("/")


def limit_resources(memory: int = MEMORY) -> None:
    """No more than `memory` bytes, no new descriptors to speak of, no files, cores, processes."""
    for name, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_NOFILE, _FILES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
    ):
        resource.setrlimit(name, (most, most))


def become_nobody() -> None:
    """Drop every group and user identity, and with them all capabilities. Without root: OSError."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def hide_memory() -> None:
    """No core dump, and no other process of this user may trace this one.

    After `become_nobody`: a change of user sets this flag anew.
    """
    _prctl(_PR_SET_DUMPABLE, 0)


def refuse_privileges() -> None:
    """No set-user-id program gives anything any more."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def filter_syscalls() -> None:
    """Allow the calls in `syscalls` only. Needs `refuse_privileges`.

    OSError on machines other than x86_64 and aarch64, and where the kernel lacks seccomp.
    """
    code = syscalls.program(os.uname().machine)
    if code is None:
        raise OSError("no list of system calls for this machine")
    program = _Program(len(code) // 8, code)
    _prctl(
        _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.cast(ctypes.pointer(program), ctypes.c_void_p)
    )


def _prctl(option: int, *arguments: int | ctypes.c_void_p) -> None:
    """prctl(2). Its arguments are longs, and some options refuse stray upper halves."""
    words = [
        ctypes.c_ulong(argument) if isinstance(argument, int) else argument
        for argument in (*arguments, 0, 0, 0, 0)[:4]
    ]
    _check(_libc.prctl(option, *words))


def _mount(target: bytes, kind: bytes | None, flags: int, options: bytes | None) -> None:
    _check(_libc.mount(b"none", target, kind, ctypes.c_ulong(flags), options))


def _check(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
