"""The sentry: a new device's host end is closed at once, until it is released."""

import os
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from dlp.datapath import links, rtnetlink
from dlp.datapath.abi import GuardFlag
from dlp.datapath.attach import NamespaceLink
from dlp.datapath.links import Hook
from dlp.enforcement.sentry import Sentry
from dlp.workloads.netns import entered, open_netns
from tests.netlab import until

pytest_plugins = ["tests.netlab_fixture"]

if not links.supported():
    pytest.skip("TCX needs kernel 6.6", allow_module_level=True)

WITHIN, HOST = f"dlptest-{os.getpid()}-sw", f"dlptest-{os.getpid()}-sh"


def ip(text: str) -> None:
    subprocess.run(["ip", *text.split()], check=True, capture_output=True)


@pytest.fixture
def places():
    for name in (WITHIN, HOST):
        ip(f"netns add {name}")
    with open_netns(WITHIN) as within, open_netns(HOST) as host:
        yield within, host
    for name in (WITHIN, HOST):
        ip(f"netns del {name}")


@pytest.fixture
def sentry(live, places):
    within, host = places
    live.set_guard_flags(0, GuardFlag.CLOSED)
    made = Sentry(live.guard(0))
    made.place_opened(host.inode, host.fd)
    made.watch(within.inode, within.fd)
    until(lambda: within.inode in made._watched)
    yield made
    made.close()


def make(name: str) -> None:
    ip(f"link add name {name} netns {WITHIN} type veth peer name {name} netns {HOST}")


def closed(host, name: str) -> int:
    """How many programs are at ingress of a host end."""
    listed = subprocess.run(
        ["ip", "-n", HOST, "-o", "link", "show", name], check=True, capture_output=True, text=True
    )
    with entered(host.fd):
        return len(links.order(int(listed.stdout.split(":", 1)[0]), Hook.INGRESS))


def index_within(name: str) -> int:
    listed = subprocess.run(
        ["ip", "-n", WITHIN, "-o", "link", "show", name], check=True, capture_output=True, text=True
    )
    return int(listed.stdout.split(":", 1)[0])


def peer_of(within, name: str) -> tuple[int, int]:
    """Index and namespace number of a device's other end."""
    with entered(within.fd):
        netlink = rtnetlink.Netlink()
    try:
        (link,) = [one for one in netlink.links() if one.name == name]
    finally:
        netlink.close()
    return link.linked, link.nsid


def test_comes_before_all_that_is_busy(sentry):
    """Its thread only: what reads payload is worth no more than a workload."""
    assert -20 == os.getpriority(os.PRIO_PROCESS, sentry._thread.native_id)
    assert -20 < os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_new_device_is_closed_until_released(sentry, places):
    within, host = places
    make("one")
    until(lambda: closed(host, "one"))
    sentry.release(within.inode, index_within("one"), peer_of(within, "one"))
    until(lambda: not closed(host, "one"))


def test_released_device_stays_open(sentry, places):
    """Changes of a device that is covered are none of its business."""
    within, host = places
    make("two")
    until(lambda: closed(host, "two"))
    sentry.release(within.inode, index_within("two"), peer_of(within, "two"))
    until(lambda: not closed(host, "two"))
    ip(f"-n {WITHIN} link set two up")
    ip(f"-n {WITHIN} link set two down")
    make("marker")
    until(lambda: closed(host, "marker"))
    assert not closed(host, "two")


def test_device_made_anew_under_its_index(sentry, places):
    within, host = places
    make("three")
    until(lambda: closed(host, "three"))
    index = index_within("three")
    sentry.release(within.inode, index, peer_of(within, "three"))
    ip(f"-n {WITHIN} link del three")
    ip(f"link add name three index {index} netns {WITHIN} type veth peer name three netns {HOST}")
    until(lambda: closed(host, "three"))


def test_pair_within_is_left_alone(sentry, places):
    """Its other end is no host's: nobody can keep the sentry busy with such."""
    _, host = places
    ip(f"-n {WITHIN} link add left type veth peer name right")
    make("four")
    until(lambda: closed(host, "four"))
    with open_netns(WITHIN) as within, entered(within.fd):
        assert not links.order(index_within("left"), Hook.INGRESS)


def test_what_is_closed_opens_at_the_end(live, places):
    within, host = places
    live.set_guard_flags(0, GuardFlag.CLOSED)
    made = Sentry(live.guard(0))
    made.place_opened(host.inode, host.fd)
    made.watch(within.inode, within.fd)
    until(lambda: within.inode in made._watched)
    make("five")
    until(lambda: closed(host, "five"))
    made.close()
    until(lambda: not closed(host, "five"))


