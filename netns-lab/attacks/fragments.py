"""A UDP datagram in IP fragments with the value across their edges.

`way`: `kernel` (the stack cuts it, in order), `permuted` (by raw socket: every order of three
fragments, one secret each), `overlapping` (the edge sent twice, with other bytes first).
"""

from __future__ import annotations

import itertools
import socket
import time

from attacks.frames import fragments4, fragments6, ip4, ip6, udp
from attacks.target import Target, refused

EDGE = {4: 1480 - 8, 6: 1448 - 8}  # of the datagram's payload at an MTU of 1500
FILLER = b"the goods have left the harbour with a delay of some days as the port reported. " * 60
UDP = socket.IPPROTO_UDP


def main(target: Target) -> None:
    """Send all of them."""
    match target.args["way"]:
        case "kernel":
            by_kernel(target)
        case "permuted":
            values = target.secrets.values()
            orders = itertools.permutations(range(3))
            for number, (value, order) in enumerate(zip(values, orders, strict=True)):
                parts = cut(target, value.encode(), identity=100 + number)
                send(target, [parts[place] for place in order])
        case "overlapping":
            first, second, third = cut(target, target.secret, identity=200)
            junk = second[:-8] + b"\0" * 8
            send(target, [first, junk, second, third])


def by_kernel(target: Target) -> None:
    """One datagram longer than the MTU."""
    half = len(target.secret) // 2
    before = FILLER[: EDGE[target.family] - half - 1] + b" "
    with socket.socket(target.af, socket.SOCK_DGRAM) as out, refused():
        out.sendto(before + target.secret + b" " + FILLER[:1500], (target.address, target.port))


def cut(target: Target, value: bytes, *, identity: int) -> list[bytes]:
    """Three fragments, both cuts inside the value: 8 bytes of UDP header, 8 of text, 4 of it."""
    datagram = udp(target.source, target.address, target.port, b"card" + value + b", thanks\n")
    if target.family == 4:  # noqa: PLR2004 - IP version
        packet = ip4(target.source, target.address, UDP, datagram, identity=identity)
        return fragments4(packet, [16, 8])
    return fragments6(ip6(target.source, target.address, UDP, datagram), [16, 8], identity)


def send(target: Target, packets: list[bytes]) -> None:
    """Whole IP packets by a raw socket."""
    with socket.socket(target.af, socket.SOCK_RAW, socket.IPPROTO_RAW) as out:
        for packet in packets:
            with refused():
                out.sendto(packet, (target.address, 0))
            time.sleep(0.01)
