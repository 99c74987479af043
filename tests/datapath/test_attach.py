"""Attaching to the devices of a namespace, beside what others have there."""

import collections
import contextlib
import dataclasses
import os
import socket
import threading
import time

import pytest

from dlp.datapath import libbpf, rtnetlink
from dlp.datapath.attach import (
    GSO_MAX_SIZE,
    HANDLE,
    PRIORITY,
    Attached,
    Device,
    NamespaceLink,
    device_of,
)
from dlp.datapath.pins import BPFFS
from dlp.errors import KernelError
from dlp.policy import KernelPolicies
from dlp.workloads.netns import open_netns
from tests import netlab
from tests.kernelpath import policy
from tests.netlab import CARD, DEVICE, PORT, SINK4, sh

pytest_plugins = ["tests.netlab_fixture"]
pytestmark = pytest.mark.netns

KEY = 0xA77A << 16 | 901


@pytest.fixture
def pair(lab):
    """A workload and a sink."""
    return lab.pair()


@pytest.fixture
def link(pair):
    """A netlink socket in the workload's namespace."""
    with open_netns(pair.inner) as handle:
        made = NamespaceLink(handle.fd)
    yield made
    made.close()


@pytest.fixture
def program(live):
    """A classifier that drops card numbers."""
    fd = live.entry(KEY)
    live.bind(KEY, 0, 1)
    yield fd
    os.close(fd)


def device(link, name: str = DEVICE) -> Device:
    return next(found for found in link.devices() if found.name == name)


def ours(pair) -> list[str]:
    return [line for line in pair.filters() if f"handle {HANDLE:#x}" in line]


# -- attaching and detaching ------------------------------------------------------------------


def test_attached_filter_drops(pair, link, program):
    """From the moment of the attach on, a card does not arrive and other text does."""
    before = pair.leaks()
    attached = link.attach(device(link), program)

    assert attached == Attached(
        device=DEVICE,
        index=device(link).index,
        netns=link.inode,
        made_qdisc=True,
        gso_max_size=65536,
        gso_ipv4_max_size=attached.gso_ipv4_max_size,
    )
    assert GSO_MAX_SIZE == device(link).gso_max_size
    assert (True, False, True) == (before, pair.leaks(), pair.leaks(b"hello"))


def test_exactly_one_filter(pair, link, program):
    """However often it is attached, one filter of ours stands there, at its fixed place."""
    made = [link.attach(device(link), program).made_qdisc for _ in range(20)]

    assert [True] + [False] * 19 == made
    assert 1 == len(pair.filters())
    assert f"pref {PRIORITY} bpf" in pair.filters()[0]
    assert "direct-action" in pair.filters()[0]
    assert 1 == pair.qdiscs().count("clsact")


def test_attached_is_told(pair, link, program):
    """Whether a filter of ours is there, before, during and after."""
    index = device(link).index
    told = [link.attached(index)]
    attached = link.attach(device(link), program)
    told.append(link.attached(index))
    link.detach(attached)
    told.append(link.attached(index))

    assert [False, True, False] == told


def test_detach_leaves_nothing(pair, link, program):
    """Filter and clsact go, and what was stopped passes again."""
    link.detach(link.attach(device(link), program))

    assert [] == pair.filters()
    assert "clsact" not in pair.qdiscs()
    assert pair.leaks()


def test_detach_twice(pair, link, program):
    """Nothing to take off is no error."""
    attached = link.attach(device(link), program)
    link.detach(attached)
    link.detach(attached)

    assert [] == pair.filters()


def test_detach_of_a_device_that_is_gone(pair, link, program):
    """The device took its filter with it."""
    attached = link.attach(device(link), program)
    sh(f"ip -n {pair.inner} link del {DEVICE}")

    link.detach(attached)


def test_attach_to_a_device_that_is_gone(pair, link, program):
    """The error names the device."""
    gone = device(link)
    sh(f"ip -n {pair.inner} link del {DEVICE}")
    with pytest.raises(KernelError, match=f"attaching to {DEVICE}: "):
        link.attach(gone, program)


