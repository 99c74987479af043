"""Packets by name, built with scapy: what the tests of the kernel path send."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP, IPOption_RR, IPOption_Timestamp
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.l2 import ARP, GRE, Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP, SCTPChunkData
from scapy.packet import Packet, Raw

CARD = b" 4111 1111 1111 1111 "
OURS4, THEIRS4 = "10.9.0.1", "198.51.100.7"
OURS6, THEIRS6 = "fd00::1", "2001:db8::7"
ETHERTYPE_LLDP = 0x88CC
ETHERTYPE_TEST = 0x88B5  # IEEE 802: local experiments
PROTOCOL_TEST = 253  # RFC 3692: experiments
_IDS = itertools.count(1000)


def ethernet() -> Packet:
    """Addresses given: scapy would ask the network for those it is not told."""
    return Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


def ip4(**fields) -> Packet:
    return ethernet() / IP(src=OURS4, dst=THEIRS4, **fields)


def ip6(**fields) -> Packet:
    return ethernet() / IPv6(src=OURS6, dst=THEIRS6, **fields)


def tcp(payload: bytes, *, port: int, family: int = 4, **fields) -> Packet:
    """A segment; `flags` is PA unless told, `seq` 1."""
    header = TCP(sport=port, dport=9000, **{"flags": "PA", "seq": 1, **fields})
    return (ip4() if family == 4 else ip6()) / header / Raw(payload)


def udp(payload: bytes, *, port: int, family: int = 4, dport: int = 9000, **fields) -> Packet:
    return (ip4() if family == 4 else ip6()) / UDP(sport=port, dport=dport, **fields) / Raw(payload)


_HEADERS = bytes(udp(b"", port=0))


def datagram(payload: bytes, *, port: int) -> bytes:
    """The bytes of `udp` over IPv4, by hand: scapy takes a millisecond, where emulated thirty."""
    size = len(payload)
    frame = bytearray(_HEADERS) + payload
    struct.pack_into("!H", frame, 16, 28 + size)
    struct.pack_into("!H", frame, 34, port)
    struct.pack_into("!HH", frame, 38, 8 + size, 0)
    struct.pack_into("!H", frame, 24, 0)
    struct.pack_into("!H", frame, 24, _checksum(bytes(frame[14:34])))
    pseudo = bytes(frame[26:34]) + struct.pack("!HH", 17, 8 + size)
    # RFC 768: a sum of 0 is sent as all ones.
    struct.pack_into("!H", frame, 40, _checksum(pseudo + bytes(frame[34:])) or 0xFFFF)
    return bytes(frame)


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def tcp_options(payload: bytes, *, port: int) -> Packet:
    """The longest header there is: 40 bytes of options."""
    return tcp(payload, port=port, options=[("NOP", None)] * 30 + [("Timestamp", (1, 2))])


def ip4_options(payload: bytes, *, port: int) -> Packet:
    options = [IPOption_NOP(), IPOption_RR(length=7, routers=["0.0.0.0"]), IPOption_Timestamp()]
    return ip4(options=options) / UDP(sport=port, dport=9000) / Raw(payload)


def icmp(payload: bytes) -> Packet:
    return ip4() / ICMP() / Raw(payload)


def icmp6(payload: bytes) -> Packet:
    return ip6() / ICMPv6EchoRequest(data=payload)


def hop_by_hop(payload: bytes, *, port: int) -> Packet:
    return ip6() / IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)]) / _udp(payload, port)


def routing(payload: bytes, *, port: int) -> Packet:
    return ip6() / IPv6ExtHdrRouting(type=2, addresses=["2001:db8::9"]) / _udp(payload, port)


def destination_options(payload: bytes, *, port: int) -> Packet:
    return ip6() / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 12)]) / _udp(payload, port)


def chain(payload: bytes, *, port: int, headers: int) -> Packet:
    """Destination options one behind the other."""
    packet = ip6()
    for _ in range(headers):
        packet /= IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)])
    return packet / _udp(payload, port)


def udp_bytes(payload: bytes, *, port: int) -> bytes:
    """A datagram's header and payload, as its fragments share them."""
    return bytes(_udp(payload, port))


