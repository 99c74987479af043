"""Frames made by hand, for BPF_PROG_TEST_RUN: Ethernet, IPv4, TCP or UDP.

Checksums are left zero, as the programs read none. Every number of a conversation gives
addresses and ports of its own, out of which the number can be read again.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final

# TEST_RUN takes a packet that lies in one page with what the kernel puts round it.
LONGEST: Final = 3400
SEQUENCES: Final = 1 << 32

_ETHERNET: Final = bytes.fromhex("0200000000010200000000020800")
_IP4: Final = struct.Struct(">BBHHHBBHII")
_TCP: Final = struct.Struct(">HHIIBBHHH")
_UDP: Final = struct.Struct(">HHHH")
_SYN: Final = 0x02
_PUSH_ACK: Final = 0x18
_HOSTS: Final = 0x0A000001  # 10.0.0.1 and on
_SERVER: Final = 0xC6336401  # 198.51.100.1, of RFC 5737
_FIRST_PORT: Final = 1024
_PORTS: Final = 60_000
_ISN: Final = 999


def syn(number: int) -> bytes:
    """The segment that opens a conversation."""
    return _tcp(number, _ISN, _SYN, b"")


def segment(number: int, offset: int, payload: bytes) -> bytes:
    """Payload at an offset of the stream."""
    return _tcp(number, (_ISN + 1 + offset) % SEQUENCES, _PUSH_ACK, payload)


def datagram(number: int, payload: bytes) -> bytes:
    """A UDP datagram; it goes to no port that a protocol owns."""
    return _ip(number, 17, _UDP.pack(_port(number), 9000, 8 + len(payload), 0) + payload)


def number_of(source: str, port: int) -> int:
    """The conversation's number, of a packet's source."""
    return (int(ipaddress.ip_address(source)) - _HOSTS) * _PORTS + port - _FIRST_PORT


def _port(number: int) -> int:
    return _FIRST_PORT + number % _PORTS


def _tcp(number: int, sequence: int, flags: int, payload: bytes) -> bytes:
    header = _TCP.pack(_port(number), 9000, sequence, 1, 0x50, flags, 0xFFFF, 0, 0)
    return _ip(number, 6, header + payload)


def _ip(number: int, protocol: int, payload: bytes) -> bytes:
    host = _HOSTS + number // _PORTS
    header = _IP4.pack(0x45, 0, 20 + len(payload), 1, 0x4000, 64, protocol, 0, host, _SERVER)
    return _ETHERNET + header + payload