def test_closed_program(pair, link):
    """A descriptor that is no program is refused, and leaves no filter."""
    with pytest.raises(KernelError, match=f"attaching to {DEVICE}: "):
        link.attach(device(link), 1 << 20)

    assert [] == pair.filters()


# -- beside others ----------------------------------------------------------------------------

U32 = "u32 match u32 0 0 classid 1:1"  # of all kinds the one that each kernel has
FOREIGN = {
    "u32": f"filter add dev {DEVICE} egress pref 7 {U32}",
    "bpf": f"filter add dev {DEVICE} egress pref 3 bpf da object-pinned {{}}",
    "ingress": f"filter add dev {DEVICE} ingress pref 1 {U32}",
}


def add_foreign(pair, kind: str, live) -> str:
    """Another's filter; the lines that `tc` shows of it."""
    pair.tc(FOREIGN[kind].format(live.layout.program("empty")))
    return shown(pair, kind)


def shown(pair, kind: str) -> str:
    way = "ingress" if kind == "ingress" else "egress"
    text = pair.tc(f"filter show dev {DEVICE} {way}")
    return "\n".join(line for line in text.splitlines() if f"handle {HANDLE:#x}" not in line)


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_filter_stays(pair, link, program, live, kind: str):
    """Another's filter and its clsact are there before, during and after ours."""
    pair.tc(f"qdisc add dev {DEVICE} clsact")
    before = add_foreign(pair, kind, live)
    attached = link.attach(device(link), program)
    beside, leaked = shown(pair, kind), pair.leaks()
    link.detach(attached)

    assert not attached.made_qdisc
    assert not leaked
    assert "pref" in before
    for line in before.splitlines():
        assert line in beside
        assert line in shown(pair, kind)
    assert "clsact" in pair.qdiscs()


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_filter_that_came_later(pair, link, program, live, kind: str):
    """A clsact that we made stays as long as another uses it."""
    attached = link.attach(device(link), program)
    add_foreign(pair, kind, live)
    leaked = pair.leaks()
    link.detach(attached)

    assert not leaked
    assert "pref" in shown(pair, kind)
    assert "clsact" in pair.qdiscs()
    assert [] == ours(pair)


def test_foreign_clsact_stays(pair, link, program):
    """A clsact that was there before is not ours to remove, also when it is empty."""
    pair.tc(f"qdisc add dev {DEVICE} clsact")
    link.detach(link.attach(device(link), program))

    assert "clsact" in pair.qdiscs()


def test_foreign_filter_in_our_place(pair, link, program):
    """Where another kind of filter has our priority the attach fails, and harms nothing."""
    pair.tc(f"qdisc add dev {DEVICE} clsact")
    pair.tc(f"filter add dev {DEVICE} egress pref {PRIORITY} {U32}")
    before = pair.filters()
    with pytest.raises(KernelError) as raised:
        link.attach(device(link), program)

    assert f"attaching to {DEVICE}: " in raised.value.message
    assert f"priority {PRIORITY} must be free" in raised.value.remedy
    assert before == pair.filters()


def test_verdict_of_a_later_filter_counts(pair, link, program):
    """What we let out is still subject to the filters behind ours."""
    link.attach(device(link), program)
    path = BPFFS / f"dlp-test-{os.getpid()}-drop"
    fd = libbpf.load_program("drop", bytes.fromhex("b700000002000000" + "9500000000000000"))
    libbpf.pin(fd, path)
    os.close(fd)
    try:
        pair.tc(f"filter add dev {DEVICE} egress pref 5 bpf da object-pinned {path}")
    finally:
        path.unlink()
    before = pair.received()
    with netlab.socket_in(pair.inner, socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"hello", (SINK4, PORT))

    assert before == pair.received()


# -- which devices ----------------------------------------------------------------------------

