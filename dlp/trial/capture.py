"""Frames of a pcap or pcapng file. Reads strictly: what is malformed is an error with its place.

Formats: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng. Nothing is decoded here but the
containers, and no length in a file is believed before it is checked.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from dlp.errors import Place, UsageError

LARGEST: Final = 512 << 20  # bytes of a file
LONGEST: Final = 1 << 20  # bytes of a frame or block
_INTERFACES: Final = 4096

_PCAP: Final = {
    b"\xa1\xb2\xc3\xd4": ">",
    b"\xd4\xc3\xb2\xa1": "<",
    b"\xa1\xb2\x3c\x4d": ">",
    b"\x4d\x3c\xb2\xa1": "<",
}
_SECTION: Final = b"\x0a\x0d\x0d\x0a"
_ORDERS: Final = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
_INTERFACE_BLOCK: Final = 1
_OLD_PACKET_BLOCK: Final = 2
_SIMPLE_PACKET_BLOCK: Final = 3
_PACKET_BLOCK: Final = 6
_REMEDY: Final = "write it anew, with tcpdump or `editcap -F pcapng`"


@dataclass(frozen=True, slots=True)
class Frame:
    """One packet of a capture: its number from 1, the link type, the bytes that were kept.

    `cut`: bytes of the packet that the capture left out.
    """

    number: int
    link: int
    data: bytes = field(repr=False)
    cut: int = 0


def frames(file: Path) -> Iterator[Frame]:
    """The frames of a capture, in its order. Raises UsageError with the byte where it is bad."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            if size > LARGEST:
                raise UsageError(
                    f"is larger than {LARGEST >> 20} MiB",
                    place=Place(file),
                    remedy="split it, with `editcap -c`",
                )
            yield from _Reader(file, stream).frames()
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", place=Place(file)) from error


class _Reader:
    def __init__(self, file: Path, stream: BinaryIO) -> None:
        self.file = file
        self.stream = stream
        self.at = 0
        self.number = 0
        self.order = "<"
        self.links: list[tuple[int, int]] = []  # link type and longest frame, by interface

    def frames(self) -> Iterator[Frame]:
        magic = self.take(4, "its first four bytes")
        if magic in _PCAP:
            self.order = _PCAP[magic]
            yield from self.records()
        elif magic == _SECTION:
            self.section()
            yield from self.blocks()
        else:
            raise self.bad("is neither pcap nor pcapng", 0)

    # -- pcap --------------------------------------------------------------------------

    def records(self) -> Iterator[Frame]:
        major, _, _, _, longest, link = self.unpack("HHiIII", "the file's header")
        if major != 2:  # noqa: PLR2004 - the only version there is
            raise self.bad(f"is pcap of version {major}, not 2", 4)
        link &= 0xFFFF
        while header := self.stream.read(16):
            began = self.at
            self.at += len(header)
            if len(header) < 16:  # noqa: PLR2004 - of a record's header
                raise self.bad(f"ends in the header of packet {self.number + 1}", began)
            _, _, kept, sent = struct.unpack(f"{self.order}IIII", header)
            if kept > min(max(longest, 65535), LONGEST) or kept > sent > 0:
                raise self.bad(f"packet {self.number + 1} has an impossible length", began)
            yield self.frame(link, self.take(kept, f"packet {self.number + 1}"), sent)

    # -- pcapng ------------------------------------------------------------------------

    def blocks(self) -> Iterator[Frame]:
        while raw := self.stream.read(4):
            began = self.at
            self.at += len(raw)
            if raw == _SECTION:
                self.section()
                continue
            if len(raw) < 4:  # noqa: PLR2004 - of a block's type
                raise self.bad("ends in a block's header", began)
            (kind,) = struct.unpack(f"{self.order}I", raw)
            yield from self.block(kind, self.body(began), began)

    def section(self) -> None:
        """The rest of a section header block, whose type has been read."""
        began = self.at - 4
        raw = self.take(4, "a section's header")
        magic = self.take(4, "a section's header")
        if magic not in _ORDERS:
            raise self.bad("a section has no byte order", began)
        self.order = _ORDERS[magic]
        (length,) = struct.unpack(f"{self.order}I", raw)
        self.check_length(length, 28, began)
        body = self.take(length - 16, "a section's header")
        (major,) = struct.unpack_from(f"{self.order}H", body)
        if major != 1:
            raise self.bad(f"is pcapng of version {major}, not 1", began)
        self.check_end(length, began)
        self.links = []

    def body(self, began: int) -> bytes:
        (length,) = self.unpack("I", "a block's header")
        self.check_length(length, 12, began)
        body = self.take(length - 12, "a block")
        self.check_end(length, began)
        return body

    def check_length(self, length: int, least: int, began: int) -> None:
        if length < least or length % 4 or length > LONGEST:
            raise self.bad("a block has an impossible length", began)

    def check_end(self, length: int, began: int) -> None:
        if self.unpack("I", "a block's end") != (length,):
            raise self.bad("a block does not end as it began", began)

    def block(self, kind: int, body: bytes, began: int) -> Iterator[Frame]:
        if kind == _INTERFACE_BLOCK:
            link, _, longest = self.fields("HHI", body, began)
            if len(self.links) == _INTERFACES:
                raise self.bad(f"has more than {_INTERFACES} interfaces", began)
            self.links.append((link, longest or LONGEST))
        elif kind == _PACKET_BLOCK:
            interface, _, _, kept, sent = self.fields("IIIII", body, began)
            yield self.packet(interface, body[20:], kept, sent, began)
        elif kind == _OLD_PACKET_BLOCK:
            interface, _, _, _, kept, sent = self.fields("HHIIII", body, began)
            yield self.packet(interface, body[20:], kept, sent, began)
        elif kind == _SIMPLE_PACKET_BLOCK:
            (sent,) = self.fields("I", body, began)
            longest = self.links[0][1] if self.links else 0
            yield self.packet(0, body[4:], min(sent, longest), sent, began)

    def packet(self, interface: int, data: bytes, kept: int, sent: int, began: int) -> Frame:
        if interface >= len(self.links):
            raise self.bad(f"packet {self.number + 1} names an interface that is not there", began)
        if kept > len(data) or kept > sent > 0:
            raise self.bad(f"packet {self.number + 1} has an impossible length", began)
        return self.frame(self.links[interface][0], data[:kept], sent)

    # -- both --------------------------------------------------------------------------

    def frame(self, link: int, data: bytes, sent: int) -> Frame:
        self.number += 1
        return Frame(self.number, link, data, max(sent - len(data), 0))

    def take(self, size: int, what: str) -> bytes:
        data = self.stream.read(size)
        if len(data) < size:
            raise self.bad(f"ends in the middle of {what}", self.at)
        self.at += size
        return data

    def unpack(self, layout: str, what: str) -> tuple[int, ...]:
        layout = self.order + layout
        return struct.unpack(layout, self.take(struct.calcsize(layout), what))

    def fields(self, layout: str, body: bytes, began: int) -> tuple[int, ...]:
        layout = self.order + layout
        if len(body) < struct.calcsize(layout):
            raise self.bad("a block is too short for what it is", began)
        return struct.unpack_from(layout, body)

    def bad(self, message: str, at: int) -> UsageError:
        return UsageError(f"{message}, at byte {at}", place=Place(self.file), remedy=_REMEDY)
