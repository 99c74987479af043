"""Every protocol's payload is scanned, and every packet's fate has its reason."""

import pytest

from dlp.datapath.abi import Reason
from dlp.model import Action
from tests import packets as pk
from tests.packets import CARD

pytestmark = pytest.mark.kernel

CARRIERS = {
    "tcp": lambda data, port: pk.tcp(data, port=port),
    "tcp with options": lambda data, port: pk.tcp_options(data, port=port),
    "tcp in the syn": lambda data, port: pk.tcp(data, port=port, flags="S"),
    "tcp with fin": lambda data, port: pk.tcp(data, port=port, flags="FA"),
    "tcp with rst": lambda data, port: pk.tcp(data, port=port, flags="R"),
    "tcp6": lambda data, port: pk.tcp(data, port=port, family=6),
    "udp": lambda data, port: pk.udp(data, port=port),
    "udp6": lambda data, port: pk.udp(data, port=port, family=6),
    "ip options": lambda data, port: pk.ip4_options(data, port=port),
    "icmp": lambda data, _: pk.icmp(data),
    "icmp6": lambda data, _: pk.icmp6(data),
    "hop by hop": lambda data, port: pk.hop_by_hop(data, port=port),
    "routing": lambda data, port: pk.routing(data, port=port),
    "destination options": lambda data, port: pk.destination_options(data, port=port),
    "chain of headers": lambda data, port: pk.chain(data, port=port, headers=6),
    "one vlan tag": lambda data, port: pk.tagged(pk.tcp(data, port=port), tags=1),
    "two vlan tags": lambda data, port: pk.tagged(pk.udp(data, port=port, family=6), tags=2),
}
OTHERS = {
    "gre": lambda data, _: pk.gre(data),
    "sctp": lambda data, port: pk.sctp(data, port=port),
    "unknown transport": lambda data, _: pk.unknown_transport(data),
    "unknown transport over IPv6": lambda data, _: pk.unknown_transport6(data),
    "odd ethertype": lambda data, _: pk.odd_ethertype(data),
    "lldp": lambda data, _: pk.odd_ethertype(data, pk.ETHERTYPE_LLDP),
}
# Several packets: what is asked for is the fate of the last, those before it pass.
FRAGMENTS = {
    "first fragment": lambda data, port: pk.first_fragment(data, port=port),
    "later fragment": lambda data, port: pk.later_fragment(data, port=port),
    "first fragment over IPv6": lambda data, port: pk.first_fragment(data, port=port, family=6),
    "later fragment over IPv6": lambda data, port: pk.later_fragment(data, port=port, family=6),
}
ALL = CARRIERS | OTHERS | FRAGMENTS
OPAQUE = {
    "tls": (lambda data, port: pk.tcp(pk.tls_client_hello(data), port=port), Reason.OPAQUE_TLS),
    "quic": (
        lambda data, port: pk.udp(pk.quic_initial(data), port=port, dport=443),
        Reason.OPAQUE_QUIC,
    ),
    "ssh": (lambda data, port: pk.tcp(pk.ssh_banner(data), port=port), Reason.OPAQUE_SSH),
}


def carry(rig, name: str, data: bytes):
    """Send data in a carrier; the fate of the packet that holds it."""
    made = ALL[name](data, rig.port())
    *before, last = made if isinstance(made, list) else [made]
    for packet in before:
        assert rig.send(packet).passed
    return rig.send(last)


@pytest.mark.parametrize("name", ALL)
def test_card_is_dropped(rig, name: str):
    """A card number in a packet of this kind does not leave, and the match is why."""
    sent = carry(rig, name, CARD)

    assert not sent.passed
    assert sent.rose(Reason.MATCH_DROPPED, Reason.DROPPED, Reason.PACKETS)


@pytest.mark.parametrize("name", ALL)
def test_card_is_reported(rig, name: str):
    """The event names the signature and how long the match is."""
    number = b"5555-5555-5555-4444"  # a value is told once in a flow, and some have no ports
    told = carry(rig, name, b"=" + number + b";").matches

    assert ["pci.card.mastercard"] == [each.signature for each in told]
    assert [len(number)] == [each.length for each in told]


@pytest.mark.parametrize("name", ALL)
def test_monitor_lets_it_out(rig_of, name: str):
    """Monitor mode matches the same and drops nothing."""
    sent = carry(rig_of(monitor=True), name, CARD)

    assert sent.passed
    assert sent.rose(Reason.MATCH_DROPPED, Reason.WOULD_DROP, Reason.PASSED)


