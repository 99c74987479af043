"""Packets of the test runs and the arithmetic of costs."""

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from bench import perbyte
from bench.perbyte import Cost


def test_the_measured_packet_is_a_udp_datagram_with_the_payload():
    """The classifier must take the whole way, not an early exit for a malformed packet."""
    packet = Ether(perbyte.udp(b"payload"))

    assert b"payload" == bytes(packet[UDP].payload)
    assert len(b"payload") + 28 == packet[IP].len
    assert 8125 == packet[UDP].dport


def test_costs_per_byte_and_packet():
    """Both are taken from the same nanoseconds."""
    cost = Cost(nanoseconds=600, bytes=300, packets=3)

    assert 2.0 == cost.per_byte
    assert 200.0 == cost.per_packet
