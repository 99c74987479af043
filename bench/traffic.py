"""Sends a corpus over TCP inside a namespace and takes the time until it has all arrived.

Sender and receiver are processes of this file, started by `transfer`; so that the payload is the
corpus, and so that what is timed is send, filter and receive and nothing else.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PORT = 7000
_BUFFER = 1 << 18
_PATIENCE_S = 60


@dataclass(frozen=True, slots=True)
class Transfer:
    """What arrived: payload bytes, seconds from the first send to the last byte, whole copies."""

    bytes: int
    seconds: float
    copies: int

    @property
    def gigabits(self) -> float:
        """Per second."""
        return self.bytes * 8 / self.seconds / 1e9


@dataclass(frozen=True, slots=True)
class Way:
    """From where to where: namespaces and the address and port that the sender connects to."""

    sender: str
    receiver: str
    address: str
    port: int = PORT


def transfer(way: Way, corpus: Path, *, seconds: float, connections: int) -> Transfer:
    """Sends whole copies of the file until the time is up.

    Raises:
        RuntimeError: bytes got lost on the way, or an end failed.
    """
    receiving = ("receive", str(PORT), str(connections))
    sending = ("send", way.address, str(way.port), str(connections), str(seconds), str(corpus))
    with _process(way.receiver, *receiving) as receiver:
        if not receiver.stdout or receiver.stdout.readline() != "ready\n":
            raise RuntimeError(f"no receiver in {way.receiver}")
        with _process(way.sender, *sending) as sender:
            sent = _answer(sender, seconds + _PATIENCE_S)
        received = _answer(receiver, _PATIENCE_S)
    if sent["bytes"] != received["bytes"]:
        raise RuntimeError(f"{sent['bytes']} bytes sent and {received['bytes']} received")
    elapsed = received["end"] - sent["start"]
    return Transfer(int(received["bytes"]), elapsed, int(sent["copies"]))


@contextmanager
def _process(namespace: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = ["nsenter", f"--net=/run/netns/{namespace}", sys.executable, "-I", "-S", __file__]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _answer(process: subprocess.Popen[str], timeout: float) -> dict[str, float]:
    text, _ = process.communicate(timeout=timeout)
    if process.returncode:
        raise RuntimeError(f"traffic {process.args!r} ended with {process.returncode}")
    answer: dict[str, float] = json.loads(text)
    return answer


def _receive(port: int, connections: int) -> dict[str, float]:
    counts = [0] * connections

    def drain(number: int, peer: socket.socket) -> None:
        buffer = bytearray(_BUFFER)
        with peer:
            while n := peer.recv_into(buffer):
                counts[number] += n

    with socket.create_server(("", port), backlog=connections) as server:
        print("ready", flush=True)
        peers = [server.accept()[0] for _ in range(connections)]
    _all(drain, list(enumerate(peers)))
    return {"bytes": sum(counts), "end": time.monotonic()}


def _send(address: str, port: int, connections: int, seconds: float, path: str) -> dict[str, float]:
    corpus = memoryview(Path(path).read_bytes())
    copies = [0] * connections
    peers = [socket.create_connection((address, port)) for _ in range(connections)]
    start = time.monotonic()

    def push(number: int, peer: socket.socket) -> None:
        with peer:
            while time.monotonic() < start + seconds:
                for offset in range(0, len(corpus), _BUFFER):
                    peer.sendall(corpus[offset : offset + _BUFFER])
                copies[number] += 1

    _all(push, list(enumerate(peers)))
    return {"bytes": sum(copies) * len(corpus), "copies": sum(copies), "start": start}


def _all(work: object, items: list[tuple[int, socket.socket]]) -> None:
    threads = [threading.Thread(target=work, args=item) for item in items]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _main(arguments: list[str]) -> None:
    match arguments:
        case ["receive", port, connections]:
            answer = _receive(int(port), int(connections))
        case ["send", address, port, connections, seconds, path]:
            answer = _send(address, int(port), int(connections), float(seconds), path)
        case _:
            sys.exit("usage: traffic.py receive … | send …: started by the bench")
    print(json.dumps(answer))


if __name__ == "__main__":
    _main(sys.argv[1:])