@pytest.mark.parametrize("name", FRAGMENTS)
def test_fragment_is_counted(rig, name: str):
    """A fragment is scanned as it is and counted as one."""

    assert carry(rig, name, CARD).rose(Reason.FRAGMENT)


@pytest.mark.parametrize("name", OTHERS)
def test_other_protocols_by_policy(rig_of, name: str):
    """`other_protocols: drop` drops them whatever they carry; `scan` lets the harmless pass."""
    packet = OTHERS[name](b"harmless", 1)
    dropped, scanned = rig_of(other_drop=True).send(packet), rig_of().send(packet)

    assert (False, True) == (dropped.passed, scanned.passed)
    assert dropped.rose(Reason.OTHER_PROTOCOL)
    assert scanned.rose(Reason.INSPECTED)


def test_odd_ethertype_is_counted(rig):
    """What is not IP is scanned as raw bytes, under a reason of its own."""

    assert rig.send(pk.odd_ethertype(b"harmless")).rose(Reason.NON_IP_SCANNED, Reason.PASSED)


def test_third_vlan_tag_is_dropped(rig):
    """Two tags are followed; behind a third one a stream would hide."""
    sent = rig.send(pk.tagged(pk.udp(b"harmless", port=rig.port()), tags=3))

    assert not sent.passed
    assert sent.rose(Reason.MALFORMED_L2)


def test_arp_passes(rig_of):
    """ARP passes, even where other protocols are dropped."""
    sent = rig_of(other_drop=True).send(pk.arp())

    assert sent.passed
    assert sent.rose(Reason.ARP)


def test_trailer_is_dropped(rig):
    """Bytes behind the length that the IP header tells would leave too: such a packet does not."""
    for packet in (pk.udp(b"harmless", port=rig.port()), pk.tcp(b"harmless", port=rig.port())):
        sent = rig.send(pk.trailer(packet, CARD))

        assert not sent.passed
        assert sent.rose(Reason.TRAILER)


def test_padding_of_short_frames(rig):
    """Ethernet's own padding to 60 bytes is a trailer of zeros and harms nothing."""
    sent = rig.send(pk.trailer(pk.tcp(b"", port=rig.port(), flags="A"), b"\0" * 6))

    assert sent.passed


def test_lying_length_is_scanned_to_the_end(rig):
    """A total length beyond the packet is counted, and all there is gets scanned."""
    packet = pk.udp(CARD, port=rig.port())
    packet["IP"].len = 1400
    sent = rig.send(packet)

    assert not sent.passed
    assert sent.rose(Reason.LENGTH_LIE, Reason.MATCH_DROPPED)


def test_total_length_zero(rig):
    """A total length of zero (BIG TCP) means all of the packet."""
    packet = pk.tcp(CARD, port=rig.port())
    packet["IP"].len = 0

    assert not rig.send(packet).passed


def test_too_many_extension_headers(rig):
    """More headers than are followed: dropped under a reason of its own."""
    sent = rig.send(pk.chain(b"harmless", port=rig.port(), headers=9))

    assert not sent.passed
    assert sent.rose(Reason.IP6_CHAIN)


@pytest.mark.parametrize("name", OPAQUE)
def test_opaque_is_counted_and_passes(rig, name: str):
    """An encrypted protocol passes by default and is counted under its name."""
    build, reason = OPAQUE[name]
    sent = rig.send(build(b"", rig.port()))

    assert sent.passed
    assert sent.rose(reason, Reason.INSPECTED)


@pytest.mark.parametrize("name", OPAQUE)
def test_opaque_is_scanned(rig, name: str):
    """A fake header does not switch the scan off."""
    build, _ = OPAQUE[name]
    sent = rig.send(build(CARD, rig.port()))

    assert not sent.passed
    assert sent.rose(Reason.MATCH_DROPPED)


@pytest.mark.parametrize("name", OPAQUE)
def test_opaque_by_policy(rig_of, name: str):
    """`uninspectable: drop` drops it under that reason; `alert` passes it and tells of it."""
    build, reason = OPAQUE[name]
    strict = rig_of(uninspectable=Action.DROP)
    dropped = strict.send(build(b"", strict.port()))

    assert not dropped.passed
    assert dropped.rose(Reason.UNINSPECTABLE, reason)

    loud = rig_of(uninspectable=Action.ALERT)
    told = loud.send(build(b"", loud.port()))
    assert told.passed
    assert [reason] == [event.reason for event in told.opaque]


