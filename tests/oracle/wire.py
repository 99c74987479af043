"""A wire for frames that BPF_PROG_TEST_RUN cannot take: more than a page, up to 64 KB.

A veth pair in a network namespace of the process's own carries the classifier at its egress. A
packet socket puts frames on it; the programs run before `send` returns, and a dropped frame comes
back as ENOBUFS. The frames are not linear, as those of large TCP sends are not.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import subprocess
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_DEVICE = "wire0"
_MTU = 65_535


def leave_namespace() -> None:
    """Move this process into a new network namespace; it dies with the process."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")


class Wire:
    """An egress with the pinned classifier `program`, in the current network namespace."""

    def __init__(self, program: Path) -> None:
        for command in (
            f"ip link add {_DEVICE} mtu {_MTU} type veth peer name wire1 mtu {_MTU}",
            "sysctl -qw net.ipv6.conf.all.disable_ipv6=1",
            f"ip link set {_DEVICE} up",
            "ip link set wire1 up",
            f"tc qdisc add dev {_DEVICE} clsact",
            f"tc filter add dev {_DEVICE} egress bpf da object-pinned {program}",
        ):
            subprocess.run(command.split(), check=True, capture_output=True)
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        self._socket.bind((_DEVICE, 0))

    def send(self, frame: bytes) -> bool:
        """True where the frame passed."""
        try:
            self._socket.send(frame)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            return False
        return True

    def close(self) -> None:
        self._socket.close()
        subprocess.run(["ip", "link", "del", _DEVICE], check=True, capture_output=True)


def require_root() -> None:
    if os.geteuid() != 0:
        raise PermissionError("these tests load programs into the kernel: run them as root")
