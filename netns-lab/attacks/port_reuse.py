"""A connection that is blocked, and another from the same port right after it.

The first sends `card` and is reset by its owner; the second sends `marker`, which is clean and
must arrive, and then `again` in two parts.
"""

from __future__ import annotations

import socket
import struct
import time

from attacks.target import Target, refused

RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no time


def main(target: Target) -> None:
    """Both connections."""
    first = connected(target, 0)
    port = first.getsockname()[1]
    with first, refused():
        first.sendall(b"order 17, card " + target.secrets["card"].encode() + b", thanks\n")
        time.sleep(0.2)
        first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    time.sleep(0.05)
    with connected(target, port) as second, refused():
        second.sendall(b"a clean text: " + target.secrets["marker"].encode() + b"\n")
        time.sleep(0.2)
        value = target.secrets["again"].encode()
        second.sendall(b"order 18, card " + value[:8])
        time.sleep(0.05)
        second.sendall(value[8:] + b", thanks\n")
        time.sleep(0.3)


def connected(target: Target, port: int) -> socket.socket:
    """A connection from a port, 0 for any."""
    made = socket.socket(target.af, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.settimeout(3)
    made.bind((target.source, port))
    made.connect((target.address, target.port))
    return made
