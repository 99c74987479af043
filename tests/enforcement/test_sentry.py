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
