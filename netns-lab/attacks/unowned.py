"""TCP segments that belong to no socket.

`way`: `raw` (SOCK_RAW of TCP), `header` (SOCK_RAW with its own IP header), `sock_packet` (the
packet socket of Linux 2.0), `syn` (data in a SYN by SOCK_RAW).
"""

from __future__ import annotations

import ctypes
import socket
import struct

from attacks.frames import ACK, ETH_IP, PSH, SYN, Segment, ethernet, ip4
from attacks.target import Impossible, Target, refused

SOCK_PACKET = 10
TCP = socket.IPPROTO_TCP


def main(target: Target) -> None:
    """Send one.

    Raises:
        Impossible: the kernel has no SOCK_PACKET.
    """
    way = target.args["way"]
    made = Segment(
        source_port=40_000,
        port=target.port,
        seq=1_000,
        flags=SYN if way == "syn" else PSH | ACK,
        payload=target.payload,
    )
    segment = made.packed(target.source, target.address)
    if way == "sock_packet":
        by_device(target, ip4(target.source, target.address, TCP, segment))
        return
    header = way == "header"
    packet = ip4(target.source, target.address, TCP, segment) if header else segment
    protocol = socket.IPPROTO_RAW if header else TCP
    with socket.socket(target.af, socket.SOCK_RAW, protocol) as out, refused():
        out.sendto(packet, (target.address, 0))


def by_device(target: Target, packet: bytes) -> None:
    """A frame by SOCK_PACKET, whose address is the device's name (packet(7))."""
    hop = target.next_hop()
    try:
        out = socket.socket(socket.AF_PACKET, SOCK_PACKET, socket.htons(ETH_IP))
    except OSError as error:
        raise Impossible(f"SOCK_PACKET: {error.strerror}") from error
    with out:
        name = target.device.encode().ljust(14, b"\0")
        address = struct.pack("=H", socket.AF_PACKET) + name
        send(out.fileno(), ethernet(target.mac, hop, packet), address)


def send(descriptor: int, frame: bytes, address: bytes) -> None:
    """Python cannot write this kind of address: by libc. What is refused is no error."""
    ctypes.CDLL(None).sendto(descriptor, frame, len(frame), 0, address, len(address))
