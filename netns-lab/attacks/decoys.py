"""The value among text that is dense with near misses, to use up the work that a packet may cost.

`way`: `cards` numbers that look like cards and fail their checksum; `digits` nothing but digits;
`keys` the beginnings of keys and tokens. `size` bytes in one write. `gso`: raise the largest
packet of the device first (needs CAP_NET_ADMIN). `udp: true` sends datagrams of 60 KB.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable

from attacks.connection import drained, give_up
from attacks.inner import run
from attacks.target import Target, refused

TIMES = 8
DATAGRAM = 60_000


def cards(rng: random.Random) -> bytes:
    """A number whose last digit is wrong for Luhn."""
    digits = [4, *(rng.randrange(10) for _ in range(14))]
    total = sum(
        digit if place % 2 else digit * 2 - 9 * (digit > 4)  # noqa: PLR2004 - Luhn
        for place, digit in enumerate(digits)
    )
    wrong = (10 - total % 10 + rng.randrange(1, 10)) % 10
    return "".join(map(str, [*digits, wrong])).encode() + b" "


def digits(rng: random.Random) -> bytes:
    """Groups that could begin anything."""
    return b"%03d-%02d-%04d " % (rng.randrange(1000), rng.randrange(100), rng.randrange(10000))


def keys(rng: random.Random) -> bytes:
    """Fronts of tokens."""
    return rng.choice([b"AKIA", b"ghp_", b"eyJhbGciOi", b"sk_live_", b"glpat-", b"xoxb-"]) + b"9 "


WAYS: dict[str, Callable[[random.Random], bytes]] = {"cards": cards, "digits": digits, "keys": keys}


def raise_gso(target: Target) -> None:
    """Let the device take packets of the row's size; beyond 64 KB this is for IPv6 alone."""
    run("ip", "link", "set", target.device, "gso_max_size", str(target.args["gso"]))


def main(target: Target) -> None:
    """Some writes, with the value in the middle of each."""
    rng = random.Random(target.port)
    make, size = WAYS[target.args["way"]], int(target.args.get("size", 64_000))
    if target.args.get("gso"):
        raise_gso(target)
        time.sleep(0.2)
    parts: list[bytes] = []
    while sum(map(len, parts)) < size:
        parts += [make(rng) for _ in range(100)]
    parts.insert(len(parts) // 2, target.secret + b" ")
    text = b"".join(parts)
    for _ in range(TIMES):
        if target.args.get("udp"):
            half = text.index(target.secret)
            with socket.socket(target.af, socket.SOCK_DGRAM) as out, refused():
                out.sendto(
                    text[max(0, half - DATAGRAM // 2) : half + DATAGRAM // 2],
                    (target.address, target.port),
                )
            continue
        made = target.tcp()
        try:
            made.settimeout(1.0)
            with refused():
                made.sendall(b"." * 300_000 + b" ")  # opens the window
                drained(made)
                if target.args.get("gso"):
                    raise_gso(target)
                made.sendall(text)
            drained(made, 0.6)
        finally:
            give_up(made)
