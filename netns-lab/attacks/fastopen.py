"""Data in the SYN (TCP Fast Open) that the rest of the value follows.

`first`: how many bytes of the value the SYN carries.
"""

from __future__ import annotations

import socket
import time

from attacks.target import Target, refused


def main(target: Target) -> None:
    """Send both parts."""
    value, first = target.secret, target.args["first"]
    with socket.socket(target.af, socket.SOCK_STREAM) as out, refused():
        out.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        out.settimeout(2)
        begin = b"order 17, card " + value[:first]
        out.sendto(begin, socket.MSG_FASTOPEN, (target.address, target.port))
        time.sleep(0.1)
        out.sendall(value[first:] + b", thanks\n")
        time.sleep(0.3)
