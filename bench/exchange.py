"""Messages over TCP inside a namespace, each timed from its send to its arrival.

Sender and receiver are processes of this file, started by `exchange`. Beside the timed
connection honest ones go on, whose retransmissions the sender reads from TCP_INFO: on a veth
nothing gets lost, so each of theirs was needless.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

PORT = 7100
_PATIENCE_S = 60
_HEAD = struct.Struct("<?dI")  # timed or not, CLOCK_MONOTONIC at the send, bytes that follow
_PLAIN = 2  # messages of no interest before each that is timed: a hold is the exception
# struct tcp_info of include/uapi/linux/tcp.h
_TOTAL_RETRANS, _DSACK_DUPS, _INFO_SIZE = 100, 216, 256
_QUIET_S = (0.005, 0.03, 0.07)  # an answer's delay: below, near and above delayed ACKs


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What one run found out.

    Attributes:
        seconds: from the send of each message to its arrival.
        honest: messages of the connections beside, `retransmitted` of them, and how many of
            those the receiver said it had already.
    """

    seconds: list[float]
    honest: int
    retransmitted: int
    duplicates: int


def exchange(
    sender: str, receiver: str, address: str, *, message: bytes, count: int, pause_s: float
) -> Exchanged:
    """Send `count` messages, one after the other has arrived and a pause.

    Raises:
        RuntimeError: an end failed.
    """
    with _process(receiver, "receive") as far:
        if not far.stdout or far.stdout.readline() != "ready\n":
            raise RuntimeError(f"no receiver in {receiver}")
        arguments = ("send", address, message.hex(), str(count), str(pause_s))
        with _process(sender, *arguments) as near:
            text, _ = near.communicate(timeout=count * 3 * (pause_s + 1) + _PATIENCE_S)
        if near.returncode:
            raise RuntimeError(f"exchange ended with {near.returncode}")
        answer: dict[str, list[float]] = json.loads(text)
        arrived = json.loads(far.communicate(timeout=_PATIENCE_S)[0])
    honest, again, duplicates = map(int, answer["honest"])
    return Exchanged(arrived, honest, again, duplicates)


@contextmanager
def _process(namespace: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = ["nsenter", f"--net=/run/netns/{namespace}", sys.executable, "-I", "-S", __file__]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _receive() -> list[float]:
    """Seconds that each message of the first connection took; all others are answered late."""
    taken: list[float] = []
    with socket.create_server(("", PORT), backlog=8) as server:
        print("ready", flush=True)
        timed = server.accept()[0]
        others = [server.accept()[0] for _ in _QUIET_S]
        threads = [
            threading.Thread(target=_answer, args=(each, delay), daemon=True)
            for each, delay in zip(others, _QUIET_S, strict=True)
        ]
        for thread in threads:
            thread.start()
        with timed:
            while head := _exactly(timed, _HEAD.size):
                counts, sent, length = _HEAD.unpack(head)
                _exactly(timed, length)
                if counts:
                    taken.append(time.monotonic() - sent)
                timed.sendall(b"!")
    return taken


def _answer(peer: socket.socket, delay: float) -> None:
    with peer:
        while peer.recv(4096):
            time.sleep(delay)
            peer.sendall(b"ok")


def _exactly(peer: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length and (part := peer.recv(length - len(data))):
        data += part
    return data


def _send(address: str, message: bytes, count: int, pause_s: float) -> dict[str, list[int]]:
    timed = socket.create_connection((address, PORT))
    others = [socket.create_connection((address, PORT)) for _ in _QUIET_S]
    ended = threading.Event()
    sent = [0] * len(others)
    threads = [
        threading.Thread(target=_talk, args=(each, ended, sent, number), daemon=True)
        for number, each in enumerate(others)
    ]
    for thread in threads:
        thread.start()
    for peer in (timed, *others):
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(count):
        for body in (*[b"x" * len(message)] * _PLAIN, message):
            head = _HEAD.pack(body is message, time.monotonic(), len(body))
            timed.sendall(head + body)
            timed.recv(1)
            time.sleep(pause_s)
    ended.set()
    for thread in threads:
        thread.join()
    infos = [each.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_SIZE) for each in others]
    totals = [
        sum(struct.unpack_from("<I", info, at)[0] for info in infos if len(info) >= at + 4)
        for at in (_TOTAL_RETRANS, _DSACK_DUPS)
    ]
    return {"honest": [sum(sent), *totals]}


def _talk(peer: socket.socket, ended: threading.Event, sent: list[int], number: int) -> None:
    rng = random.Random(number)
    while not ended.is_set():
        peer.sendall(b"x" * rng.randrange(20, 1200))
        peer.recv(16)
        sent[number] += 1


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["receive"]:
            print(json.dumps(_receive()))
        case ["send", where, text, times, pause]:
            print(json.dumps(_send(where, bytes.fromhex(text), int(times), float(pause))))
        case _:
            sys.exit("usage: exchange.py receive | send …: started by the bench")
