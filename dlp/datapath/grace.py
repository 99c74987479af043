"""Short waits for RCU: what a packet may still be in is not let go of before all processors agree.

Putting a link of TCX on a device, or taking it off, ends with synchronize_rcu() under the lock
that all network configuration shares (kernel/bpf: tcx_entry_sync). That takes two to five ticks,
8 to 20 ms; so long nothing else can be put anywhere. What else the network core changes under
that lock waits some 50 us, as synchronize_net() asks for an expedited grace period there. TCX does
not, so it is asked for by the host's setting, for the length of the call.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SETTING = Path("/sys/kernel/rcu_expedited")
_ON, _OFF = b"1", b"0"

# membarrier(2), of which this command is synchronize_rcu() (kernel/sched/membarrier.c).
_SYS_MEMBARRIER: Final = 324
_GLOBAL: Final = 1 << 0
# Where it is not to be had (nohz_full, a seccomp filter): far longer than a program runs.
LONG_S: Final = 0.05

_libc = ctypes.CDLL(None, use_errno=True)
_lock = threading.Lock()
_within = 0
_setting: int | None = None  # open while it is ours to put back


@contextlib.contextmanager
def expedited() -> Iterator[None]:
    """Grace periods that begin within are expedited; may be nested, and used by any thread.

    The setting is the host's: it is put back to what it was, and left alone where it is on
    already. Where it cannot be changed (no /sys, read only), the calls within take longer.
    """
    _begin()
    try:
        yield
    finally:
        _end()


def passed() -> None:
    """Return when every run of a program that had begun has ended: nothing of it is in use.

    Programs run under RCU. With one processor there is no other run: the kernel does not wait.
    """
    with expedited():
        done = _membarrier(_GLOBAL)
    if not done:
        time.sleep(LONG_S)


def _membarrier(command: int) -> bool:
    return int(_libc.syscall(_SYS_MEMBARRIER, command, 0, 0)) == 0


def _begin() -> None:
    global _within, _setting  # noqa: PLW0603 - one setting of the host, one count
    with _lock:
        _within += 1
        if _within > 1:
            return
        with contextlib.suppress(OSError):
            fd = os.open(SETTING, os.O_RDWR | os.O_CLOEXEC)
            try:
                if os.read(fd, 2).strip() == _OFF:
                    os.pwrite(fd, _ON, 0)
                    _setting, fd = fd, -1
            finally:
                if fd >= 0:
                    os.close(fd)


def _end() -> None:
    global _within, _setting  # noqa: PLW0603
    with _lock:
        _within -= 1
        if _within or _setting is None:
            return
        try:
            with contextlib.suppress(OSError):
                os.pwrite(_setting, _OFF, 0)
        finally:
            os.close(_setting)
            _setting = None
