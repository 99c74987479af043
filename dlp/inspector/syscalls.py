"""The system calls a locked-in worker may make, as a seccomp filter.

A classic BPF program, assembled here because the worker needs two dozen calls and libseccomp's
Python binding is not packaged for a virtual environment. Refused calls fail with EPERM; a call of
a foreign architecture ends the process. Sources: seccomp(2), linux/seccomp.h, linux/filter.h, and
the system call tables of kernel 6.1 (arch/x86/entry/syscalls, include/uapi/asm-generic/unistd.h).
"""

from __future__ import annotations

import errno
import struct
from typing import Final

# Receiving, sending, memory, time, signals, ending. Not among them: opening anything, sockets,
# processes, receiving descriptors (recvmsg), credentials, ioctl, ptrace.
_X86_64: Final = {
    "read": 0,
    "write": 1,
    "close": 3,
    "poll": 7,
    "munmap": 11,
    "brk": 12,
    "rt_sigaction": 13,
    "rt_sigprocmask": 14,
    "rt_sigreturn": 15,
    "sched_yield": 24,
    "mremap": 25,
    "madvise": 28,
    "setitimer": 38,
    "getpid": 39,
    "sendto": 44,
    "recvfrom": 45,
    "exit": 60,
    "sigaltstack": 131,
    "gettid": 186,
    "futex": 202,
    "restart_syscall": 219,
    "clock_gettime": 228,
    "clock_nanosleep": 230,
    "exit_group": 231,
    "ppoll": 271,
    "getrandom": 318,
}
_AARCH64: Final = {
    "close": 57,
    "read": 63,
    "write": 64,
    "ppoll": 73,
    "exit": 93,
    "exit_group": 94,
    "futex": 98,
    "setitimer": 103,
    "clock_gettime": 113,
    "clock_nanosleep": 115,
    "sched_yield": 124,
    "restart_syscall": 128,
    "sigaltstack": 132,
    "rt_sigaction": 134,
    "rt_sigprocmask": 135,
    "rt_sigreturn": 139,
    "getpid": 172,
    "gettid": 178,
    "sendto": 206,
    "recvfrom": 207,
    "brk": 214,
    "munmap": 215,
    "mremap": 216,
    "madvise": 233,
    "getrandom": 278,
}
# Allowed without PROT_EXEC only: what is parsed must not become code.
_X86_64_MAPPING: Final = {"mmap": 9, "mprotect": 10}
_AARCH64_MAPPING: Final = {"mmap": 222, "mprotect": 226}

# machine: (AUDIT_ARCH_*, plain calls, mapping calls)
_MACHINES: Final = {
    "x86_64": (0xC000_003E, _X86_64, _X86_64_MAPPING),
    "aarch64": (0xC000_00B7, _AARCH64, _AARCH64_MAPPING),
}

_PROT_EXEC = 4
_KILL_PROCESS = 0x8000_0000
_ERRNO = 0x0005_0000
_ALLOW = 0x7FFF_0000

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_BITS = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

_NUMBER = 0  # offsets in struct seccomp_data
_ARCHITECTURE = 4
_THIRD_ARGUMENT = 32  # low half of args[2] on a little-endian machine


def program(machine: str) -> bytes | None:
    """The filter as an array of struct sock_filter; None for a machine that is not known.

    `machine` as os.uname() gives it.
    """
    known = _MACHINES.get(machine)
    if known is None:
        return None
    architecture, plain, mapping = known
    code = [
        _instruction(_LOAD, value=_ARCHITECTURE),
        _instruction(_JUMP_EQUAL, if_true=1, value=architecture),
        _instruction(_RETURN, value=_KILL_PROCESS),
        _instruction(_LOAD, value=_NUMBER),
    ]
    for number in mapping.values():
        code += [
            _instruction(_JUMP_EQUAL, if_false=4, value=number),
            _instruction(_LOAD, value=_THIRD_ARGUMENT),
            _instruction(_JUMP_BITS, if_true=1, value=_PROT_EXEC),
            _instruction(_RETURN, value=_ALLOW),
            _instruction(_RETURN, value=_ERRNO | errno.EPERM),
        ]
    for number in plain.values():
        code += [
            _instruction(_JUMP_EQUAL, if_false=1, value=number),
            _instruction(_RETURN, value=_ALLOW),
        ]
    code.append(_instruction(_RETURN, value=_ERRNO | errno.EPERM))
    return b"".join(code)


def _instruction(code: int, *, if_true: int = 0, if_false: int = 0, value: int) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
