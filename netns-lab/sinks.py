"""The servers of the lab's internet: they take what comes, answer, and record every byte.

A program of its own, run in the internet's namespace: `python sinks.py`, with a plan (JSON) as
the first line of standard input. It prints `ready` once it listens and ends at the end of its
input, so that it never outlives the runner; with `"stay": true` in the plan it stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import sys
from pathlib import Path
from typing import Any, cast

from recorder import Recorder, Stream
from tap import Tap
from topology import inside
from wire import BRIDGE_WIRE, BUFFER, SO_RCVBUFFORCE, WIRE, Wire

CHUNK = 1 << 20
BACKLOG = 128
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
DNS_HEADER = 12
DNS_QUESTION = 5  # the least: root label, type, class
TCP_FASTOPEN_QUEUE = 16


class TcpSink(asyncio.BufferedProtocol):
    """Records a connection and says nothing. Buffered: bulk transfers must not be slowed here."""

    def __init__(self, name: str, recorder: Recorder) -> None:
        self._name = name
        self._recorder = recorder
        self._buffer = bytearray(CHUNK)
        self._view = memoryview(self._buffer)
        self.stream: Stream | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open a stream for it."""
        self.transport = cast("asyncio.Transport", transport)
        self.stream = self._recorder.open(self._name, transport.get_extra_info("peername")[:2])

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Where the next bytes go."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Keep them."""
        if self.stream is not None:
            self.stream.write(self._view[:nbytes])
            self.arrived(self._view[:nbytes])

    def arrived(self, data: memoryview) -> None:
        """For sinks that answer."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the stream."""
        if self.stream is not None:
            self.stream.close(type(exc).__name__ if exc else "eof")


class HttpSink(TcpSink):
    """Answers each request of a connection; bodies by Content-Length only (RFC 9112, 6.2)."""

    def __init__(self, name: str, recorder: Recorder) -> None:
        super().__init__(name, recorder)
        self._head = bytearray()
        self._body = 0

    def arrived(self, data: memoryview) -> None:
        """Follow the requests, answer those that are complete."""
        rest = bytes(data) if self._body == 0 else data
        while len(rest):
            if self._body:
                taken = min(self._body, len(rest))
                self._body -= taken
                rest = rest[taken:]
                if self._body == 0:
                    self._answer()
            else:
                rest = self._take_head(bytes(rest))

    def _take_head(self, data: bytes) -> bytes:
        self._head += data
        head, end, rest = bytes(self._head).partition(b"\r\n\r\n")
        if not end:
            return b""
        self._head.clear()
        fields = dict(
            line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line
        )
        self._body = int(fields.get(b"content-length", b"0"))
        if self._body == 0:
            self._answer()
        elif b"100-continue" in fields.get(b"expect", b"") and self.transport:
            self.transport.write(CONTINUE)
        return rest

    def _answer(self) -> None:
        if self.stream is not None and self.transport is not None:
            self._recorder.note(self.stream, "request")
            self.transport.write(RESPONSE)


class UdpSink(asyncio.DatagramProtocol):
    """Records datagrams and says nothing."""

    def __init__(self, name: str, recorder: Recorder) -> None:
        self._name = name
        self._recorder = recorder
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Keep it, and answer it."""
        self._recorder.datagram(self._name, addr[:2], data)
        answer = self.answer(data)
        if answer and self.transport:
            self.transport.sendto(answer, addr)

    def answer(self, data: bytes) -> bytes:  # noqa: ARG002 - for those that answer
        """Nothing, unless a subclass knows better."""
        return b""


class DnsSink(UdpSink):
    """A name server that knows every name: all have one address (RFC 1035, 4.1)."""

    def answer(self, data: bytes) -> bytes:
        """The response to a query of one question."""
        end = DNS_HEADER
        while end < len(data) and data[end]:
            end += data[end] + 1
        question = data[DNS_HEADER : end + 5]
        if len(question) < DNS_QUESTION:
            return b""
        flags = b"\x84\x00"  # response, authoritative
        counts = b"\x00\x01\x00\x01\x00\x00\x00\x00"
        record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04" + bytes([203, 0, 113, 10])
        return data[:2] + flags + counts + question + record


STREAMS = {"tcp": TcpSink, "http": HttpSink, "tls": TcpSink, "mptcp": TcpSink}
DATAGRAMS = {"udp": UdpSink, "dns": DnsSink, "udplite": UdpSink}
UDPLITE, MPTCP = 136, 262


async def listen(sink: dict[str, Any], recorder: Recorder, tls: ssl.SSLContext | None) -> None:
    """Open a sink: `name`, `kind`, `address`, `port`, and `protocol` for raw sockets."""
    loop = asyncio.get_running_loop()
    name, kind = sink["name"], sink["kind"]
    address, port = sink["address"], sink["port"]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if kind == "protocol":
        listen_raw(name, family, address, sink["protocol"], recorder)
        return
    if kind in DATAGRAMS:
        taker = socket.socket(family, socket.SOCK_DGRAM, UDPLITE if kind == "udplite" else 0)
        taker.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        taker.bind((address, port))
        await loop.create_datagram_endpoint(lambda: DATAGRAMS[kind](name, recorder), sock=taker)
        return
    if kind == "mptcp":
        taker = socket.socket(family, socket.SOCK_STREAM, MPTCP)
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taker.bind((address, port))
        taker.listen(BACKLOG)
    else:
        taker = socket.create_server((address, port), family=family, backlog=BACKLOG)
    taker.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, TCP_FASTOPEN_QUEUE)
    await loop.create_server(
        lambda: STREAMS[kind](name, recorder), sock=taker, ssl=tls if kind == "tls" else None
    )


def listen_raw(
    name: str, family: socket.AddressFamily, address: str, protocol: int, recorder: Recorder
) -> None:
    """Record every packet of an IP protocol that reaches an address, reassembled by the kernel."""
    taker = socket.socket(family, socket.SOCK_RAW, protocol)
    taker.settimeout(0)
    taker.bind((address, 0))

    def read() -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                data, peer = taker.recvfrom(0x20000)
                recorder.datagram(name, (peer[0], 0), data)

    asyncio.get_running_loop().add_reader(taker.fileno(), read)


async def serve(plan: dict[str, Any]) -> None:
    """Run the sinks of a plan until standard input ends (`stay`: for ever)."""
    loop = asyncio.get_running_loop()
    directory = Path(plan["directory"])
    recorder = Recorder(directory)
    tls = None
    if plan.get("certificate"):
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(plan["certificate"])
    for sink in plan["sinks"]:
        await listen(sink, recorder, tls)
    Tap(plan["device"], recorder).start(loop)
    Wire(plan["device"], directory / WIRE).start(loop)
    if "bridge" in plan:
        with inside(plan["bridge"]["netns"]):
            Wire(plan["bridge"]["device"], directory / BRIDGE_WIRE).start(loop)
    print("ready", flush=True)
    if plan.get("stay"):
        await asyncio.Event().wait()
    await loop.run_in_executor(None, sys.stdin.buffer.read)
    recorder.close()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.stdin.buffer.readline())))
