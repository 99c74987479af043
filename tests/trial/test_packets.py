"""Frames of every kind, made with scapy, are decoded to what they carry."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import ARP, CookedLinux, Dot1AD, Dot1Q
from scapy.packet import Raw

from dlp.trial.capture import Frame
from dlp.trial.packets import Packet, decode
from tests import packets as pk

TEXT = b"some payload"


def frame(packet: object, link: int = 1) -> Frame:
    return Frame(1, link, bytes(packet))  # type: ignore[call-overload]


@pytest.mark.parametrize("family", [4, 6])
def test_tcp(family):
    """Payload, sequence number, and who speaks to whom."""
    found = decode(frame(pk.tcp(TEXT, port=4000, family=family, seq=77)))

    assert isinstance(found, Packet)
    assert (TEXT, 77, False, 0) == (found.payload, found.sequence, found.syn, found.cut)
    ours = pk.OURS4 if family == 4 else f"[{pk.OURS6}]"
    assert found.conversation.startswith(f"{ours}:4000 > ")
    assert found.conversation.endswith(":9000 tcp")


def test_syn():
    """A SYN takes a number of its own."""
    found = decode(frame(pk.tcp(b"", port=4000, seq=77, flags="S")))

    assert isinstance(found, Packet)
    assert (78, True) == (found.sequence, found.syn)


@pytest.mark.parametrize(
    "packet",
    [
        pk.udp(TEXT, port=4000),
        pk.udp(TEXT, port=4000, family=6),
        pk.ethernet() / Dot1Q(vlan=7) / IP() / UDP() / Raw(TEXT),
        pk.ethernet() / Dot1AD(vlan=7) / Dot1Q(vlan=8) / IPv6() / UDP() / Raw(TEXT),
        pk.ip6() / IPv6ExtHdrHopByHop() / UDP() / Raw(TEXT),
        pk.tcp_options(TEXT, port=4000),
        pk.ip4_options(TEXT, port=4000),
    ],
)
def test_payload(packet):
    """Options, tags and extension headers are no payload."""
    found = decode(frame(packet))

    assert isinstance(found, Packet)
    assert TEXT == found.payload


@pytest.mark.parametrize(
    ("link", "packet"),
    [
        (101, IP() / UDP() / Raw(TEXT)),
        (228, IP() / UDP() / Raw(TEXT)),
        (229, IPv6() / UDP() / Raw(TEXT)),
        (113, CookedLinux(proto=0x0800) / IP() / UDP() / Raw(TEXT)),
        (276, b"\x08\x00" + bytes(18) + bytes(IP() / UDP() / Raw(TEXT))),
        (0, b"\x02\0\0\0" + bytes(IP() / UDP() / Raw(TEXT))),
    ],
)
def test_link_types(link, packet):
    """What tcpdump writes on a bridge, on `any`, on a tunnel, on a loopback."""
    found = decode(frame(packet, link))

    assert isinstance(found, Packet)
    assert TEXT == found.payload


@pytest.mark.parametrize(
    ("packet", "link", "reason"),
    [
        (pk.ethernet() / ARP(), 1, "not IP"),
        (pk.ip4(flags="MF") / Raw(b"x" * 8), 1, "fragment"),
        (pk.ip4(frag=3) / Raw(b"x" * 8), 1, "fragment"),
        (pk.ip6() / IPv6ExtHdrFragment(m=1) / Raw(b"x" * 8), 1, "fragment"),
        (bytes(pk.tcp(TEXT, port=1))[:40], 1, "cut short"),
        (b"", 1, "not IP"),
        (b"", 101, "cut short"),
        (b"\xff" * 40, 101, "not IP"),
        (b"x" * 40, 147, "link type 147"),
    ],
)
def test_reasons(packet, link, reason):
    """What carries nothing that is judged says why."""
    assert reason == decode(frame(packet, link))


def test_cut_frames():
    """Bytes that the capture left out are counted."""
    data = bytes(pk.udp(b"x" * 100, port=4000))[:-60]
    found = decode(Frame(1, 1, data, 60))

    assert isinstance(found, Packet)
    assert (40, 60) == (len(found.payload), found.cut)


def test_padding_is_no_payload():
    """Ethernet pads short frames behind what IP says is its length."""
    found = decode(frame(bytes(pk.tcp(b"x", port=4000)) + bytes(20)))

    assert isinstance(found, Packet)
    assert b"x" == found.payload


def test_other_protocols():
    """Their payload is one datagram, under the protocol's name."""
    found = decode(frame(pk.ip4() / ICMP() / Raw(TEXT)))

    assert isinstance(found, Packet)
    assert found.payload.endswith(TEXT)
    assert found.conversation.endswith(" icmp")


@settings(max_examples=500, deadline=None)
@given(
    data=st.binary(max_size=120),
    link=st.sampled_from([0, 1, 101, 113, 276]),
    start=st.sampled_from([b"", bytes(pk.tcp(b"", port=1)), bytes(IP() / TCP())]),
)
def test_anything(data, link, start):
    """Whatever a frame holds, it is decoded or has a reason."""
    assert isinstance(decode(Frame(1, link, start[: len(data)] + data)), Packet | str)
