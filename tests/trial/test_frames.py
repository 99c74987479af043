"""Frames made by hand are what scapy reads them as."""

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether

from dlp.trial import frames


@pytest.mark.parametrize("number", [0, 1, 59_999, 60_000, 1_234_567])
def test_segment(number):
    """A TCP segment of its conversation; the number can be read out of it."""
    packet = Ether(frames.segment(number, 7, b"payload"))

    assert b"payload" == bytes(packet[TCP].payload)
    assert "PA" == packet[TCP].flags
    assert Ether(frames.syn(number))[TCP].seq + 1 + 7 == packet[TCP].seq
    assert len(bytes(packet[IP])) == packet[IP].len
    assert number == frames.number_of(packet[IP].src, packet[TCP].sport)


def test_syn():
    """It opens a connection and carries nothing."""
    packet = Ether(frames.syn(3))

    assert "S" == packet[TCP].flags
    assert b"" == bytes(packet[TCP].payload)


def test_datagram():
    """A UDP datagram with its length."""
    packet = Ether(frames.datagram(5, b"payload"))

    assert (b"payload", 15) == (bytes(packet[UDP].payload), packet[UDP].len)
    assert 5 == frames.number_of(packet[IP].src, packet[UDP].sport)


def test_numbers_are_apart():
    """No two conversations share their ends."""
    ends = {(IP(frame[14:]).src, frame[34:36]) for frame in map(frames.syn, range(0, 300_000, 997))}

    assert len(range(0, 300_000, 997)) == len(ends)