def test_ends_right_behind_an_order(live):
    """Its thread may be at its end before the last ring: nothing fails, and all is closed."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(200):
        sentry = Sentry(live.guard(0))
        sentry.ignore(1)
        sentry.close()

    assert before == len(list(Path("/proc/self/fd").iterdir()))


def test_since_when_it_is_closed(sentry, places):
    """When a device was closed is known until it is released, and what had left before."""
    within, host = places
    began = time.monotonic()
    make("six")
    until(lambda: closed(host, "six"))
    index = index_within("six")
    until(lambda: sentry.closed(within.inode, index))
    known = sentry.closed(within.inode, index)
    sentry.release(within.inode, index, peer_of(within, "six"))

    assert began < known.since < time.monotonic()
    assert 0 == known.sent
    assert sentry.closed(within.inode, index) is None


def test_lost_messages(sentry, places, monkeypatch):
    """Where the kernel had no room for its messages, what came meanwhile is closed all the same.

    Also what was made anew under the index of a device that was released; that one stays open
    which is still the same.
    """
    within, host = places
    for name in ("kept", "old"):
        make(name)
        until(lambda name=name: closed(host, name))
        sentry.release(within.inode, index_within(name), peer_of(within, name))
        until(lambda name=name: not closed(host, name))
    index, go_on, lost = index_within("old"), threading.Event(), []
    resync = sentry._resync
    monkeypatch.setattr(sentry, "_resync", lambda one: (lost.append(one), resync(one)))
    changes = sentry._watched[within.inode].changes
    sentry._order(go_on.wait)
    changes.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
    came = [f"new{number}" for number in range(8)]
    for name in came:
        make(name)
    ip(f"-n {WITHIN} link del old")
    ip(f"link add name old index {index} netns {WITHIN} type veth peer name old netns {HOST}")
    go_on.set()
    until(lambda: all(closed(host, name) for name in (*came, "old")))

    assert lost
    assert not closed(host, "kept")


def bridge(name: str, *, on: bool) -> None:
    """Make a device the port of a bridge, or end that."""
    if on:
        ip(f"-n {WITHIN} link add br9 type bridge")
        ip(f"-n {WITHIN} link set {name} master br9")
    else:
        ip(f"-n {WITHIN} link del br9")


def test_port_of_a_bridge_stays_open(sentry, places):
    """A bridge that loses a port says so with a removal: the device is there as before."""
    within, host = places
    make("seven")
    until(lambda: closed(host, "seven"))
    sentry.release(within.inode, index_within("seven"), peer_of(within, "seven"))
    bridge("seven", on=True)
    bridge("seven", on=False)
    ip(f"-n {WITHIN} link set seven up")
    make("marker")
    until(lambda: closed(host, "marker"))

    assert not closed(host, "seven")


def test_port_of_a_bridge_stays_closed(sentry, places):
    """Nobody opens a device that is not covered by making it a port, and ending that."""
    _, host = places
    make("eight")
    until(lambda: closed(host, "eight"))
    bridge("eight", on=True)
    bridge("eight", on=False)
    make("marker")
    until(lambda: closed(host, "marker"))

    assert closed(host, "eight")


@pytest.fixture
def elsewhere():
    name = f"dlptest-{os.getpid()}-se"
    ip(f"netns add {name}")
    yield name
    ip(f"netns del {name}")


def test_moved_device_stays_closed(sentry, places, elsewhere):
    """One that is moved before it is covered is closed until it is covered where it is."""
    within, host = places
    make("nine")
    until(lambda: closed(host, "nine"))
    until(lambda: sentry._closed)  # the link stands a moment before it is written down
    ((_, known),) = sentry._closed.items()
    ip(f"-n {WITHIN} link set nine netns {elsewhere}")
    make("marker")
    until(lambda: closed(host, "marker"))
    during = closed(host, "nine")
    sentry.release(within.inode + 1, 99, (0, 0), known.end)

    assert 1 == during
    assert not closed(host, "nine")


def test_moved_device_comes_home(sentry, places, elsewhere):
    within, host = places
    make("ten")
    until(lambda: closed(host, "ten"))
    ip(f"-n {WITHIN} link set ten netns {elsewhere}")
    ip(f"-n {elsewhere} link set ten netns {WITHIN}")
    make("marker")
    until(lambda: closed(host, "marker"))
    during = closed(host, "ten")
    sentry.release(within.inode, index_within("ten"), peer_of(within, "ten"))

    assert 1 == during
    assert not closed(host, "ten")


def test_moved_device_that_is_gone(sentry, places, elsewhere):
    """Its link is let go of with the next look at all devices; so is that of a forgotten one."""
    within, host = places
    make("eleven")
    until(lambda: closed(host, "eleven"))
    ip(f"-n {WITHIN} link set eleven netns {elsewhere}")
    until(lambda: sentry._away)
    ip(f"-n {elsewhere} link del eleven")
    sentry._order(lambda: sentry._resync(sentry._watched[within.inode]))
    until(lambda: not sentry._away)


def test_moved_device_opens_with_its_workload(sentry, places, elsewhere):
    within, host = places
    make("twelve")
    until(lambda: closed(host, "twelve"))
    ip(f"-n {WITHIN} link set twelve netns {elsewhere}")
    until(lambda: sentry._away)
    sentry.ignore(within.inode)
    until(lambda: not closed(host, "twelve"))


def test_filter_of_a_workload_stands(sentry, places, live):
    """Under clsact no link tells that a host end is guarded: what was closed late is opened."""
    _, host = places
    go_on = threading.Event()
    sentry._order(go_on.wait)
    make("thirteen")
    listed = ["ip", "-n", HOST, "-o", "link", "show", "thirteen"]
    shown = subprocess.run(listed, check=True, capture_output=True, text=True).stdout
    link = NamespaceLink(host.fd)
    try:
        guard = live.guard(3)
        link.place("thirteen", int(shown.split(":", 1)[0]), guard, Hook.INGRESS)
        os.close(guard)
    finally:
        link.close()
    go_on.set()
    make("marker")
    until(lambda: closed(host, "marker"))

    assert not closed(host, "thirteen")
