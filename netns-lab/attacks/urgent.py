"""An urgent byte inside the value: the wire carries it, the reader of the stream does not get it.

TCP's urgent byte is taken out of the stream (RFC 9293, 3.8.5; MSG_OOB in send(2)).
"""

from __future__ import annotations

import socket
import time

from attacks.target import Target, refused


def main(target: Target) -> None:
    """Send the first half, a byte out of band, the second half."""
    value, half = target.secret, len(target.secret) // 2
    with target.tcp() as out, refused():
        out.sendall(b"order 17, card " + value[:half])
        time.sleep(0.05)
        out.send(b"x", socket.MSG_OOB)
        time.sleep(0.05)
        out.sendall(value[half:] + b", thanks\n")
        time.sleep(0.3)
