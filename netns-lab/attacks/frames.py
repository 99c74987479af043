"""Packets made by hand for attack scripts. Bytes in and out, standard library only."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

ETH_IP, ETH_IP6 = 0x0800, 0x86DD
SOURCE_PORT = 40000
FIN, SYN, PSH, ACK = 1, 2, 8, 16
MORE_FRAGMENTS = 0x2000


def ethernet(source: str, destination: str, payload: bytes, ethertype: int = ETH_IP) -> bytes:
    """A frame; MAC addresses as text. `ethertype` below 1536 is a length (802.3)."""
    addresses = bytes.fromhex((destination + source).replace(":", ""))
    return addresses + struct.pack("!H", ethertype) + payload


def ip4(
    source: str,
    destination: str,
    protocol: int,
    payload: bytes,
    *,
    ttl: int = 64,
    identity: int = 1,
    fragment: int = 0,
    options: bytes = b"",
) -> bytes:
    """An IPv4 packet. `fragment`: flags and offset in units of 8 bytes, as in the header."""
    options += b"\0" * (-len(options) % 4)
    length = 20 + len(options)
    head = struct.pack(
        "!BBHHHBBH4s4s",
        0x40 | length // 4,
        0,
        length + len(payload),
        identity,
        fragment,
        ttl,
        protocol,
        0,
        socket.inet_aton(source),
        socket.inet_aton(destination),
    )
    head += options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ip6(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    """An IPv6 packet; extension headers are part of the payload."""
    head = struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64)
    return head + _packed(source) + _packed(destination) + payload


def udp4(
    source: str, destination: str, port: int, payload: bytes, source_port: int = SOURCE_PORT
) -> bytes:
    """A UDP datagram in an IPv4 packet."""
    return ip4(
        source,
        destination,
        socket.IPPROTO_UDP,
        udp(source, destination, port, payload, source_port),
    )


def udp(
    source: str, destination: str, port: int, payload: bytes, source_port: int = SOURCE_PORT
) -> bytes:
    """A UDP datagram (RFC 768) with the checksum of either IP version."""
    head = struct.pack("!HHHH", source_port, port, 8 + len(payload), 0)
    total = checksum(_pseudo(source, destination, socket.IPPROTO_UDP, head + payload))
    return head[:6] + struct.pack("!H", total or 0xFFFF) + payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A TCP segment (RFC 9293) without addresses; numbers modulo 2**32."""

    source_port: int
    port: int
    seq: int
    ack: int = 0
    flags: int = PSH | ACK
    window: int = 64_000
    options: bytes = b""
    payload: bytes = b""

    def packed(self, source: str, destination: str) -> bytes:
        """With the checksum for these addresses."""
        options = self.options + b"\x01" * (-len(self.options) % 4)
        head = struct.pack(
            "!HHIIBBHHH",
            self.source_port,
            self.port,
            self.seq % 2**32,
            self.ack % 2**32,
            (20 + len(options)) // 4 << 4,
            self.flags,
            self.window,
            0,
            0,
        )
        whole = head + options + self.payload
        total = checksum(_pseudo(source, destination, socket.IPPROTO_TCP, whole))
        return whole[:16] + struct.pack("!H", total) + whole[18:]


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    words = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(words) // 2}H", words))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def fragments4(packet: bytes, sizes: list[int]) -> list[bytes]:
    """An IPv4 packet without options in fragments of these many bytes (multiples of 8)."""
    source, destination = (socket.inet_ntoa(packet[at : at + 4]) for at in (12, 16))
    identity = struct.unpack_from("!H", packet, 4)[0]
    payload, made, offset = packet[20:], [], 0
    for size in [*sizes, len(payload) - sum(sizes)]:
        part = payload[offset : offset + size]
        more = MORE_FRAGMENTS if offset + size < len(payload) else 0
        made.append(
            ip4(
                source,
                destination,
                packet[9],
                part,
                identity=identity,
                fragment=more | offset // 8,
            )
        )
        offset += size
    return made


def fragments6(packet: bytes, sizes: list[int], identity: int = 1) -> list[bytes]:
    """An IPv6 packet without extension headers in fragments of these many bytes (of 8)."""
    source, destination = (
        socket.inet_ntop(socket.AF_INET6, packet[at : at + 16]) for at in (8, 24)
    )
    payload, made, offset = packet[40:], [], 0
    for size in [*sizes, len(payload) - sum(sizes)]:
        more = int(offset + size < len(payload))
        head = struct.pack("!BBHI", packet[6], 0, offset | more, identity)
        made.append(ip6(source, destination, 44, head + payload[offset : offset + size]))
        offset += size
    return made


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def _pseudo(source: str, destination: str, protocol: int, data: bytes) -> bytes:
    addresses = _packed(source) + _packed(destination)
    if ":" in source:
        return addresses + struct.pack("!II", len(data), protocol) + data
    return addresses + struct.pack("!BBH", 0, protocol, len(data)) + data
