"""Classifier and guard together, by either way, on the host and under every supported kernel."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP

from dlp.config.model import AttachWay
from dlp.datapath import libbpf, links
from dlp.datapath.abi import Reason
from dlp.datapath.links import Hook, Pins
from dlp.enforcement.changes import Changes, drain
from dlp.enforcement.cover import Terms
from dlp.enforcement.detach import take_off_all
from dlp.enforcement.guards import Kit
from dlp.enforcement.keys import KeyRing, slot_of
from dlp.enforcement.namespace import ControlledNamespace, open_controlled
from dlp.enforcement.places import Places
from dlp.enforcement.record import Entry
from dlp.enforcement.tokens import Tokens
from dlp.workloads.finder import Finder
from tests import packets as pk
from tests.netlab import (
    CARD,
    DEVICE,
    PATIENCE,
    PORT,
    SINK4,
    WORKLOAD4,
    inside,
    programs,
    sh,
    until,
)

pytest_plugins = ["tests.netlab_fixture"]
pytestmark = [pytest.mark.netns, pytest.mark.guest]

WAYS = ["tcx", "clsact"] if links.supported() else ["clsact"]
_PACKET, _BYPASS = 263, 20  # SOL_PACKET, PACKET_QDISC_BYPASS


class Workload:
    """A namespace as a controller has it, and its sink."""

    def __init__(self, pair, live, path: Path, way: str) -> None:
        self.pair, self.live, self.path, self.way = pair, live, path, way
        self.told: list[str] = []
        self.keys = KeyRing()
        self.namespace = self.start()

    def start(self) -> ControlledNamespace:
        """As a process that begins."""
        attach = AttachWay.CLSACT if self.way == "clsact" else AttachWay.AUTO
        self.places = Places(Finder(fresh_s=0.0))
        kit = Kit(self.live, Tokens(self.live), Pins(self.path), self.places)
        made = open_controlled(
            self.pair.inner,
            kit,
            self.keys,
            Terms(attach=attach),
            tell=lambda one: self.told.append(one.what),
        )
        self.live.bind(made.key, 0, 1)
        return made

    def enforce(self, changes: Changes | None = None) -> None:
        self.namespace.reconcile(changes)
        while (due := self.namespace.due()) is not None:
            time.sleep(max(0.0, due - time.monotonic()))
            self.namespace.reconcile()
        assert "" == self.namespace.error

    def restart(self) -> None:
        attached = self.namespace.attached
        self.end()
        self.namespace = self.start()
        self.namespace.adopt(attached, time.monotonic(), None)

    def end(self) -> None:
        self.namespace.close()
        self.places.close()

    def both(self) -> list[str]:
        return programs(self.pair.inner) + programs(self.pair.outer, hook=Hook.INGRESS)

    def count(self, reason: Reason) -> int:
        return self.live.counters(slot_of(self.namespace.key))[reason][0]

    def bypass(self, netns: str = "") -> None:
        """Send a card past TC egress."""
        packet = pk.ethernet() / IP(src=WORKLOAD4, dst=SINK4) / UDP(sport=1024, dport=PORT) / CARD
        frame = bytes(packet)
        with inside(netns or self.pair.inner):
            sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        with sender:
            sender.setsockopt(_PACKET, _BYPASS, 1)
            sender.bind((DEVICE, 0))
            sender.send(frame)

    def arrived(self) -> bytes:
        self.pair._datagrams.settimeout(0.5)
        try:
            return self.pair._datagrams.recv(2048)
        except TimeoutError:
            return b""
        finally:
            self.pair._datagrams.settimeout(PATIENCE)


@pytest.fixture(params=WAYS)
def workload(request, lab, live, links_path):
    """Enforced and guarded."""
    made = Workload(lab.pair(), live, links_path, request.param)
    made.enforce()
    yield made
    made.end()


def test_both_stand(workload):
    """Classifier and guard, by the way that was chosen; honest packets pass both."""

    assert [f"{workload.way}:dlp_entry", f"{workload.way}:dlp_guard"] == workload.both()
    assert workload.pair.leaks(b"hello")
    assert not workload.pair.leaks()
    assert workload.count(Reason.GUARDED) > 0
    assert 0 == workload.count(Reason.BYPASS)


def test_past_the_classifier(workload):
    """What skips TC egress is dropped on the host's side, and counted."""
    workload.bypass()
    until(lambda: workload.count(Reason.BYPASS))

    assert b"" == workload.arrived()
    assert 1 == workload.count(Reason.BYPASS)


