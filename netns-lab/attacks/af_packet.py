"""A datagram through a packet socket, past the stack; with `bypass` past TC egress too.

`type`: `raw` (own link-layer header) or `dgram` (the kernel writes it).
"""

from __future__ import annotations

import socket

from attacks.frames import ETH_IP, ethernet, udp4
from attacks.target import Target, refused

SOL_PACKET = 263
PACKET_QDISC_BYPASS = 20


def main(target: Target) -> None:
    """Send it."""
    packet = udp4(target.source, target.address, target.port, target.payload)
    mac = target.next_hop()
    raw = target.args["type"] == "raw"
    kind = socket.SOCK_RAW if raw else socket.SOCK_DGRAM
    with socket.socket(socket.AF_PACKET, kind, 0) as out:
        if target.args.get("bypass"):
            out.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        address = bytes.fromhex(mac.replace(":", ""))
        with refused():
            if raw:
                out.bind((target.device, 0))
                out.send(ethernet(target.mac, mac, packet))
            else:
                out.sendto(packet, (target.device, ETH_IP, 0, 0, address))
