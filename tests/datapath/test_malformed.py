"""Malformed packets: no crash, no unexplained fate, and no card let out in a lie.

Each packet that is sent here carries a card behind whatever is wrong with it. Whatever the
programs make of it, one packet is one more passed or one more dropped, at least one reason
explains it, and where the card lies behind what claims to be headers, it does not leave.
"""

import os
import random

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import GRE, Dot1Q
from scapy.packet import Packet, Raw, fuzz
from scapy.volatile import RandNum

from dlp.datapath.abi import Reason
from tests import packets as pk
from tests.packets import CARD

pytestmark = pytest.mark.kernel

PASSES = {
    Reason.INSPECTED,
    Reason.NO_PAYLOAD,
    Reason.ARP,
    Reason.CONTROL,
    Reason.EXEMPT,
}
DROPS = {
    Reason.MATCH_DROPPED,
    Reason.FLOW_BLOCKED,
    Reason.DENIED,
    Reason.UNINSPECTABLE,
    Reason.OTHER_PROTOCOL,
    Reason.MALFORMED_L2,
    Reason.MALFORMED_IP4,
    Reason.MALFORMED_IP6,
    Reason.MALFORMED_L4,
    Reason.IP6_CHAIN,
    Reason.OUT_OF_ORDER,
    Reason.OVER_BUDGET,
    Reason.PULL_FAILED,
    Reason.LOAD_FAILED,
    Reason.TAIL_CALL_FAILED,
    Reason.MAP_FAILED,
    Reason.INSPECTOR_DOWN,
    Reason.TRAILER,
    Reason.FRAGMENT_ORDER,
    Reason.REWRITTEN,
    Reason.FRAGMENT_REFUSED,
}
SHORTEST = 15  # BPF_PROG_TEST_RUN refuses what has no byte behind the Ethernet header,
# and an IP header that is not whole. It does not look behind a VLAN tag, so all wear one.
FUZZED = 300 if os.environ.get("DLP_GUEST") else 6000  # a guest is some 30 times slower


def check(rig, packet: bytes, name: object = "") -> None:
    """One packet, one fate, one reason or more, no card let out."""
    __tracebackhide__ = True
    sent = rig.send(packet)
    rises = sent.rises
    faults = {
        "not counted once": rises[Reason.PACKETS] != 1,
        "not one fate": rises[Reason.PASSED] + rises[Reason.DROPPED] != 1,
        "counted against its fate": sent.passed != bool(rises[Reason.PASSED]),
        "unexplained": not (PASSES if sent.passed else DROPS) & rises.keys(),
        "let a card out": sent.passed and packet.endswith(CARD) and sent.scanned >= len(CARD),
    }
    for fault, found in faults.items():
        if found:
            rose = ", ".join(f"{reason.label} {count}" for reason, count in rises.items())
            pytest.fail(f"{fault}: {name} of {len(packet)} bytes, passed={sent.passed}: {rose}")


def intact(rig) -> dict[str, bytes]:
    port = rig.port()
    named = {
        "tcp": pk.tcp(CARD, port=port),
        "tcp options": pk.tcp_options(CARD, port=port),
        "tcp6": pk.tcp(CARD, port=port, family=6),
        "udp": pk.udp(CARD, port=port),
        "udp6": pk.udp(CARD, port=port, family=6),
        "icmp": pk.icmp(CARD),
        "icmp6": pk.icmp6(CARD),
        "ip options": pk.ip4_options(CARD, port=port),
        "hop by hop": pk.hop_by_hop(CARD, port=port),
        "routing": pk.routing(CARD, port=port),
        "destination options": pk.destination_options(CARD, port=port),
        "chain": pk.chain(CARD, port=port, headers=3),
        "fragment6": pk.first_fragment(CARD, port=port, family=6)[0],
        "fragment4": pk.first_fragment(CARD, port=port)[0],
        "later fragment4": pk.later_fragment(CARD, port=port)[1],
        "gre": pk.gre(CARD),
        "sctp": pk.sctp(CARD, port=port),
    }
    tagged = {name: pk.tagged(packet, tags=1) for name, packet in named.items()}
    tagged["two tags"] = pk.tagged(pk.udp(CARD, port=port, family=6), tags=2)
    untagged = {"arp": pk.arp(), "odd": pk.odd_ethertype(CARD)}
    return {name: bytes(packet) for name, packet in (tagged | untagged).items()}


def test_truncated_at_every_length(rig):
    """Each kind of packet cut off at each of its bytes."""
    for name, packet in intact(rig).items():
        for length in range(SHORTEST, len(packet) + 1):
            check(rig, packet[:length], name)


def test_truncated_headers_before_a_card(rig):
    """Each kind of packet with bytes taken out of its headers, the card behind them whole."""
    for name, packet in intact(rig).items():
        for length in range(SHORTEST, max(SHORTEST, len(packet) - len(CARD))):
            check(rig, packet[:length] + CARD, name)


