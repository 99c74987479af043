"""Packets made by hand are scapy's, byte for byte."""

from __future__ import annotations

import random

import pytest

from tests import packets as pk


@pytest.mark.parametrize("size", [*range(18), 63, 64, 1400, 3000])
def test_datagram(size):
    """Lengths and checksums too."""
    rng = random.Random(size)
    for _ in range(5):
        payload, port = rng.randbytes(size), rng.randrange(1, 1 << 16)

        assert bytes(pk.udp(payload, port=port)) == pk.datagram(payload, port=port)


def test_sum_of_nothing():
    """Where all adds up to 0, all ones are sent."""
    for number in range(1 << 16):
        packet = pk.datagram(number.to_bytes(2, "big"), port=5)
        if packet[40:42] == b"\xff\xff":
            assert bytes(pk.udp(number.to_bytes(2, "big"), port=5)) == packet
            return
    pytest.fail("no payload adds up to 0")
