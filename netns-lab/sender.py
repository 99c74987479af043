"""A program that sends, run inside a workload: it does what standard input tells it.

One JSON object a line; one JSON object a line is the answer, so that the runner decides the pace
and can act between two sends. It ends at the end of its input. Standard library only: it starts
in some 40 ms, and dozens of it run in a demo. Bytes come in as base64 or as the name of a file.

    {"do": "open", "key": 0, "kind": "tcp", "host": "203.0.113.10", "port": 9000}
    {"do": "send", "key": 0, "data": "…", "cuts": [8, 12], "pace": 0.02}
    {"do": "drain", "timeout": 0.7}
    {"do": "close", "reset": false}
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import itertools
import json
import os
import socket
import ssl
import struct
import sys
import termios
import time
from pathlib import Path
from typing import Any

SEND_BUFFER = 8 << 20  # a blocked flow must not block the program that feeds it
SO_SNDBUFFORCE = 32
TCP_RTO_MAX_MS = 44
CONNECT_TIMEOUT = 2.0
BULK = 1 << 22
ICMP_ECHO, ICMP6_ECHO = 8, 128


class Sender:
    """The connections of one program, by key."""

    def __init__(self) -> None:
        self._sockets: dict[int, socket.socket] = {}
        self._peer: dict[int, tuple[str, int]] = {}
        self._kind: dict[int, str] = {}

    def do(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carry out one order; the network's errors are part of the answer, not exceptions."""
        began = time.monotonic()
        try:
            answer: dict[str, Any] = getattr(self, "_" + order.pop("do"))(**order)
        except OSError as error:
            answer = {"error": type(error).__name__, "errno": error.errno or 0}
        return answer | {"seconds": time.monotonic() - began}

    def _open(
        self, key: int, kind: str, host: str, port: int, protocol: int = 0, pause: float = 0
    ) -> dict[str, Any]:
        """`pause`: after so many seconds at most TCP tries again; 0 leaves that to it."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._kind[key], self._peer[key] = kind, (host, port)
        if kind in {"tcp", "tls", "fastopen"}:
            made = self._sockets[key] = stream_socket(host)
            if pause:
                with contextlib.suppress(OSError):  # before kernel 6.15
                    made.setsockopt(socket.IPPROTO_TCP, TCP_RTO_MAX_MS, int(pause * 1000))
            if kind != "fastopen":  # there the first send connects
                made.connect((host, port))
            if kind == "tls":
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                made = context.wrap_socket(made)
        elif kind == "udp":
            made = socket.socket(family, socket.SOCK_DGRAM)
            made.connect((host, port))
        elif kind == "icmp":
            six = family == socket.AF_INET6
            number = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
            made = socket.socket(family, socket.SOCK_RAW, number)
        else:
            made = socket.socket(family, socket.SOCK_RAW, protocol)
        self._sockets[key] = made
        return {"source": made.getsockname()[:2]}

    def _send(
        self, key: int, data: str = "", file: str = "", cuts: tuple[int, ...] = (), pace: float = 0
    ) -> dict[str, Any]:
        payload = Path(file).read_bytes() if file else base64.b64decode(data)
        sent = 0
        edges = [0, *cuts, len(payload)]
        for number, (start, end) in enumerate(itertools.pairwise(edges)):
            if number and pace:
                time.sleep(pace)
            self._send_part(key, payload[start:end], number)
            sent += end - start
        return {"sent": sent, "source": self._sockets[key].getsockname()[:2]}

    def _send_part(self, key: int, part: bytes, number: int) -> None:
        out, kind = self._sockets[key], self._kind[key]
        if kind == "fastopen":
            out.sendto(part, socket.MSG_FASTOPEN, self._peer[key])
            self._kind[key] = "tcp"
        elif kind == "icmp":
            six = out.family == socket.AF_INET6
            out.sendto(echo_request(part, key, number, six=six), (self._peer[key][0], 0))
        elif kind == "raw":
            out.sendto(part, (self._peer[key][0], 0))
        else:
            out.settimeout(None if len(part) > BULK else CONNECT_TIMEOUT)
            out.sendall(part)

    def _sendfile(self, key: int, file: str) -> dict[str, Any]:
        out = self._sockets[key]
        out.settimeout(None)
        size, sent = Path(file).stat().st_size, 0
        with Path(file).open("rb") as source:
            while sent < size:
                sent += os.sendfile(out.fileno(), source.fileno(), sent, min(BULK, size - sent))
        return {"sent": sent}

    def _drain(self, timeout: float) -> dict[str, Any]:
        """Wait until the peers have acknowledged everything, or until the timeout."""
        end = time.monotonic() + timeout
        while True:
            left = {key: unacknowledged(made) for key, made in self._sockets.items()}
            if not any(left.values()) or time.monotonic() > end:
                return {"unacknowledged": [count for count in left.values() if count]}
            time.sleep(0.005)

    def _close(self, *, reset: bool = False) -> dict[str, Any]:
        """Close all; with `reset` what is still queued is thrown away instead of sent again."""
        for made in self._sockets.values():
            with contextlib.suppress(OSError):
                if reset and made.type == socket.SOCK_STREAM:
                    now = struct.pack("ii", 1, 0)
                    made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
                made.close()
        self._sockets.clear()
        return {}


def stream_socket(host: str) -> socket.socket:
    """A TCP socket that sends each part at once and never makes its program wait."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER)
    made.settimeout(CONNECT_TIMEOUT)
    return made


def unacknowledged(made: socket.socket) -> int:
    """Bytes that a TCP socket must still send or hear an acknowledgement of (SIOCOUTQ)."""
    if made.type != socket.SOCK_STREAM:
        return 0
    if made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        return 0  # reset: nothing will move any more
    answer = fcntl.ioctl(made.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    return int(struct.unpack("i", answer)[0])


def echo_request(payload: bytes, identifier: int, number: int, *, six: bool) -> bytes:
    """An ICMP or ICMPv6 echo request (RFC 792, RFC 4443); the kernel sums the latter."""
    kind = ICMP6_ECHO if six else ICMP_ECHO
    packet = struct.pack("!BBHHH", kind, 0, 0, identifier, number) + payload
    if six:
        return packet
    words = packet + b"\0" * (len(packet) % 2)
    total = sum(struct.unpack(f"!{len(words) // 2}H", words))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return packet[:2] + struct.pack("!H", ~total & 0xFFFF) + packet[4:]


def main() -> None:
    """Take orders until the input ends."""
    sender = Sender()
    for line in sys.stdin.buffer:
        print(json.dumps(sender.do(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
