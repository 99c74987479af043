"""One stream, two sockets: TCP_REPAIR moves a connection to a fresh socket inside a value.

The first socket sends half of it and is closed without a word; the second takes over addresses,
ports and numbers, and sends the rest. What was known of the first is not known of it.
With `acknowledged` the second socket seems to be in use: it is given bytes that were sent before
and not acknowledged, and a segment made by hand, without payload, asks the peer to do so.
"""

from __future__ import annotations

import socket
import struct
import time

from attacks.connection import drained, give_up, halves
from attacks.frames import ACK, Segment, ip4
from attacks.target import Impossible, Target, refused

TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ, TCP_REPAIR_OPTIONS = 19, 20, 21, 22
RECEIVE, SEND = 1, 2
ON, OFF = 1, 0
PRETENDED = 8  # bytes
OPTION_MSS, OPTION_WINDOW, OPTION_SACK, OPTION_TIMESTAMP = 2, 3, 4, 8
TCP_TIMESTAMP = 24


def main(target: Target) -> None:
    """Half and half; `blocked: true` lets the first socket be blocked before."""
    first, second = halves(target)
    known = PRETENDED if target.args.get("acknowledged") else 0
    old = target.tcp()
    old.sendall(first)
    drained(old)
    name, peer = old.getsockname(), old.getpeername()
    try:
        old.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, ON)
    except PermissionError as error:
        raise Impossible("TCP_REPAIR needs CAP_NET_ADMIN") from error
    sequences = {}
    for queue in (RECEIVE, SEND):
        old.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, queue)
        raw = old.getsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ, 4)
        sequences[queue] = struct.unpack("I", raw)[0]
    stamp = old.getsockopt(socket.IPPROTO_TCP, TCP_TIMESTAMP)
    old.close()
    new = socket.socket(target.af, socket.SOCK_STREAM)
    new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    new.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, ON)
    new.bind(name[:2])
    for queue, number in sequences.items():
        new.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, queue)
        seq = number - (known if queue == SEND else 0)
        new.setsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ, struct.pack("I", seq))
    new.connect(peer[:2])
    options = [(OPTION_MSS, 1400), (OPTION_WINDOW, 7 << 16 | 7), (OPTION_SACK, 0)]
    options.append((OPTION_TIMESTAMP, 0))
    packed = b"".join(struct.pack("II", *each) for each in options)
    new.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_OPTIONS, packed)
    new.setsockopt(socket.IPPROTO_TCP, TCP_TIMESTAMP, stamp)
    if known:
        new.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, SEND)
        new.send(first[-known:])  # in repair this only fills the queue of what was sent
    new.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, OFF)
    if known:
        ask_for_acknowledgement(target, name[1], sequences)
        drained(new, 0.1)
    new.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    time.sleep(0.02)
    new.sendall(second)
    drained(new)
    give_up(new)


def ask_for_acknowledgement(target: Target, port: int, sequences: dict[int, int]) -> None:
    """A segment as of a keepalive: old, so that the peer tells what it has (RFC 9293, 3.8.4)."""
    segment = Segment(
        source_port=port,
        port=target.port,
        seq=sequences[SEND] - 1,
        ack=sequences[RECEIVE],
        flags=ACK,
    )
    here, there = target.sources[4], target.addresses[4]
    packet = ip4(here, there, socket.IPPROTO_TCP, segment.packed(here, there))
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as out, refused():
        out.sendto(packet, (there, 0))
