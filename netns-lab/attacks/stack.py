"""A TCP of one's own, in userspace: a connection on an address that the kernel does not know.

Packet sockets only (CAP_NET_RAW): it answers ARP for the address, so that the replies come here
and no kernel resets the connection. IPv4; it sends what it is told and checks no reply but SYN.
"""

from __future__ import annotations

import random
import socket
import struct
import time
from types import TracebackType
from typing import Self

from attacks.frames import (
    ACK,
    ETH_IP,
    FIN,
    PSH,
    SYN,
    Segment,
    ethernet,
    fragments4,
    ip4,
)
from attacks.target import Target, refused

ETH_P_ALL, ETH_ARP = 3, 0x0806
HANDSHAKE = 2.0
TCP = socket.IPPROTO_TCP


class Connection:
    """A connection to the sink from the spare address; bytes are placed by stream offset.

    Where the handshake is not answered (a gateway lets nothing of it through) sending goes on
    with numbers of one's own.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._hop = target.next_hop()
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.bind((target.device, ETH_P_ALL))
        self._port = random.randint(32_768, 60_000)
        self._isn = random.randrange(2**32)
        self._ack = 0
        self.established = False

    def __enter__(self) -> Self:
        self._announce()
        end = time.monotonic() + HANDSHAKE
        while not self.established and time.monotonic() < end:
            self._send(self._segment(-1, flags=SYN))
            self._answer(time.monotonic() + 0.3)
        self._send(self._segment(0, flags=ACK))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._answer(time.monotonic() + 0.2)
        self._socket.close()

    def send(self, offset: int, data: bytes, *, cut: list[int] | None = None) -> None:
        """Bytes at an offset of the stream, with `cut` as IP fragments of these sizes."""
        self._send(self._segment(offset, flags=PSH | ACK, payload=data), cut)
        self._answer(time.monotonic() + 0.03)

    def finish(self, offset: int) -> None:
        """The end of the stream."""
        self._send(self._segment(offset, flags=FIN | ACK))

    def _segment(self, offset: int, *, flags: int, payload: bytes = b"") -> Segment:
        return Segment(
            source_port=self._port,
            port=self._target.port,
            seq=self._isn + 1 + offset,
            ack=self._ack,
            flags=flags,
            payload=payload,
        )

    def _send(self, segment: Segment, cut: list[int] | None = None) -> None:
        source, destination = self._target.spare, self._target.addresses[4]
        identity = random.randrange(1, 2**16)
        packed = segment.packed(source, destination)
        packet = ip4(source, destination, TCP, packed, identity=identity)
        for part in fragments4(packet, cut) if cut else [packet]:
            with refused():
                self._socket.send(ethernet(self._target.mac, self._hop, part))

    def _announce(self) -> None:
        """Tell the next hop where the spare address is: an ARP reply that nobody asked for."""
        self._reply(self._hop, self._target.gateways[4])

    def _answer(self, end: float) -> None:
        """Take what comes until then: ARP requests for the address, the sink's SYN."""
        while (left := end - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                frame = self._socket.recv(65_536)
            except TimeoutError:
                return
            self._take(frame)
            if self.established and self._ack and frame[12:14] == struct.pack("!H", ETH_IP):
                return

    def _take(self, frame: bytes) -> None:
        ethertype = struct.unpack_from("!H", frame, 12)[0]
        own = socket.inet_aton(self._target.spare)
        if ethertype == ETH_ARP and frame[20:22] == b"\0\1" and frame[38:42] == own:
            mac = ":".join(f"{byte:02x}" for byte in frame[6:12])
            self._reply(mac, socket.inet_ntoa(frame[28:32]))
        elif ethertype == ETH_IP and frame[23] == TCP and frame[30:34] == own:
            segment = frame[14 + (frame[14] & 0xF) * 4 :]
            if segment[13] & (SYN | ACK) == SYN | ACK and not self.established:
                self._ack = struct.unpack_from("!I", segment, 4)[0] + 1
                self.established = True

    def _reply(self, mac: str, address: str) -> None:
        own = bytes.fromhex(self._target.mac.replace(":", "")) + socket.inet_aton(
            self._target.spare
        )
        other = bytes.fromhex(mac.replace(":", "")) + socket.inet_aton(address)
        packet = struct.pack("!HHBBH", 1, ETH_IP, 6, 4, 2) + own + other
        with refused():
            self._socket.send(ethernet(self._target.mac, mac, packet, ETH_ARP))