@pytest.mark.parametrize("cut", range(1, 8))
def test_tls_in_small_pieces(rig_of, cut: int):
    """A ClientHello whose first segment is a few bytes is a TLS flow all the same."""
    rig = rig_of(uninspectable=Action.DROP)
    port = rig.port()
    rig.send(pk.tcp(b"", port=port, seq=0, flags="S"))
    hello = pk.tls_client_hello(b"x" * 40)
    rig.send(pk.tcp(hello[:cut], port=port, seq=1))
    sent = rig.send(pk.tcp(hello[cut:], port=port, seq=1 + cut))

    assert not sent.passed


def test_blocked_flow(rig):
    """After a match nothing of the flow leaves but FIN and RST without payload."""
    port = rig.port()
    rig.send(pk.tcp(CARD, port=port, seq=1))
    harmless = rig.send(pk.tcp(b"harmless", port=port, seq=1 + len(CARD)))
    empty = rig.send(pk.tcp(b"", port=port, seq=1, flags="A"))

    assert (False, False) == (harmless.passed, empty.passed)
    assert harmless.rose(Reason.FLOW_BLOCKED)
    for flags in ("F", "FA", "R", "RA"):
        sent = rig.send(pk.tcp(b"", port=port, seq=1, flags=flags))
        assert sent.passed
        assert sent.rose(Reason.CONTROL)
        assert not rig.send(pk.tcp(b"x", port=port, seq=1, flags=flags)).passed


def test_other_flows_go_on(rig):
    """A block is one flow's: the next port, the other family and UDP pass."""
    port = rig.port()
    rig.send(pk.tcp(CARD, port=port))

    assert rig.send(pk.tcp(b"harmless", port=rig.port())).passed
    assert rig.send(pk.tcp(b"harmless", port=port, family=6)).passed
    assert rig.send(pk.udp(b"harmless", port=port)).passed


def test_datagrams_are_not_blocked(rig):
    """UDP: a datagram with a card is dropped, and the next one without passes."""
    port = rig.port()

    assert not rig.send(pk.udp(CARD, port=port)).passed
    assert rig.send(pk.udp(b"harmless", port=port)).passed


def test_retransmission_of_a_cut_card(rig):
    """The dropped second half, sent again and again, does not get out."""
    port = rig.port()

    assert rig.send(pk.tcp(CARD[:9], port=port, seq=1)).passed
    for _ in range(3):
        assert not rig.send(pk.tcp(CARD[9:], port=port, seq=10)).passed


def test_empty_segment_ahead_changes_nothing(rig):
    """An empty segment numbered ahead of the stream must not take the stream's context away."""
    port = rig.port()
    rig.send(pk.tcp(CARD[:9], port=port, seq=1))
    rig.send(pk.tcp(b"", port=port, seq=5000, flags="A"))

    assert not rig.send(pk.tcp(CARD[9:], port=port, seq=10)).passed


def test_keepalive_probe_changes_nothing(rig):
    """A keep-alive probe, one number behind, leaves the stream's context as it is."""
    port = rig.port()
    rig.send(pk.tcp(CARD[:9], port=port, seq=1))
    rig.send(pk.tcp(b"", port=port, seq=9, flags="A"))

    assert not rig.send(pk.tcp(CARD[9:], port=port, seq=10)).passed


def test_gap_is_counted(rig):
    """Bytes that never passed here are counted as missed."""
    port = rig.port()
    rig.send(pk.tcp(b"harmless", port=port, seq=1))
    sent = rig.send(pk.tcp(b"harmless", port=port, seq=1000))

    assert sent.passed
    assert sent.rose(Reason.GAP)


def test_first_seen_midstream(rig):
    """A flow without its SYN is counted as begun before; one with it is not."""
    port = rig.port()

    assert rig.send(pk.tcp(b"harmless", port=rig.port())).rose(Reason.MIDSTREAM)
    rig.send(pk.tcp(b"", port=port, seq=0, flags="S"))
    assert not rig.send(pk.tcp(b"harmless", port=port, seq=1)).rose(Reason.MIDSTREAM)


def test_no_payload(rig):
    """A bare acknowledgement passes as having no payload."""
    sent = rig.send(pk.tcp(b"", port=rig.port(), flags="A"))

    assert sent.passed
    assert sent.rose(Reason.NO_PAYLOAD)
