"""Short waits for RCU: what a packet may still be in is not let go of before all processors agree.

Putting a link of TCX on a device, or taking it off, ends with synchronize_rcu() under the lock
that all network configuration shares (kernel/bpf: tcx_entry_sync). That takes two to five ticks,
8 to 20 ms; so long nothing else can be put anywhere. What else the network core changes under
that lock waits some 50 us, as synchronize_net() asks for an expedited grace period there. TCX does
not, so it is asked for by the host's setting, for the length of the call.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

SETTING = Path("/sys/kernel/rcu_expedited")
_ON, _OFF = b"1", b"0"

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