def test_stream_through_the_guard(workload):
    """Megabytes over TCP arrive whole: tokens survive segmentation and retransmission."""
    text = bytes(range(256)) * 2048
    with workload.pair.connect() as connection:
        connection.sendall(text)
        deadline = time.monotonic() + 60
        while len(workload.pair.tcp.data) < len(text) and time.monotonic() < deadline:
            time.sleep(0.01)

    assert text == workload.pair.tcp.data
    assert 0 == workload.count(Reason.BYPASS)


def test_tokens_that_change(workload):
    """Renewed at each start: what was stamped before is let in, and what comes after."""
    rows = []
    for _ in range(3):
        rows.append(tuple(workload.live.guard_row(slot_of(workload.namespace.key)).token))
        workload.restart()
        workload.enforce()
        assert workload.pair.leaks(b"hello")

    assert 3 == len(set(rows))
    assert 0 == workload.count(Reason.BYPASS)
    assert [] == workload.told


def test_taken_off_and_put_back(workload):
    """What another takes off is put back at the next look; the guard held meanwhile."""
    pair = workload.pair
    if workload.way == "clsact":
        pair.tc(f"qdisc del dev {DEVICE} clsact")
        before = workload.count(Reason.BYPASS)
        with contextlib.suppress(OSError), socket_of(pair) as sender:
            sender.sendto(b"card " + CARD, (SINK4, PORT))
    else:
        links.cut(workload.namespace.attached[0].link)
        before = workload.count(Reason.BYPASS)
        with socket_of(pair) as sender:
            sender.sendto(b"card " + CARD, (SINK4, PORT))
    until(lambda: workload.count(Reason.BYPASS) > before)
    past = workload.count(Reason.BYPASS) - before
    workload.enforce(Changes(sure=False))

    assert 1 == past
    assert b"" == workload.arrived()
    assert [f"{workload.way}:dlp_entry", f"{workload.way}:dlp_guard"] == workload.both()
    assert workload.told in (["qdisc_removed"], ["filter_removed"])


def socket_of(pair) -> socket.socket:
    with inside(pair.inner):
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def test_moved_inside(workload, lab):
    """A device that is moved to a namespace made inside is covered there, and guarded still."""
    other = lab.namespace("inner")
    sh(f"ip -n {workload.pair.inner} link set {DEVICE} netns {other}")
    workload.enforce(drain(workload.namespace.place.changes))
    sh(f"ip -n {other} link set {DEVICE} up")
    workload.bypass(other)
    until(lambda: workload.count(Reason.BYPASS))

    assert [f"{workload.way}:dlp_entry"] == programs(other)
    assert ["device_moved"] == workload.told
    assert 1 == workload.count(Reason.BYPASS)
    assert b"" == workload.arrived()


def test_foreign_program_in_front(workload, live):
    """One that lets everything out before ours is asked gets nothing past the guard."""
    pair = workload.pair
    program = libbpf.load_program("open", bytes.fromhex("b700000000000000" + "9500000000000000"))
    pin = live.layout.pins / "foreign"
    libbpf.pin(program, pin)
    link = 0
    try:
        if workload.way == "clsact":
            foreign = f"filter add dev {DEVICE} egress pref 1 handle 0x5 bpf da object-pinned"
            pair.tc(f"{foreign} {pin}")
        else:
            with inside(pair.inner):
                link = links.create(program, workload.namespace.attached[0].index, Hook.EGRESS)
        with socket_of(pair) as sender:
            sender.sendto(b"card " + CARD, (SINK4, PORT))
        until(lambda: workload.count(Reason.BYPASS))
        past = workload.count(Reason.BYPASS), workload.arrived()
        workload.enforce(Changes(sure=False))
        leaked, honest = pair.leaks(), pair.leaks(b"hello")
    finally:
        pin.unlink()
        if link:
            os.close(link)

    assert (1, b"") == past
    assert (False, True) == (leaked, honest)
    assert ["foreign_filter_first"] == workload.told


def test_all_off(workload):
    """Detaching takes off both, their pins, and what was made for them."""
    inode = workload.namespace.inode
    entry = Entry(workload.pair.inner, inode, workload.namespace.attached)
    count = take_off_all([entry], pins=Pins(workload.path))

    assert 1 == count
    assert [] == workload.both()
    assert [] == list(Pins(workload.path))
    assert "clsact" not in workload.pair.qdiscs()
    assert workload.pair.leaks()