def test_every_header_length(rig):
    """Each IP header length and TCP data offset, true or not."""
    for words in range(16):
        for offset in range(16):
            packet = pk.tcp(CARD, port=rig.port(), dataofs=offset)
            packet[IP].ihl = words
            check(rig, bytes(packet))


@pytest.mark.parametrize("length", [*range(64), 100, 255, 256, 1499, 1500, 40_000, 65_535])
def test_every_total_length(rig, length: int):
    """IP total and payload lengths and UDP lengths that lie, either way."""
    for build in (pk.tcp, pk.udp):
        packet = build(CARD, port=rig.port())
        packet[IP].len = length
        check(rig, bytes(packet))
        six = build(CARD, port=rig.port(), family=6)
        six[IPv6].plen = length
        check(rig, bytes(six))
    check(rig, bytes(pk.udp(CARD, port=rig.port(), len=length)))


def test_every_extension_header_length(rig):
    """IPv6 extension headers that tell any length."""
    for build in (pk.hop_by_hop, pk.routing, pk.destination_options):
        for length in range(256):
            packet = build(CARD, port=rig.port())
            packet[IPv6].payload.len = length
            check(rig, bytes(packet), (build.__name__, length))


def test_every_next_header(rig):
    """Each protocol number, under IPv4 and IPv6."""
    for number in range(256):
        check(rig, bytes(pk.ip4(proto=number) / Raw(b"\0" * 24 + CARD)))
        check(rig, bytes(pk.ip6(nh=number) / Raw(b"\0" * 24 + CARD)))


def test_every_version(rig):
    """An IP version that does not agree with the ethertype."""
    for version in range(16):
        check(rig, bytes(pk.ip4(version=version) / UDP() / Raw(CARD)))
        check(rig, bytes(pk.ip6(version=version) / UDP() / Raw(CARD)))


def test_tcp_flags(rig):
    """Each combination of TCP flags."""
    for flags in range(256):
        check(rig, bytes(pk.tcp(CARD, port=rig.port(), flags=flags)))


def test_overlapping_fragments(rig):
    """Fragments over one another, each scanned as it is."""
    rng = random.Random(11)
    body = bytes(UDP(sport=5, dport=6) / Raw(b"x" * 200 + CARD + b"x" * 200))
    for _ in range(200):
        offset = rng.randrange(0, len(body), 8)
        size = rng.randrange(1, 400)
        piece = body[offset : offset + size]
        more = rng.random() < 0.5
        four = pk.ip4(id=9, proto=17, frag=offset // 8, flags="MF" if more else 0) / Raw(piece)
        six = pk.ip6() / IPv6ExtHdrFragment(nh=17, id=9, offset=offset // 8, m=more) / Raw(piece)
        check(rig, bytes(four))
        check(rig, bytes(six))


STACKS = (
    lambda: IP(src=pk.OURS4, dst=pk.THEIRS4) / TCP(),
    lambda: IP(src=pk.OURS4, dst=pk.THEIRS4) / UDP(),
    lambda: IP(src=pk.OURS4, dst=pk.THEIRS4) / ICMP(),
    lambda: IP(src=pk.OURS4, dst=pk.THEIRS4) / GRE(),
    lambda: IPv6(src=pk.OURS6, dst=pk.THEIRS6) / TCP(),
    lambda: IPv6(src=pk.OURS6, dst=pk.THEIRS6) / UDP(),
    lambda: IPv6(src=pk.OURS6, dst=pk.THEIRS6) / IPv6ExtHdrHopByHop() / UDP(),
    lambda: IPv6(src=pk.OURS6, dst=pk.THEIRS6) / IPv6ExtHdrRouting() / TCP(),
    lambda: IPv6(src=pk.OURS6, dst=pk.THEIRS6) / IPv6ExtHdrDestOpt() / UDP(),
    lambda: IPv6(src=pk.OURS6, dst=pk.THEIRS6) / IPv6ExtHdrFragment() / UDP(),
    lambda: Dot1Q() / IP(src=pk.OURS4, dst=pk.THEIRS4) / UDP(),
)


def fuzzed(seed: int) -> bytes:
    """A packet with random fields, and in half of them random bytes changed."""
    random.seed(seed)  # scapy draws from the global generator
    stack: Packet = random.choice(STACKS)()
    built = bytes(pk.ethernet() / fuzz(stack) / Raw(CARD))
    if random.random() < 0.5:
        changed = bytearray(built)
        for _ in range(random.randint(1, 4)):
            changed[random.randrange(12, max(13, len(changed) - len(CARD)))] = random.randrange(256)
        built = bytes(changed)
    return built


@pytest.mark.parametrize("start", range(0, FUZZED, 500))
def test_fuzzed(rig, start: int):
    """Six thousand packets with random header fields; the number is the seed."""
    for seed in range(start, start + 500):
        check(rig, fuzzed(seed), f"seed {seed}")


def test_fuzz_is_reproducible():
    """The same seed gives the same packet."""

    assert isinstance(fuzz(UDP()).sport, RandNum)
    assert fuzzed(17) == fuzzed(17)
