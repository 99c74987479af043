import itertools
import struct

import pytest
from leaks import LeakSearch
from planted import Planted, plant
from scapy.layers.inet import IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, fragment6
from views import ETH_IP, ETH_IP6, FrameWatch, Pieces, Views
from wire import HEADER

FOUR = IP(src="10.77.0.10", dst="203.0.113.10")
SIX = IPv6(src="fd77::10", dst="2001:db8:113::10")
CARD = Planted(scenario="s", name="card", kind="visa", value=plant("visa", "views"))
HALF = len(CARD.value) // 2


def segment(seq, payload, ip=FOUR):
    return bytes(ip / TCP(sport=40000, dport=20000, seq=seq % 2**32) / payload)


def found(*packets, ethertype=ETH_IP):
    views = Views()
    for packet in packets:
        views.add(ethertype, packet)
    return CARD in set().union(*map(LeakSearch([CARD]).in_bytes, views.changed()))


@pytest.mark.parametrize("first", [1000, 2**32 - 3])
def test_segments_in_any_order(first):
    """Two halves make the whole whichever comes first, also where the numbers wrap."""

    one, two = segment(first, CARD.value[:HALF]), segment(first + HALF, CARD.value[HALF:])

    assert found(one, two)
    assert found(two, one)
    assert not found(one)


def test_both_readings_of_an_overlap():
    """A value is seen whether a receiver keeps the first or the last of equal places."""

    whole, junk = segment(1000, CARD.value), segment(1000, b"." * len(CARD.value))

    assert found(whole, junk)
    assert found(junk, whole)


def test_a_hole_stays_a_hole():
    """A byte that never came is not bridged."""

    assert not found(segment(1000, CARD.value[:HALF]), segment(1001 + HALF, CARD.value[HALF + 1 :]))


def test_connections_are_apart():
    """Halves of different connections make nothing."""

    other = bytes(FOUR / TCP(sport=40001, dport=20000, seq=1000 + HALF) / CARD.value[HALF:])

    assert not found(segment(1000, CARD.value[:HALF]), other)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_fragments_in_any_order(order):
    """A datagram's fragments make the whole in every order."""

    parts = fragment(FOUR / UDP(dport=20000) / (b"card" + CARD.value), fragsize=8)

    assert found(*(bytes(parts[place]) for place in order))


def test_fragments_of_ipv6():
    """Likewise over IPv6."""

    packet = SIX / IPv6ExtHdrFragment(id=7) / UDP(dport=20000) / (b"." * 1220 + CARD.value * 2)
    parts = fragment6(packet, 1280)

    assert len(parts) == 2
    assert found(*map(bytes, reversed(parts)), ethertype=ETH_IP6)


def test_a_segment_in_fragments():
    """A TCP segment that came in fragments is part of its stream."""

    head = FOUR / TCP(sport=40000, dport=20000, seq=1000) / CARD.value[:HALF]
    parts = [bytes(part) for part in fragment(head, fragsize=24)]

    assert len(parts) == 2
    assert found(*parts, segment(1000 + HALF, CARD.value[HALF:]))


def test_inside_of_a_tunnel():
    """Segments inside IPv4 inside IPv4 are put together too."""

    one = bytes(FOUR / IP(segment(1000, CARD.value[:HALF])))
    two = bytes(FOUR / IP(segment(1000 + HALF, CARD.value[HALF:])))

    assert found(one, two)


def test_behind_extension_headers():
    """Extension headers of IPv6 are stepped over."""

    ip = SIX / IPv6ExtHdrDestOpt()
    one, two = segment(5, CARD.value[:HALF], ip), segment(5 + HALF, CARD.value[HALF:], ip)

    assert found(one, two, ethertype=ETH_IP6)


def test_far_apart_parts_are_no_buffer_of_gigabytes():
    """A forged sequence number far away costs no memory."""

    pieces = Pieces()
    pieces.add(0, b"abc")
    pieces.add(2**31 - 1, b"def")

    assert [b"abc", b"def"] == list(pieces.readings())[:2]


def test_watch_follows_the_file(tmp_path):
    """What is written by and by is read by and by; a packet half written waits."""

    file = tmp_path / "wire.frames"
    watch = FrameWatch(file, LeakSearch([CARD]))
    assert set() == watch.update()

    packets = [segment(1000, CARD.value[:HALF]), segment(1000 + HALF, CARD.value[HALF:])]
    records = [HEADER.pack(0.0, len(packet), ETH_IP) + packet for packet in packets]
    file.write_bytes(records[0] + records[1][:-5])
    assert set() == watch.update()

    file.write_bytes(records[0] + records[1])
    assert {CARD} == watch.update()


def test_headers_are_searched_too(tmp_path):
    """A value in an IP option is found."""

    option = b"\x9e" + struct.pack("B", 2 + len(CARD.value)) + CARD.value
    packet = bytes(IP(src="10.77.0.10", dst="203.0.113.10", options=[], ihl=10)) + option
    file = tmp_path / "wire.frames"
    file.write_bytes(HEADER.pack(0.0, len(packet), ETH_IP) + packet)

    assert {CARD} == FrameWatch(file, LeakSearch([CARD])).update()
