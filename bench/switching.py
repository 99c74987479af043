"""Whether anything slips through, or gets lost, while releases are activated again and again.

Sender and receiver are processes of this file: one honest TCP stream at full speed, connections
that each carry a card number cut in two, and datagrams at a steady rate. What arrived is judged
by the receiver alone: complete card numbers, digests of honest streams, datagrams.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PORT = 7300
CARD = b"4111 1111 1111 1111"
LEAKS_A_SECOND = 50
DATAGRAMS_A_SECOND = 1000
STREAM = 64 << 20  # bytes of one honest stream; then another begins
_BLOCK = 1 << 18
_SMALL = 512
_HONEST, _LEAK = b"H", b"L"
_ABORT = struct.pack("ii", 1, 0)
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h
_PATIENCE_S = 60
_SETTLE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """What came of the traffic during `switches` activations.

    Attributes:
        times_ms: of each activation: from the request to the answer, and for the store that
            switches.
        leaks: connections that tried; `complete` card numbers arrived.
        streams: honest ones that ended; `differing` arrived otherwise than they were sent.
    """

    switches: int
    times_ms: tuple[tuple[float, float], ...]
    seconds: float
    bytes: int
    leaks: int
    complete: int
    streams: int
    differing: int
    datagrams: int
    lost: int


def measure(
    sender: str,
    receiver: str,
    address: str,
    corpus: Path,
    switch: Callable[[int], tuple[float, float]],
    *,
    switches: int,
    pause_s: float = 0.0,
) -> Switched:
    """Run the traffic over `switches` calls of `switch`, which tells its two times.

    Args:
        pause_s: between two calls, for the same length without any.

    Raises:
        RuntimeError: an end of the traffic failed.
    """
    times = []
    with (
        _process(receiver, "receive", str(PORT)) as sink,
        _process(sender, "send", address, str(PORT), str(corpus)) as source,
    ):
        began = time.monotonic()
        for number in range(switches):
            times.append(switch(number))
            time.sleep(pause_s)
        seconds = time.monotonic() - began
        sent = _end(source)
        time.sleep(_SETTLE_S)
        got = _end(sink)
    streams = sent["streams"]
    differing = sum(got["streams"].get(name) != digest for name, digest in streams.items())
    return Switched(
        switches=switches,
        times_ms=tuple(times),
        seconds=seconds,
        bytes=got["bytes"],
        leaks=sent["leaks"],
        complete=got["complete"],
        streams=len(streams),
        differing=differing,
        datagrams=sent["datagrams"],
        lost=sent["datagrams"] - got["datagrams"],
    )


@contextmanager
def _process(namespace: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = ["nsenter", f"--net=/run/netns/{namespace}", sys.executable, "-I", "-S", __file__]
    with subprocess.Popen(
        [*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            if not process.stdout or process.stdout.readline() != "ready\n":
                raise RuntimeError(f"no traffic in {namespace}")
            yield process
        finally:
            process.kill()


def _end(process: subprocess.Popen[str]) -> dict[str, Any]:
    text, _ = process.communicate("end\n", timeout=_PATIENCE_S)
    if process.returncode:
        raise RuntimeError(f"traffic {process.args!r} ended with {process.returncode}")
    answer: dict[str, Any] = json.loads(text)
    return answer


# -- the receiver ------------------------------------------------------------------------------


class _Sink:
    def __init__(self, port: int) -> None:
        self.streams: dict[str, str] = {}
        self.whole: list[bytes] = []  # one entry for each connection: appending is atomic
        self.bytes = self.datagrams = 0
        self._server = socket.create_server(("", port), backlog=256)
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)
        self._udp.bind(("", port))
        for work in (self._accept, self._count):
            threading.Thread(target=work, daemon=True).start()

    def _accept(self) -> None:
        while True:
            peer, _ = self._server.accept()
            threading.Thread(target=self._read, args=(peer,), daemon=True).start()

    def _read(self, peer: socket.socket) -> None:
        with peer, suppress(OSError):
            kind = peer.recv(1)
            (self._honest if kind == _HONEST else self._leak)(peer)

    def _honest(self, peer: socket.socket) -> None:
        name = b""
        while len(name) < 16 and (data := peer.recv(16 - len(name))):  # noqa: PLR2004
            name += data
        digest, buffer = hashlib.sha256(), bytearray(_BLOCK)
        while n := peer.recv_into(buffer):
            digest.update(memoryview(buffer)[:n])
            self.bytes += n
        self.streams[name.decode()] = digest.hexdigest()

    def _leak(self, peer: socket.socket) -> None:
        got = b""
        # Told at once: of a connection that is blocked no end needs to arrive.
        while data := peer.recv(_BLOCK):
            before, got = CARD in got, got + data
            if CARD in got and not before:
                self.whole.append(CARD)

    def _count(self) -> None:
        while self._udp.recv(_SMALL):
            self.datagrams += 1


def _receive(port: int) -> dict[str, Any]:
    sink = _Sink(port)
    print("ready", flush=True)
    sys.stdin.readline()
    return {
        "streams": sink.streams,
        "complete": len(sink.whole),
        "bytes": sink.bytes,
        "datagrams": sink.datagrams,
    }


# -- the sender --------------------------------------------------------------------------------


class _Source:
    def __init__(self, address: tuple[str, int], corpus: bytes) -> None:
        self.streams: dict[str, str] = {}
        self.leaks = self.datagrams = 0
        self._address = address
        self._corpus = memoryview(corpus)
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=work) for work in (self._honest, self._leak, self._count)
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _honest(self) -> None:
        while not self._ended.is_set():
            name = os.urandom(8).hex()
            digest = hashlib.sha256()
            with socket.create_connection(self._address) as peer:
                peer.sendall(_HONEST + name.encode())
                sent = 0
                while sent < STREAM and not self._ended.is_set():
                    at = sent % (len(self._corpus) - _BLOCK)
                    block = self._corpus[at : at + _BLOCK]
                    peer.sendall(block)
                    digest.update(block)
                    sent += len(block)
                peer.shutdown(socket.SHUT_WR)
                peer.settimeout(_PATIENCE_S)
                peer.recv(1)  # until all of it was read
            self.streams[name] = digest.hexdigest()

    def _leak(self) -> None:
        chance = random.Random(1)
        open_: list[socket.socket] = []
        while not self._ended.wait(1 / LEAKS_A_SECOND):
            peer = socket.create_connection(self._address)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            cut = chance.randrange(len(CARD) + 1)
            filler = bytes(self._corpus[: chance.randrange(3000)])
            peer.sendall(_LEAK + filler + b" " + CARD[:cut])
            self._ended.wait(chance.random() / 200)
            peer.sendall(CARD[cut:] + b" " + filler)
            self.leaks += 1
            open_.append(peer)
            if len(open_) > 64:  # noqa: PLR2004 - some seconds' worth, for what is sent again
                open_.pop(0).close()
        for peer in open_:
            peer.close()

    def _count(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            while not self._ended.wait(1 / DATAGRAMS_A_SECOND):
                peer.sendto(b"datagram " * 9, self._address)
                self.datagrams += 1


def _send(address: str, port: int, path: str) -> dict[str, Any]:
    source = _Source((address, port), Path(path).read_bytes())
    print("ready", flush=True)
    sys.stdin.readline()
    source.end()
    return {"streams": source.streams, "leaks": source.leaks, "datagrams": source.datagrams}


def _main(arguments: list[str]) -> None:
    match arguments:
        case ["receive", port]:
            answer = _receive(int(port))
        case ["send", address, port, path]:
            answer = _send(address, int(port), path)
        case _:
            sys.exit("usage: switching.py receive … | send …: started by the bench")
    print(json.dumps(answer), flush=True)
    os._exit(0)  # threads of the receiver wait for more


if __name__ == "__main__":
    _main(sys.argv[1:])
