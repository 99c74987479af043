"""Keeps whole packets as they come off a device: what a colluding machine could put together.

The sinks record what programs get; this records headers too, fragments, segments without a
connection, frames of no IP. Plain TCP of other scenarios is left out by a filter, since bulk
transfers must not be slowed here. `views.py` reads what is kept.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from pathlib import Path

from tap import ETH_P_ALL, ETH_P_IP, ETH_P_IP6, PACKET_OUTGOING, attach_filter

WIRE, BRIDGE_WIRE = "wire.frames", "bridge.frames"  # beside the streams
FIRST_PORT, PORTS = 20_000, 1_000  # of the sinks of attacks
DISCARD = 9  # where floods go
HEADER = struct.Struct("<dIHxx")  # time, bytes that follow, ethertype
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC = 263, 1, 1
SO_RCVBUFFORCE = 33
BUFFER = 16 << 20
TCP, UDP = 6, 17

# Classic BPF by label: (label, code, k, label if true, label if false). Offsets count from the
# network header. A fragment that is not the first has no ports: it is taken.
LDH_AT, LDH_X, LDB_AT, LDX_IP4, JEQ, JGE, JSET, RET = 0x28, 0x48, 0x30, 0xB1, 0x15, 0x35, 0x45, 0x06
PROGRAM = [
    ("", LDH_AT, 0xFFFFF000, "", ""),  # ethertype (SKF_AD_PROTOCOL)
    ("", JEQ, ETH_P_IP, "ip4", ""),
    ("", JEQ, ETH_P_IP6, "ip6", "take"),
    ("ip4", LDH_AT, 6, "", ""),
    ("", JSET, 0x1FFF, "take", ""),
    ("", LDX_IP4, 0, "", ""),
    ("", LDB_AT, 9, "", ""),
    ("", JEQ, UDP, "udp4", ""),
    ("", JEQ, TCP, "", "take"),
    ("", LDH_X, 2, "", ""),
    ("", JGE, FIRST_PORT, "range", "leave"),
    ("udp4", LDH_X, 2, "", ""),
    ("", JEQ, DISCARD, "leave", "take"),
    ("ip6", LDB_AT, 6, "", ""),
    ("", JEQ, UDP, "udp6", ""),
    ("", JEQ, TCP, "", "take"),
    ("", LDH_AT, 42, "", ""),
    ("", JGE, FIRST_PORT, "range", "leave"),
    ("udp6", LDH_AT, 42, "", ""),
    ("", JEQ, DISCARD, "leave", "take"),
    ("range", JGE, FIRST_PORT + PORTS, "leave", "take"),
    ("leave", RET, 0, "", ""),
    ("take", RET, 0x40000, "", ""),
]


class Wire:
    """Appends each packet of a device of the current namespace to a file."""

    def __init__(self, device: str, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        # Protocol 0 takes nothing: the filter must be in place before the first packet.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self._socket.settimeout(0)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        attach_filter(self._socket, assembled(PROGRAM))
        # A bridge shows all that it carries only to a device in promiscuous mode.
        wanted = struct.pack("iHH8s", socket.if_nametoindex(device), PACKET_MR_PROMISC, 0, b"")
        self._socket.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, wanted)
        self._socket.bind((device, ETH_P_ALL))

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Record from now on, while the loop runs."""
        loop.add_reader(self._socket.fileno(), self._read)

    def _read(self) -> None:
        while True:
            try:
                packet, (_, ethertype, kind, *_) = self._socket.recvfrom(0x20000)
            except BlockingIOError:
                return
            if kind != PACKET_OUTGOING:
                self._file.write(HEADER.pack(time.time(), len(packet), ethertype) + packet)


def assembled(
    program: list[tuple[str, int, int, str, str]],
) -> list[tuple[int, int, int, int]]:
    """Instructions with jumps by distance: (code, jump if true, jump if false, k)."""
    places = {label: place for place, (label, *_) in enumerate(program) if label}

    def distance(label: str, place: int) -> int:
        return places[label] - place - 1 if label else 0

    return [
        (code, distance(true, place), distance(false, place), k)
        for place, (_, code, k, true, false) in enumerate(program)
    ]
