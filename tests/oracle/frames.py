"""Frames for the oracle, from struct templates: a hundred thousand cases leave no time for scapy.

Checksums are left zero: the programs under test read none. Every flow number gives a five-tuple
of its own.
"""

from __future__ import annotations

import struct

from tests.oracle.cases import SEQUENCES, Carrier, Case
from tests.oracle.model import Segment

_ETHERNET = {
    4: bytes.fromhex("0200000000010200000000020800"),
    6: bytes.fromhex("02000000000102000000000286dd"),
}
_PROTOCOL = {Carrier.TCP: 6, Carrier.UDP: 17}
_IP4 = struct.Struct(">BBHHHBBHII")
_IP6 = struct.Struct(">IHBB16s16s")
_TCP = struct.Struct(">HHIIBBHHH")
_UDP = struct.Struct(">HHHH")
_SYN, _ACK, _PUSH = 0x02, 0x10, 0x08
_PORTS = 60_000


def frame(case: Case, segment: Segment, flow: int) -> bytes:
    """The packet that carries `segment`; its payload is the segment and nothing more."""
    payload = case.stream[segment.start : segment.end]
    source = 1024 + flow % _PORTS
    if case.carrier is Carrier.UDP:
        transport = _UDP.pack(source, 9000, 8 + len(payload), 0)
    else:
        sequence = case.initial + segment.start - (1 if segment.syn else 0)
        flags = _SYN if segment.syn else _ACK | _PUSH
        transport = _TCP.pack(source, 9000, sequence % SEQUENCES, 1, 0x50, flags, 0xFFFF, 0, 0)
    host = flow // _PORTS + 1
    size = len(transport) + len(payload)
    protocol = _PROTOCOL[case.carrier]
    if case.family == 4:
        addresses = (0x0A000000 + host, 0xC6336401)
        network = _IP4.pack(0x45, 0, 20 + size, 1, 0x4000, 64, protocol, 0, *addresses)
    else:
        address = bytes.fromhex("fd000000000000000000000000000000")
        ours = address[:8] + host.to_bytes(8, "big")
        network = _IP6.pack(0x60000000, size, protocol, 64, ours, address[:15] + b"\xff")
    return _ETHERNET[case.family] + network + transport + payload
