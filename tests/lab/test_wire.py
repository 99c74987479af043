import struct

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt
from tap import ETH_P_ARP, ETH_P_IP, ETH_P_IP6
from wire import DISCARD, FIRST_PORT, PORTS, PROGRAM, assembled

FOUR = IP(src="10.77.0.10", dst="203.0.113.10")
SIX = IPv6(src="fd77::10", dst="2001:db8:113::10")
OPTIONS = IP(src="10.77.0.10", dst="203.0.113.10", options=[b"\x07\x07\x08\x01\x02\x03\x04"])


def taken(packet, ethertype):
    """Whether the filter takes a packet: its instructions, carried out here."""
    program = assembled(PROGRAM)
    data, at, accumulator, index = bytes(packet), 0, 0, 0
    while True:
        code, true, false, k = program[at]
        at += 1
        if code == 0x06:
            return bool(k)
        if code == 0x28:
            accumulator = ethertype if k == 0xFFFFF000 else struct.unpack_from("!H", data, k)[0]
        elif code == 0x48:
            accumulator = struct.unpack_from("!H", data, index + k)[0]
        elif code == 0x30:
            accumulator = data[k]
        elif code == 0xB1:
            index = (data[k] & 0xF) * 4
        else:
            holds = {0x15: accumulator == k, 0x35: accumulator >= k, 0x45: accumulator & k}[code]
            at += true if holds else false


@pytest.mark.parametrize(
    ("packet", "ethertype", "expected"),
    [
        (FOUR / TCP(dport=FIRST_PORT), ETH_P_IP, True),
        (FOUR / TCP(dport=FIRST_PORT + PORTS), ETH_P_IP, False),
        (FOUR / TCP(dport=10_000), ETH_P_IP, False),
        (OPTIONS / TCP(dport=FIRST_PORT), ETH_P_IP, True),
        (OPTIONS / TCP(dport=10_000), ETH_P_IP, False),
        (IP(frag=3, proto=6) / (b"\0\0\x10\0" * 3), ETH_P_IP, True),
        (FOUR / UDP(dport=10_000), ETH_P_IP, True),
        (FOUR / UDP(dport=DISCARD), ETH_P_IP, False),
        (FOUR / ICMP(), ETH_P_IP, True),
        (IP(proto=132) / b"sctp", ETH_P_IP, True),
        (SIX / TCP(dport=FIRST_PORT + 5), ETH_P_IP6, True),
        (SIX / TCP(dport=10_000), ETH_P_IP6, False),
        (SIX / UDP(dport=10_000), ETH_P_IP6, True),
        (SIX / UDP(dport=DISCARD), ETH_P_IP6, False),
        (SIX / IPv6ExtHdrDestOpt() / TCP(dport=10_000), ETH_P_IP6, True),
        (b"anything", 0x88B5, True),
        (b"anything", ETH_P_ARP, True),
    ],
)
def test_filter(packet, ethertype, expected):
    """All is taken but plain TCP to other sinks than those of attacks, and floods."""

    assert expected == taken(packet, ethertype)
