"""The least time after which TCP sends again, of one network namespace.

What is held leaves when TCP sends it again. `net.ipv4.tcp_rto_min_us` (kernel 6.11) bounds how soon
that is, 200 ms by default; sockets take it over when they are made, so those that exist keep what
they have. Blocking calls: they enter the namespace for a moment.
"""

from __future__ import annotations

from pathlib import Path

from dlp.errors import KernelError
from dlp.workloads.netns import entered

# Below, honest traffic is sent twice: an answer may take 40 ms by a delayed acknowledgement.
FLOOR_US = 45_000
# Below /proc/sys/net is the namespace of whoever opens it.
SYSCTL = Path("/proc/sys/net/ipv4/tcp_rto_min_us")


def lower(fd: int, to_us: int = FLOOR_US) -> int | None:
    """Lower the floor of the namespace `fd`; what it was before, in microseconds.

    None where nothing was changed: it is as low, or the kernel has no such setting.

    Raises:
        KernelError, PrivilegeError: the namespace cannot be entered, or the setting not changed.
    """
    with entered(fd):
        before = _read()
        if before is None or before <= to_us:
            return None
        _write(to_us)
        return before


def restore(fd: int, before_us: int, lowered_us: int = FLOOR_US) -> bool:
    """Put back what `lower` returned; False where somebody has changed it since, and it stays.

    Raises as `lower`.
    """
    with entered(fd):
        if _read() != lowered_us:
            return False
        _write(before_us)
        return True


def _read() -> int | None:
    try:
        return int(SYSCTL.read_text())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refused(error) from error


def _write(value_us: int) -> None:
    try:
        SYSCTL.write_text(str(value_us))
    except OSError as error:
        raise _refused(error) from error


def _refused(error: OSError) -> KernelError:
    return KernelError(
        f"{SYSCTL}: {error.strerror}",
        remedy="check that /proc/sys is writable where the gateway runs; held segments wait longer"
        " without it",
    )
