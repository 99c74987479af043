"""Marks that a process may set on its packets, none of which opens a way out.

SO_MARK (CAP_NET_RAW since 5.17), SO_PRIORITY, IP_TOS, IPV6 flow labels, IP_TRANSPARENT.
"""

from __future__ import annotations

import socket

from attacks.connection import drained, give_up
from attacks.target import Target, refused

SO_MARK, SO_PRIORITY, SO_TXREHASH = 36, 12, 74
IP_TRANSPARENT = 19
VALUES = (0, 1, 6, 0xD19, 0x7FFFFFFF)


def main(target: Target) -> None:
    """Each value with each option, whole and by datagram."""
    for value in VALUES:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            made = socket.socket(target.af, kind)
            for level, option, given in (
                (socket.SOL_SOCKET, SO_MARK, value),
                (socket.SOL_SOCKET, SO_PRIORITY, value & 0x7FFF),
                (socket.SOL_SOCKET, SO_TXREHASH, value & 1),
                (socket.IPPROTO_IP, socket.IP_TOS, value & 0xFC),
                (socket.IPPROTO_IP, IP_TRANSPARENT, 1),
            ):
                with refused():
                    made.setsockopt(level, option, given)
            made.settimeout(0.5)
            with refused():
                made.connect((target.address, target.port))
                made.sendall(target.payload)
            if kind == socket.SOCK_STREAM:
                drained(made, 0.2)
            give_up(made)
