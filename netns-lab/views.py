"""What could be put together from packets on a wire: fragments and segments in every reading.

Where two packets claim the same bytes, one receiver keeps the first and another the last: both
readings are made. Packets in, byte strings out; nothing is judged here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from leaks import LeakSearch
from planted import Planted
from wire import HEADER, TCP

ETH_IP, ETH_IP6 = 0x0800, 0x86DD
IP4_IN_IP, IP6_IN_IP, IP6_FRAGMENT = 4, 41, 44
IP6_OPTIONS = {0, 43, 60, 135}  # hop-by-hop, routing, destination options, mobility
IP4_HEADER, IP6_HEADER, TCP_HEADER = 20, 40, 20
APART = 4096  # bytes missing between two pieces from which on they are apart
NESTED = 4
SIGN = 1 << 31


class Packet(NamedTuple):
    """An IP packet taken apart; `more` and `offset` are its place among fragments."""

    source: bytes
    destination: bytes
    protocol: int
    payload: bytes
    identity: int = 0
    offset: int = 0
    more: bool = False


@dataclass(slots=True)
class Pieces:
    """Parts of one string of bytes, in the order in which they came."""

    parts: list[tuple[int, bytes]] = field(default_factory=list)

    def add(self, offset: int, data: bytes) -> None:
        """One more part."""
        self.parts.append((offset, data))

    def readings(self) -> Iterator[bytes]:
        """Everything that lies together, with the last and with the first of equal places kept.

        A byte that is missing reads as NUL.
        """
        for order in (self.parts, self.parts[::-1]):
            for start, end in self._stretches():
                made = bytearray(end - start)
                for offset, data in order:
                    if start <= offset < end:
                        made[offset - start : offset - start + len(data)] = data
                yield bytes(made)

    def _stretches(self) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for offset, data in sorted(self.parts):
            if found and offset <= found[-1][1] + APART:
                found[-1] = (found[-1][0], max(found[-1][1], offset + len(data)))
            else:
                found.append((offset, offset + len(data)))
        return found


class Views:
    """All packets of a wire, and what they make together."""

    def __init__(self) -> None:
        self._datagrams: dict[tuple[bytes, bytes, int, int], Pieces] = {}
        self._streams: dict[tuple[bytes, bytes, bytes], tuple[int, Pieces]] = {}
        self._changed: dict[int, Pieces] = {}

    def add(self, ethertype: int, packet: bytes, depth: int = NESTED) -> None:
        """One more packet."""
        parsed = taken_apart(ethertype, packet)
        if parsed is None or not depth:
            return
        if parsed.more or parsed.offset:
            self._add_fragment(parsed)
        elif parsed.protocol == TCP:
            self._add_segment(parsed.source + parsed.destination, parsed.payload)
        elif parsed.protocol in {IP4_IN_IP, IP6_IN_IP}:
            inner = ETH_IP if parsed.protocol == IP4_IN_IP else ETH_IP6
            self.add(inner, parsed.payload, depth - 1)

    def changed(self) -> Iterator[bytes]:
        """All readings of what has changed since the last call."""
        for pieces in self._changed.values():
            yield from pieces.readings()
        self._changed.clear()

    def _add_fragment(self, packet: Packet) -> None:
        key = (packet.source, packet.destination, packet.identity, packet.protocol)
        pieces = self._datagrams.setdefault(key, Pieces())
        pieces.add(packet.offset, packet.payload)
        self._changed[id(pieces)] = pieces
        if packet.protocol == TCP:
            for reading in pieces.readings():
                self._add_segment(packet.source + packet.destination, reading)

    def _add_segment(self, ends: bytes, segment: bytes) -> None:
        if len(segment) < TCP_HEADER:
            return
        seq, start = struct.unpack_from("!I", segment, 4)[0], (segment[12] >> 4) * 4
        key = (ends, segment[:2], segment[2:4])
        first, pieces = self._streams.setdefault(key, (seq, Pieces()))
        if payload := segment[start:]:
            pieces.add((seq - first + SIGN) % (2 * SIGN) - SIGN, payload)
            self._changed[id(pieces)] = pieces


def taken_apart(ethertype: int, packet: bytes) -> Packet | None:
    """An IPv4 or IPv6 packet; None for what is neither, or too short."""
    if ethertype == ETH_IP and len(packet) >= IP4_HEADER:
        start = (packet[0] & 0xF) * 4
        identity, place = struct.unpack_from("!HH", packet, 4)
        return Packet(
            packet[12:16],
            packet[16:20],
            packet[9],
            packet[start:],
            identity,
            (place & 0x1FFF) * 8,
            bool(place & 0x2000),
        )
    if ethertype == ETH_IP6 and len(packet) >= IP6_HEADER:
        return _ip6(packet)
    return None


def _ip6(packet: bytes) -> Packet | None:
    protocol, start = packet[6], IP6_HEADER
    identity = offset = 0
    more = False
    while start + 8 <= len(packet) and (protocol in IP6_OPTIONS or protocol == IP6_FRAGMENT):
        if protocol == IP6_FRAGMENT:
            place, identity = struct.unpack_from("!HI", packet, start + 2)
            offset, more = place & 0xFFF8, bool(place & 1)
            protocol, start = packet[start], start + 8
            if offset:
                break  # what follows is in the first fragment
        else:
            protocol, start = packet[start], start + 8 * (packet[start + 1] + 1)
    return Packet(packet[8:24], packet[24:40], protocol, packet[start:], identity, offset, more)


class FrameWatch:
    """Looks for secrets in the packets of a file as it grows."""

    def __init__(self, path: Path, search: LeakSearch) -> None:
        self._path = path
        self._search = search
        self._views = Views()
        self._offset = 0
        self.found: set[Planted] = set()

    def update(self) -> set[Planted]:
        """The secrets that are complete in any reading of what has come up to now."""
        for ethertype, packet in self._new():
            self.found |= self._search.in_bytes(packet)
            self._views.add(ethertype, packet)
        for reading in self._views.changed():
            self.found |= self._search.in_bytes(reading)
        return self.found

    def _new(self) -> Iterator[tuple[int, bytes]]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        start = 0
        while start + HEADER.size <= len(data):
            _, length, ethertype = HEADER.unpack_from(data, start)
            end = start + HEADER.size + length
            if end > len(data):
                break  # still being written
            yield ethertype, data[start + HEADER.size : end]
            start = end
            self._offset += HEADER.size + length