HARDWARE = rtnetlink.Link(name="eth1", index=2, kind=None, family=0, hardware=1, flags=1)
KINDS = {
    "veth": ("type veth peer name {}p", True),
    "macvlan": (f"link {DEVICE} type macvlan mode bridge", True),
    "ipvlan": (f"link {DEVICE} type ipvlan", True),
    "vlan": (f"link {DEVICE} type vlan id 7", False),
    "vxlan": (f"type vxlan id 7 dev {DEVICE} dstport 4789", False),
    "bridge": ("type bridge", False),
    "dummy": ("type dummy", False),
    "ifb": ("type ifb", False),
    "gre": ("type gre local 192.0.2.1 remote 192.0.2.9", False),
}


@pytest.mark.parametrize("kind", KINDS)
def test_boundary(pair, link, kind: str):
    """What a packet leaves the namespace by is a boundary; what stands on top of it is none."""
    options, boundary = KINDS[kind]
    name = f"t{kind}"
    try:
        sh(f"ip -n {pair.inner} link add {name} {options.format(name)}")
    except AssertionError as error:
        # This kernel has none of the kind: asked without the device then.
        assert "Unknown device type" in str(error)  # noqa: PT017
        made = device_of(dataclasses.replace(HARDWARE, kind=kind))
    else:
        made = device(link, name)

    assert (kind, boundary) == (made.kind, made.boundary)


def test_loopback_is_no_boundary(link):
    """What goes over it does not leave."""

    assert not device(link, "lo").boundary


def test_hardware_is_a_boundary():
    """A device without a kind is hardware; it is one as long as it speaks Ethernet."""

    assert device_of(HARDWARE).boundary
    assert not device_of(dataclasses.replace(HARDWARE, hardware=65534)).boundary


def test_devices_are_told(pair, link):
    """Name, index, state; in the order of the indices."""
    sh(f"ip -n {pair.inner} link set {DEVICE} down")
    found = link.devices()

    assert sorted(one.index for one in found) == [one.index for one in found]
    assert not device(link).up


# -- replacing under traffic ------------------------------------------------------------------


class Flood:
    """Plain text and cards by turns, as fast as they go; what arrives is counted by its text."""

    def __init__(self, pair) -> None:
        self.sent = 0
        self.arrived: collections.Counter[bytes] = collections.Counter()
        self._pair = pair
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send), threading.Thread(target=self._take)]

    def _send(self) -> None:
        with netlab.socket_in(self._pair.inner, socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not self._stop.is_set():
                for text in (b"hello", b"card " + CARD + b"."):
                    with contextlib.suppress(OSError):  # dropped, and the sender was told
                        sender.sendto(text, (SINK4, PORT))
                self.sent += 1

    def _take(self) -> None:
        receiver = self._pair._datagrams
        receiver.settimeout(0.2)
        while True:
            try:
                self.arrived[receiver.recv(2048)] += 1
            except TimeoutError:
                if self._stop.is_set():
                    return

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        netlab.until(lambda: self.sent > 10)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def test_replaced_under_traffic(pair, link, live):
    """While the classifier is replaced 200 times, no card of a constant stream of them arrives."""
    turns = netlab.scaled(200)
    programs = [live.entry(KEY), live.entry(KEY)]
    live.bind(KEY, 0, 1)
    link.attach(device(link), programs[0])
    with Flood(pair) as flood:
        for turn in range(turns):
            link.attach(device(link), programs[turn % 2])
            time.sleep(0.002)
    for fd in programs:
        os.close(fd)

    assert flood.sent > turns
    assert {b"hello"} == set(flood.arrived)
    assert 1 == len(ours(pair))


def test_released_under_traffic(pair, link, live, program, cards):
    """While a signature set follows the other 20 times, no card arrives either."""
    rows = (policy(cards), policy(cards))
    policies = KernelPolicies(policies=rows, next_expiry=None)
    link.attach(device(link), program)
    with Flood(pair) as flood:
        for release in range(netlab.scaled(20)):
            live.load(cards, policies, hmac_key=b"live", release=10 + release)

    assert {b"hello"} == set(flood.arrived)
