"""What a captured frame carries: from link layer to payload, as far as a trial needs it.

IPv4 and IPv6 with VLAN tags, TCP, UDP; of other protocols the payload. What is not decoded
has a reason. Never raises: frames are whatever somebody sent.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass, field
from typing import Final

from dlp.trial.capture import Frame

TCP: Final = 6
UDP: Final = 17
_ICMP: Final = {1: "icmp", 58: "icmp6"}
_IP4: Final = 0x0800
_IP6: Final = 0x86DD
_TAGS: Final = {0x8100, 0x88A8, 0x9100}
_EXTENSIONS: Final = {0, 43, 60}  # hop by hop, routing, destination options
_FRAGMENT: Final = 44
_SYN: Final = 2
# Link types (www.tcpdump.org/linktypes.html) by where their network header begins.
_RAW: Final = {12, 14, 101, 228, 229}
_NULL: Final = {0, 108}
_ETHERNET: Final = 1
_SLL: Final = 113
_SLL2: Final = 276


@dataclass(frozen=True, slots=True)
class Packet:
    """Payload with who sent it to whom.

    Attributes:
        conversation: `10.0.0.1:4000 > 192.0.2.1:443 tcp`; equal for packets of one direction.
        sequence: of the first byte of payload; None where it is no TCP.
        syn: a connection begins.
        cut: bytes of the payload that the capture left out.
    """

    number: int
    conversation: str
    sequence: int | None
    syn: bool
    payload: bytes = field(repr=False)
    cut: int = 0


def decode(frame: Frame) -> Packet | str:
    """The packet, or the reason why there is none."""
    found = _network(frame)
    if found is None:
        return f"link type {frame.link}" if _is_unknown(frame.link) else "not IP"
    data = found
    if not data:
        return "cut short"
    try:
        if data[0] >> 4 == 4:  # noqa: PLR2004 - IPv4
            return _ip4(frame, data)
        if data[0] >> 4 == 6:  # noqa: PLR2004 - IPv6
            return _ip6(frame, data)
    except (struct.error, IndexError):
        return "cut short"
    return "not IP"


def _is_unknown(link: int) -> bool:
    return link not in _RAW | _NULL | {_ETHERNET, _SLL, _SLL2}


def _network(frame: Frame) -> bytes | None:
    """From the IP header on; None where there is none."""
    data, link = frame.data, frame.link
    if link in _RAW:
        return data
    if link in _NULL:
        return data[4:]
    if link == _ETHERNET:
        at = 12
    elif link == _SLL:
        at = 14
    elif link == _SLL2:
        return data[20:] if int.from_bytes(data[:2], "big") in {_IP4, _IP6} else None
    else:
        return None
    kind = int.from_bytes(data[at : at + 2], "big")
    while kind in _TAGS and len(data) > at:
        at += 4
        kind = int.from_bytes(data[at : at + 2], "big")
    return data[at + 2 :] if kind in {_IP4, _IP6} else None


def _ip4(frame: Frame, data: bytes) -> Packet | str:
    header = (data[0] & 15) * 4
    total, _, fragment, _, protocol = struct.unpack_from(">HHHBB", data, 2)
    if header < 20:  # noqa: PLR2004 - the least that an IPv4 header has
        return "malformed"
    if fragment & 0x3FFF:
        return "fragment"
    source, destination = struct.unpack_from(">4s4s", data, 12)
    # A length of zero is how segmentation offload captures what is longer than 64 KB.
    end = max(total, header) if total else len(data)
    return _transport(frame, data[header:end], protocol, (source, destination), end - header)


def _ip6(frame: Frame, data: bytes) -> Packet | str:
    length, following = struct.unpack_from(">HB", data, 4)
    source, destination = struct.unpack_from(">16s16s", data, 8)
    end, at = (40 + length if length else len(data)), 40
    while following in _EXTENSIONS:
        following, size = data[at], (data[at + 1] + 1) * 8
        at += size
    if following == _FRAGMENT:
        return "fragment"
    return _transport(frame, data[at:end], following, (source, destination), end - at)


def _transport(
    frame: Frame, data: bytes, protocol: int, ends: tuple[bytes, bytes], size: int
) -> Packet | str:
    """`size`: bytes that the IP header promises; the capture may hold fewer."""
    source, destination = (ipaddress.ip_address(end) for end in ends)
    if protocol not in {TCP, UDP}:
        name = _ICMP.get(protocol, f"ip-{protocol}")
        text = f"{source} > {destination} {name}"
        return _datagram(frame, text, data, size)
    ports = struct.unpack_from(">HH", data)
    text = f"{_end(source, ports[0])} > {_end(destination, ports[1])}"
    if protocol == UDP:
        return _datagram(frame, f"{text} udp", data[8:], size - 8)
    sequence, _, offset, flags = struct.unpack_from(">IIBB", data, 4)
    header = (offset >> 4) * 4
    if header < 20:  # noqa: PLR2004 - the least that a TCP header has
        return "malformed"
    syn = bool(flags & _SYN)
    payload = data[header:]
    return Packet(
        frame.number,
        f"{text} tcp",
        (sequence + syn) % (1 << 32),
        syn,
        payload,
        max(size - max(len(data), header), 0),
    )


def _datagram(frame: Frame, conversation: str, payload: bytes, size: int) -> Packet:
    return Packet(
        number=frame.number,
        conversation=conversation,
        sequence=None,
        syn=False,
        payload=payload,
        cut=max(size - len(payload), 0),
    )


def _end(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"  # noqa: PLR2004