def fragments(
    body: bytes, cuts: Sequence[int], *, ident: int, family: int = 4, protocol: int = 17
) -> list[Packet]:
    """An IP payload in fragments; `cuts` are offsets in it, multiples of 8."""
    bounds = [0, *cuts, len(body)]
    return [
        fragment(
            body[low:high],
            low,
            ident=ident,
            more=high < len(body),
            family=family,
            protocol=protocol,
        )
        for low, high in itertools.pairwise(bounds)
    ]


def fragment(
    piece: bytes, offset: int, *, ident: int, more: bool, family: int = 4, protocol: int = 17
) -> Packet:
    """One of them; `offset` in bytes."""
    if family == 4:
        flags = "MF" if more else 0
        return ip4(flags=flags, frag=offset // 8, id=ident, proto=protocol) / Raw(piece)
    header = IPv6ExtHdrFragment(nh=protocol, id=ident, offset=offset // 8, m=more)
    return ip6() / header / Raw(piece)


def first_fragment(payload: bytes, *, port: int, family: int = 4) -> list[Packet]:
    """The first of a datagram, with the payload whole in it; more would follow."""
    whole = b"." * (-len(payload) % 8) + payload
    body = udp_bytes(whole + b"." * 8, port=port)
    return fragments(body, [len(body) - 8], ident=fragment_id(), family=family)[:1]


def later_fragment(payload: bytes, *, port: int, family: int = 4) -> list[Packet]:
    """A datagram with the payload whole in its second and last fragment."""
    body = udp_bytes(b"x" * 24, port=port)
    return fragments(body + payload, [len(body)], ident=fragment_id(), family=family)


def fragment_id() -> int:
    """Of a datagram that no other has."""
    return next(_IDS)


def gre(payload: bytes) -> Packet:
    return ip4() / GRE(proto=ETHERTYPE_TEST) / Raw(payload)


def sctp(payload: bytes, *, port: int) -> Packet:
    return ip4() / SCTP(sport=port, dport=9000) / SCTPChunkData(data=payload)


def unknown_transport(payload: bytes) -> Packet:
    return ip4(proto=PROTOCOL_TEST) / Raw(payload)


def unknown_transport6(payload: bytes) -> Packet:
    return ip6(nh=PROTOCOL_TEST) / Raw(payload)


def tagged(packet: Packet, *, tags: int) -> Packet:
    """802.1Q, or 802.1ad outside 802.1Q; more than two is beyond any standard."""
    inner = packet[Ether].payload
    vlan = Dot1Q(vlan=5)
    if tags == 2:
        vlan = Dot1AD(vlan=6) / vlan
    if tags == 3:
        vlan = Dot1AD(vlan=6) / Dot1AD(vlan=7) / vlan
    return ethernet() / vlan / inner


def arp() -> Packet:
    sender = "02:00:00:00:00:01"
    return Ether(src=sender, dst="ff:ff:ff:ff:ff:ff") / ARP(hwsrc=sender, psrc=OURS4, pdst=THEIRS4)


def odd_ethertype(payload: bytes, ethertype: int = ETHERTYPE_TEST) -> Packet:
    return Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=ethertype) / Raw(payload)


def trailer(packet: Packet, payload: bytes) -> bytes:
    """Bytes behind the end that the IP header tells."""
    return bytes(packet) + payload


def tls_client_hello(payload: bytes = b"") -> bytes:
    """A TLS record with a handshake message (RFC 8446 5.1), `payload` in it."""
    hello = b"\x01\x00\x00\xfe\x03\x03" + bytes(range(100, 132)) + payload
    return b"\x16\x03\x01" + len(hello).to_bytes(2, "big") + hello


def quic_initial(payload: bytes = b"") -> bytes:
    """A long header of version 1 (RFC 9000 17.2.2)."""
    return b"\xc3\x00\x00\x00\x01\x08" + bytes(range(8)) + b"\x00\x00\x44\x9e" + payload


def ssh_banner(payload: bytes = b"") -> bytes:
    return b"SSH-2.0-OpenSSH_9.2p1\r\n" + payload


def _udp(payload: bytes, port: int) -> Packet:
    return UDP(sport=port, dport=9000) / Raw(payload)
