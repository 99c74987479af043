import pytest
from attacks.frames import (
    PSH,
    SYN,
    Segment,
    ethernet,
    fragments4,
    fragments6,
    ip4,
    ip6,
    udp,
    udp4,
)
from scapy.layers.inet import IP, TCP, UDP, defragment
from scapy.layers.inet6 import IPv6, defragment6
from scapy.layers.l2 import Ether

FOUR = ("10.77.0.10", "203.0.113.10")
SIX = ("fd77::10", "2001:db8:113::10")


def checked(packet):
    """The packet as scapy builds it, checksums and lengths computed anew."""
    copy = packet.copy()
    for layer in (IP, UDP, TCP):
        if copy.haslayer(layer):
            copy[layer].chksum = None
    return bytes(copy.__class__(bytes(copy)))


@pytest.mark.parametrize("payload", [b"", b"odd", b"even"])
def test_datagrams(payload):
    """Checksums and lengths are those of an independent implementation."""

    four = IP(udp4(*FOUR, 20000, payload))
    six = IPv6(ip6(*SIX, 17, udp(*SIX, 20000, payload)))

    assert checked(four) == bytes(four)
    assert checked(six) == bytes(six)
    assert payload == bytes(four[UDP].payload) == bytes(six[UDP].payload)


def test_segments():
    """TCP over both versions, with an option that is padded."""

    made = Segment(
        source_port=1,
        port=20000,
        seq=2**32 + 7,
        ack=9,
        flags=SYN | PSH,
        options=b"\x03\x03\x07",
        payload=b"data",
    )
    four, six = IP(ip4(*FOUR, 6, made.packed(*FOUR))), IPv6(ip6(*SIX, 6, made.packed(*SIX)))

    for packet in (four, six):
        assert checked(packet) == bytes(packet)
        assert (7, "SP", b"data") == (
            packet[TCP].seq,
            str(packet[TCP].flags),
            bytes(packet[TCP].payload),
        )


def test_options():
    """Options are padded to whole words and counted in the header's length."""

    packet = IP(ip4(*FOUR, 17, b"rest", options=b"\x9e\x05abc"))

    assert (7, b"rest") == (packet.ihl, bytes(packet.payload))
    assert checked(packet) == bytes(packet)


def test_frame():
    """Destination first, then source."""

    frame = Ether(ethernet("02:00:00:00:00:01", "02:00:00:00:00:02", b"x", 0x88B5))

    assert ("02:00:00:00:00:01", "02:00:00:00:00:02", 0x88B5) == (frame.src, frame.dst, frame.type)


def test_fragments():
    """Fragments make the packet again, by an independent implementation."""

    four = udp4(*FOUR, 20000, b"0123456789" * 4)
    parts = [IP(part) for part in fragments4(four, [16, 8])]
    six = ip6(*SIX, 17, udp(*SIX, 20000, b"0123456789" * 4))
    parts6 = [IPv6(part) for part in fragments6(six, [16, 8])]

    assert 3 == len(parts) == len(parts6)
    assert b"0123456789" * 4 == bytes(defragment(parts)[0][UDP].payload)
    assert b"0123456789" * 4 == bytes(defragment6(parts6)[UDP].payload)
