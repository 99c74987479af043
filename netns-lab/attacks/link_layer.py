"""Frames that are not plain IP, by packet socket: VLAN tags, odd ethertypes, 802.3 lengths.

`kind`: `priority` (tag of VLAN 0: receivers take it for untagged), `vlan`, `double` (two tags),
`ethertype` (for local experiments), `length` (802.3), `arp` (the value behind an ARP request).
"""

from __future__ import annotations

import socket
import struct

from attacks.frames import ETH_IP, ethernet, udp4
from attacks.target import Target, refused

VLAN, SERVICE_VLAN, EXPERIMENTAL, ARP = 0x8100, 0x88A8, 0x88B5, 0x0806
SNAP = bytes.fromhex("aaaa03000000")


def main(target: Target) -> None:
    """Send one frame."""
    hop = target.next_hop()
    packet = udp4(target.source, target.address, target.port, target.payload)
    kinds = {
        "priority": (VLAN, tag(0) + packet),
        "vlan": (VLAN, tag(5) + packet),
        "double": (SERVICE_VLAN, tag(5, VLAN) + tag(6) + packet),
        "ethertype": (EXPERIMENTAL, target.payload),
        "length": (len(SNAP + target.payload), SNAP + target.payload),
        "arp": (ARP, arp_request(target) + target.payload),
    }
    ethertype, payload = kinds[target.args["kind"]]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
        out.bind((target.device, 0))
        with refused():
            out.send(ethernet(target.mac, hop, payload, ethertype))


def tag(vlan: int, inner: int = ETH_IP) -> bytes:
    """A tag behind its ethertype (IEEE 802.1Q)."""
    return struct.pack("!HH", vlan, inner)


def arp_request(target: Target) -> bytes:
    """Who has the next hop (RFC 826)."""
    own = bytes.fromhex(target.mac.replace(":", "")) + socket.inet_aton(target.sources[4])
    head = struct.pack("!HHBBH", 1, ETH_IP, 6, 4, 1)
    return head + own + bytes(6) + socket.inet_aton(target.gateways[4])
