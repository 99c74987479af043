"""One namespace under control: its devices are found, covered, guarded and followed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import subprocess
import time

import pytest
from scapy.layers.inet import IP, UDP

from dlp.config.model import AttachWay
from dlp.datapath import links
from dlp.datapath.abi import GuardFlag, Reason
from dlp.datapath.attach import GSO_MAX_SIZE, Attached
from dlp.datapath.links import Hook, Pins
from dlp.enforcement.changes import Changes, drain
from dlp.enforcement.cover import Guarding, Terms
from dlp.enforcement.guards import Kit
from dlp.enforcement.keys import KeyRing, slot_of
from dlp.enforcement.namespace import open_controlled
from dlp.enforcement.places import Places
from dlp.enforcement.sentry import Sentry
from dlp.enforcement.tokens import Tokens
from dlp.errors import KernelError
from dlp.model import IncidentKind, Protection, Workload, WorkloadState
from dlp.workloads.finder import Finder
from dlp.workloads.netns import NetnsNotReadyError, open_netns
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
    socket_in,
    until,
)

pytest_plugins = ["tests.netlab_fixture"]
pytestmark = pytest.mark.netns

WAYS = ["tcx", "clsact"] if links.supported() else ["clsact"]


class Bench:
    """A workload's namespace and what is shared by all, as a controller has it."""

    def __init__(self, pair, live, path, way: str) -> None:
        self.pair, self.live, self.path, self.way = pair, live, path, way
        self.listed: dict[int, str] = {}
        self.told = []
        self.keys = KeyRing()
        self.opened = []
        self.kit = self.new_kit()
        self.attach = AttachWay.CLSACT if way == "clsact" else AttachWay.AUTO

    def new_kit(self) -> Kit:
        """Of a process that has just started."""
        places = Places(Finder(fresh_s=0.0))
        name = self.listed
        return Kit(
            self.live, Tokens(self.live), Pins(self.path), places, lambda one: name.get(one, "")
        )

    def terms(self, **more: object) -> Terms:
        return Terms(attach=self.attach, **more)

    def open(self, **more: object):
        """The namespace, opened; its cards are dropped once it is attached."""
        made = open_controlled(
            self.pair.inner, self.kit, self.keys, self.terms(**more), tell=self.told.append
        )
        self.live.bind(made.key, 0, 1)
        self.opened.append(made)
        return made

    def whats(self) -> list[str]:
        return [one.what for one in self.told]

    def close(self) -> None:
        for each in self.opened:
            with contextlib.suppress(OSError):
                each.close()
        self.kit.places.close()


@pytest.fixture
def pair(lab):
    """A workload and a sink."""
    return lab.pair()


@pytest.fixture(params=WAYS)
def bench(request, pair, live, links_path):
    """The workload, by either way of attaching."""
    made = Bench(pair, live, links_path, request.param)
    yield made
    made.close()


@pytest.fixture
def controlled(bench):
    """The namespace, nothing attached yet."""
    return bench.open()


def enforced(controlled) -> None:
    """Until guard and classifier stand."""
    controlled.reconcile()
    if controlled.due() is not None:
        time.sleep(max(0.0, controlled.due() - time.monotonic()))
        controlled.reconcile()
    assert "" == controlled.error


def describe(controlled) -> Workload:
    return controlled.describe(Workload(name="web", state=WorkloadState.PENDING))


def ours(bench) -> list[str]:
    """What stands on the workload's device and on its host end."""
    pair = bench.pair
    return programs(pair.inner) + programs(pair.outer, hook=Hook.INGRESS)


def both(bench) -> list[str]:
    return [f"{bench.way}:dlp_entry", f"{bench.way}:dlp_guard"]


def bypass(pair, text: bytes) -> bool:
    """Send a datagram past TC egress, as CAP_NET_RAW lets one; whether it arrived."""
    packet = pk.ethernet() / IP(src=WORKLOAD4, dst=SINK4) / UDP(sport=1024, dport=PORT) / text
    frame = bytes(packet)
    with inside(pair.inner):
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with sender:
        sender.setsockopt(263, 20, 1)  # SOL_PACKET, PACKET_QDISC_BYPASS
        sender.bind((DEVICE, 0))
        before = pair.received()
        sender.send(frame)
    return pair.received() > before


# -- classifiers ------------------------------------------------------------------------------


def test_nothing_is_attached_by_opening(bench, controlled):
    """Opening loads nothing onto a device; attaching is another step."""

    assert [] == ours(bench)
    assert bench.pair.leaks()


def test_reconcile(bench, controlled):
    """Boundary devices are covered, and a second look changes nothing."""
    enforced(controlled)
    again = [controlled.reconcile(), controlled.reconcile(Changes(sure=False))]

    assert [False, False] == again
    assert both(bench) == ours(bench)
    assert not bench.pair.leaks()
    assert bench.pair.leaks(b"hello")
    assert [] == bench.told
    assert bench.way == describe(controlled).attach


def test_device_added_and_removed(bench, controlled):
    """A device that came is covered at the next look, one that went is forgotten, pin and all."""
    enforced(controlled)
    pins = len(list(bench.kit.pins))
    sh(f"ip -n {bench.pair.inner} link add second type veth peer name other")
    came = controlled.reconcile()
    covered = describe(controlled).devices
    sh(f"ip -n {bench.pair.inner} link del second")
    went = controlled.reconcile()

    assert (True, {DEVICE, "second", "other"}, True) == (came, set(covered), went)
    assert (DEVICE,) == describe(controlled).devices
    assert pins == len(list(bench.kit.pins)) == len(list(Pins(bench.path)))


def test_index_used_anew(bench, controlled):
    """A device made anew under an old index, with another name, is covered too."""
    enforced(controlled)
    index = controlled.attached[0].index
    sh(f"ip -n {bench.pair.inner} link del {DEVICE}")
    sh(f"ip -n {bench.pair.inner} link add fresh index {index} type veth peer name other")
    controlled.reconcile(drain(controlled.place.changes))

    assert [f"{bench.way}:dlp_entry"] == programs(bench.pair.inner, "fresh")
    assert {"fresh", "other"} == set(describe(controlled).devices)


@pytest.mark.parametrize("told", [True, False])
def test_device_of_the_same_name_and_index(bench, controlled, *, told: bool):
    """A device made anew just as it was is covered anew, whether the kernel told or was asked."""
    enforced(controlled)
    drain(controlled.place.changes)
    index = controlled.attached[0].index
    sh(f"ip -n {bench.pair.inner} link del {DEVICE}")
    sh(f"ip -n {bench.pair.inner} link add {DEVICE} index {index} type veth peer name other")
    changes = drain(controlled.place.changes)
    controlled.reconcile(changes if told else Changes(sure=False))

    assert ({index}, True) == (set(changes.removed), changes.sure)
    assert [f"{bench.way}:dlp_entry"] == programs(bench.pair.inner)


def test_lost_messages(controlled):
    """Messages that the socket had no room for are told as lost, the rest is read."""
    socket_of = controlled.place.changes
    socket_of.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    batch = "\n".join(f"link add m{n} type veth peer name p{n}" for n in range(20))
    command = ["ip", "-n", controlled.name, "-batch", "-"]
    subprocess.run(command, input=batch, text=True, check=True)
    lost, after = drain(socket_of), drain(socket_of)

    assert not lost.sure
    assert (True, {}) == (after.sure, after.removed)


def test_uncovered_devices_are_told(bench, controlled):
    """What is up and no boundary is listed, but for the loopback."""
    inner = bench.pair.inner
    sh(f"ip -n {inner} link add bridge0 type bridge")
    controlled.reconcile()
    down = controlled.uncovered
    sh(f"ip -n {inner} link set bridge0 up")
    sh(f"ip -n {inner} link set lo up")
    controlled.reconcile()

    assert ((), ("bridge0",)) == (down, controlled.uncovered)


def test_gso_is_lowered_and_put_back(bench, controlled):
    """Honest packets stay within the bound of the scan while the classifier is there."""
    enforced(controlled)
    during = controlled.place.link.device(controlled.attached[0].index)
    controlled.detach()
    after = controlled.place.link.device(during.index)

    assert GSO_MAX_SIZE == during.gso_max_size
    assert during.gso_ipv4_max_size in (0, GSO_MAX_SIZE)
    assert 65536 == after.gso_max_size
    assert after.gso_ipv4_max_size in (0, 65536)


def test_detach(bench, controlled):
    """All guards, classifiers and pins come off."""
    enforced(controlled)
    controlled.detach()

    assert [] == ours(bench)
    assert () == controlled.attached
    assert [] == list(Pins(bench.path))
    assert "clsact" not in bench.pair.qdiscs()
    assert bench.pair.leaks()


def test_closing_leaves_enforcement_on(bench):
    """Classifier and guard stay where the process lets go of them."""
    made = bench.open()
    enforced(made)
    made.close()

    assert both(bench) == ours(bench)
    assert not bench.pair.leaks()
    assert bench.pair.leaks(b"hello")


# -- clsact's own --------------------------------------------------------------------------------


def test_place_that_is_taken(pair, live, links_path):
    """By clsact: the error names the device; it is gone once the place is free."""
    bench = Bench(pair, live, links_path, "clsact")
    controlled = bench.open(closed=False)
    pair.tc(f"qdisc add dev {DEVICE} clsact")
    pair.tc(f"filter add dev {DEVICE} egress pref 1 u32 match u32 0 0 classid 1:1")
    controlled.reconcile()
    told = controlled.error, pair.leaks()
    pair.tc(f"filter del dev {DEVICE} egress pref 1")
    enforced(controlled)
    leaked = pair.leaks()
    bench.close()

    assert f"attaching to {DEVICE}" in told[0]
    assert told[1]
    assert not leaked


def test_closed_where_the_classifier_is_refused(pair, live, links_path):
    """What may not send before it is enforced does not, where it cannot be enforced."""
    bench = Bench(pair, live, links_path, "clsact")
    controlled = bench.open()
    pair.tc(f"qdisc add dev {DEVICE} clsact")
    pair.tc(f"filter add dev {DEVICE} egress pref 1 u32 match u32 0 0 classid 1:1")
    controlled.reconcile()
    before = pair.received()
    with socket_in(pair.inner, socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"hello", (SINK4, PORT))
    state, guard = describe(controlled).state, programs(pair.outer, hook=Hook.INGRESS)
    counted = live.counters(slot_of(controlled.key))[Reason.BYPASS][0]
    bench.close()

    assert WorkloadState.FAILED is state
    assert ["clsact:dlp_guard"] == guard
    assert 1 == counted
    assert before + 1 == pair.received()  # the device counts it before its filters are asked


def test_one_bad_device_spoils_no_other(pair, live, links_path):
    """Where one device cannot be covered, the others are."""
    bench = Bench(pair, live, links_path, "clsact")
    controlled = bench.open()
    sh(f"ip -n {pair.inner} link add second type veth peer name other")
    pair.tc("qdisc add dev second clsact")
    pair.tc("filter add dev second egress pref 1 u32 match u32 0 0 classid 1:1")
    controlled.reconcile()
    covered = set(describe(controlled).devices)
    bench.close()

    assert "attaching to second" in controlled.error
    assert {DEVICE, "other"} == covered


def test_qdisc_of_an_earlier_process(pair, live, links_path):
    """A clsact that an earlier process made is still ours to remove."""
    bench = Bench(pair, live, links_path, "clsact")
    controlled = bench.open()
    pair.tc(f"qdisc add dev {DEVICE} clsact")
    index = next(one.index for one in controlled.place.link.devices() if one.name == DEVICE)
    before = Attached(device=DEVICE, index=index, made_qdisc=True)
    controlled.adopt([before], time.monotonic(), None)
    controlled.reconcile()
    controlled.detach()
    bench.close()

    assert "clsact" not in pair.qdiscs()


# -- opening -------------------------------------------------------------------------------------


def test_row_of_a_new_key(bench):
    """A slot that another had begins at nothing; a key known from before goes on."""
    slot = 1
    bench.live.set_guard_flags(slot, GuardFlag.QUARANTINED)
    bench.live.renew_tokens(slot)
    first = bench.open()
    fresh = bench.live.guard_row(slot)
    kept_token = fresh.token[fresh.current]
    bench.kit.tokens.set(slot, GuardFlag.QUARANTINED, on=True)
    first.close()
    bench.kit = bench.new_kit()
    bench.open()
    kept = bench.live.guard_row(slot)

    assert slot == slot_of(first.key)
    assert [0] == [one for one in fresh.token if one != kept_token]
    assert (GuardFlag(0), GuardFlag.QUARANTINED) == (fresh.flags, kept.flags)
    assert kept_token in kept.token
    assert kept_token != kept.token[kept.current]


def test_counters_of_a_new_key(bench):
    """A slot that another had begins at nothing; a key known from before goes on counting."""
    first = bench.open()
    slot = slot_of(first.key)
    enforced(first)
    bench.pair.leaks(b"hello")
    first.close()
    counted = sum(packets for packets, _ in bench.live.counters(slot).values())
    bench.open().close()
    kept = sum(packets for packets, _ in bench.live.counters(slot).values())
    bench.keys = KeyRing()
    bench.open().close()
    fresh = sum(packets for packets, _ in bench.live.counters(slot).values())

    assert counted > 0
    assert (counted, 0) == (kept, fresh)


def test_quarantine_from_the_first_packet(bench):
    """A workload that is in quarantine when it comes sends nothing."""
    made = open_controlled(bench.pair.inner, bench.kit, bench.keys, bench.terms(), cut=True)
    bench.live.bind(made.key, 0, 1)
    bench.opened.append(made)
    enforced(made)
    before = bench.pair.received()
    with (
        socket_in(bench.pair.inner, socket.AF_INET, socket.SOCK_DGRAM) as sender,
        contextlib.suppress(OSError),
    ):
        sender.sendto(b"hello", (SINK4, PORT))

    assert before == bench.pair.received()
    assert 1 <= bench.live.counters(slot_of(made.key))[Reason.QUARANTINED][0]


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def test_missing_namespace(lab, bench):
    """A name that is not there is an error, and leaves no descriptor open."""
    before = open_descriptors()
    with pytest.raises(KernelError):
        open_controlled(lab.name("gone"), bench.kit, bench.keys)

    assert before == open_descriptors()


def test_file_that_is_no_namespace(bench, tmp_path, monkeypatch):
    """The moment between the file and its mount has an error of its own."""
    (tmp_path / "web").touch()
    monkeypatch.setattr("dlp.workloads.netns.open_netns.__defaults__", (tmp_path,))
    with pytest.raises(NetnsNotReadyError):
        open_controlled("web", bench.kit, bench.keys)


def test_no_slot_left(bench):
    """The error says so, and the namespace's descriptors are closed again."""
    ring = KeyRing([inode << 16 | inode for inode in range(1, 1024)])
    before = open_descriptors()
    with pytest.raises(KernelError, match="slots are taken"):
        open_controlled(bench.pair.inner, bench.kit, ring)

    assert before == open_descriptors()


# -- guards --------------------------------------------------------------------------------------


def test_guard(bench, controlled):
    """What skips the classifier is dropped on the host's side and counted; the rest is let in."""
    enforced(controlled)
    passed = bench.pair.leaks(b"hello")
    slot = slot_of(controlled.key)
    before = bench.live.counters(slot)
    bypass(bench.pair, b"card " + CARD)
    after = bench.live.counters(slot)

    assert passed
    assert before[Reason.GUARDED][0] > 0
    assert 1 == after[Reason.BYPASS][0] - before[Reason.BYPASS][0]
    assert b"" == arrived(bench.pair)
    assert (Protection.GUARDED, ()) == (describe(controlled).guard, describe(controlled).unguarded)


def arrived(pair) -> bytes:
    """What waits at the sink."""
    pair._datagrams.settimeout(0.1)
    try:
        return pair._datagrams.recv(2048)
    except TimeoutError:
        return b""


def test_guard_of_monitor_mode(bench):
    """Under policies that only watch, what skips the classifier is counted and let in."""
    controlled = bench.open(monitor=True)
    enforced(controlled)
    bypass(bench.pair, b"past")

    assert b"past" == arrived(bench.pair)
    assert 1 == bench.live.counters(slot_of(controlled.key))[Reason.BYPASS][0]


def test_terms_that_change(bench, controlled):
    """Monitor mode begins and ends with the policies."""
    enforced(controlled)
    slot, flags = slot_of(controlled.key), []
    for monitor in (True, False):
        controlled.apply(bench.terms(monitor=monitor))
        flags.append(GuardFlag(bench.live.guard_row(slot).flags))

    assert [GuardFlag.MONITOR, GuardFlag(0)] == flags


def test_device_without_a_host_end(bench, controlled):
    """It is covered, shown as unguarded, and an incident tells why, once."""
    sh(f"ip -n {bench.pair.inner} link add mv0 link {DEVICE} type macvlan mode bridge")
    enforced(controlled)
    controlled.reconcile(Changes(sure=False))
    told = [one for one in bench.told if one.kind is IncidentKind.UNGUARDED]
    shown = describe(controlled)

    assert {DEVICE, "mv0"} == set(shown.devices)
    assert (Protection.PARTIAL, ("mv0",)) == (shown.guard, shown.unguarded)
    assert ["mv0"] == [one.device for one in told]
    assert "macvlan" in told[0].detail


def test_host_end_in_a_listed_namespace(bench, controlled):
    """A veth to a sibling has no guard: who is root there could take it off."""
    inode = os.stat(f"/run/netns/{bench.pair.outer}").st_ino  # noqa: PTH116
    bench.listed[inode] = "sibling"
    enforced(controlled)
    shown = describe(controlled)

    assert [f"{bench.way}:dlp_entry"] == ours(bench)
    assert (Protection.UNGUARDED, (DEVICE,)) == (shown.guard, shown.unguarded)
    assert "sibling" in bench.told[0].detail


def test_host_end_that_becomes_listed(bench, controlled):
    """The guard goes, after the classifier has stopped to count on it."""
    enforced(controlled)
    inode = os.stat(f"/run/netns/{bench.pair.outer}").st_ino  # noqa: PTH116
    bench.listed[inode] = "sibling"
    controlled.reconcile(Changes(sure=False))

    assert [f"{bench.way}:dlp_entry"] == ours(bench)
    assert bench.pair.leaks(b"hello")
    assert not bench.pair.leaks()


def test_held_packets_without_a_guard(pair, live, links_path):
    """Where some policy holds, an unguarded device has its classifier by clsact."""
    bench = Bench(pair, live, links_path, "tcx")
    inode = os.stat(f"/run/netns/{pair.outer}").st_ino  # noqa: PTH116
    bench.listed[inode] = "sibling"
    controlled = bench.open(holds=True)
    enforced(controlled)
    unguarded = ours(bench)
    bench.listed.clear()
    enforced_again(controlled)
    guarded = ours(bench)
    bench.close()

    assert ["clsact:dlp_entry"] == unguarded
    if links.supported():
        assert ["tcx:dlp_entry", "tcx:dlp_guard"] == guarded


def enforced_again(controlled) -> None:
    controlled.reconcile(Changes(sure=False))
    enforced(controlled)


def test_loopback(bench):
    """`lo` is covered where some policy reads it, and let go where none does any more."""
    inner = bench.pair.inner
    sh(f"ip -n {inner} link set lo up")
    controlled = bench.open(loopback=True)
    enforced(controlled)
    during, shown = programs(inner, "lo"), describe(controlled)
    gso = controlled.place.link.device(1).gso_max_size
    controlled.apply(bench.terms())
    controlled.reconcile()

    assert [f"{bench.way}:dlp_entry"] == during
    assert ((DEVICE,), Protection.GUARDED) == (shown.devices, shown.guard)
    assert (GSO_MAX_SIZE, []) == (gso, programs(inner, "lo"))
    assert [] == bench.told


@pytest.mark.parametrize("loopback", [True, False])
def test_card_over_loopback(bench, loopback: bool):
    """A card that stays within the pod does not arrive where `lo` is read; else it does."""
    inner = bench.pair.inner
    sh(f"ip -n {inner} link set lo up")
    controlled = bench.open(loopback=loopback)
    enforced(controlled)
    with (
        socket_in(inner, socket.AF_INET, socket.SOCK_DGRAM) as sink,
        socket_in(inner, socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        sink.bind(("127.0.0.1", PORT))
        sink.settimeout(PATIENCE)
        for text in (b"number " + CARD + b".", b"hello"):
            with contextlib.suppress(OSError):  # dropped, and the sender was told
                sender.sendto(text, ("127.0.0.1", PORT))
        first = sink.recv(2048)
    dropped = bench.live.counters(slot_of(controlled.key))[Reason.MATCH_DROPPED][0]

    assert (loopback, not loopback) == (first == b"hello", CARD in first)
    assert (1 if loopback else 0) == dropped


# -- how long packets could leave ----------------------------------------------------------------


def test_nothing_had_left(bench, controlled):
    """Where not one packet had left before, the time is 0, however long it was."""
    silent(bench)
    enforced(controlled)

    assert 0.0 == controlled.unprotected_ms


def silent(bench) -> None:
    """In place of the device one by which nothing was sent yet: it has never been up."""
    inner, outer = bench.pair.inner, bench.pair.outer
    sh(f"ip -n {inner} link del {DEVICE}")
    sh(f"ip link add {DEVICE} netns {inner} type veth peer name {DEVICE} netns {outer}")


def test_something_had_left(bench, controlled):
    """Else it is the time since the namespace was made."""
    bench.pair.leaks(b"hello")
    made = os.stat(f"/run/netns/{bench.pair.inner}").st_ctime  # noqa: PTH116
    least = (time.time() - made) * 1000
    enforced(controlled)
    since = (time.time() - made) * 1000

    assert least - 1 <= controlled.unprotected_ms <= since


def test_new_device_is_closed_first(bench, controlled):
    """A device that comes while we watch is guarded first: nothing that it sends gets in."""
    silent(bench)
    enforced(controlled)
    sh(f"ip -n {bench.pair.inner} link add two type veth peer name two netns {bench.pair.outer}")
    order = []
    place = type(controlled.place.link).place

    def watched(link, name, index, program, hook, **options):
        order.append(hook)
        return place(link, name, index, program, hook, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(controlled.place.link), "place", watched)
        controlled.reconcile()

    assert [Hook.INGRESS, Hook.EGRESS] == order
    assert 0.0 == controlled.unprotected_ms


def test_moved_before_it_was_covered(bench, controlled, lab):
    """A new device that the workload moves away at once is found there and covered."""
    enforced(controlled)
    drain(controlled.place.changes)
    inner, outer, other = bench.pair.inner, bench.pair.outer, lab.namespace("o")
    sh(f"ip -n {inner} link add two type veth peer name two netns {outer}")
    sh(f"ip -n {inner} link set two netns {other}")
    controlled.reconcile(drain(controlled.place.changes))
    found = programs(other, "two"), programs(outer, "two", Hook.INGRESS)
    controlled.detach()

    assert ([f"{bench.way}:dlp_entry"], [f"{bench.way}:dlp_guard"]) == found
    assert ["device_moved"] == bench.whats()


def test_end_given_to_the_host(bench, controlled):
    """Of a pair made inside, the end that the host takes is no device of the workload's."""
    enforced(controlled)
    drain(controlled.place.changes)
    inner, outer = bench.pair.inner, bench.pair.outer
    sh(f"ip -n {inner} link add two type veth peer name three")
    sh(f"ip -n {inner} link set three netns {outer}")
    controlled.reconcile(drain(controlled.place.changes))

    assert [f"{bench.way}:dlp_guard"] == programs(outer, "three", Hook.INGRESS)
    assert [f"{bench.way}:dlp_entry"] == programs(inner, "two")
    assert [] == bench.whats()


@pytest.mark.skipif(not links.supported(), reason="the sentry needs TCX (kernel 6.6)")
def test_closed_by_the_sentry(bench, live):
    """What the sentry had closed is protected since then, whatever was sent into it meanwhile."""
    inner, outer = bench.pair.inner, bench.pair.outer
    live.set_guard_flags(0, GuardFlag.CLOSED)
    sentry = Sentry(live.guard(0))
    bench.kit = dataclasses.replace(bench.kit, sentry=sentry)
    try:
        silent(bench)
        controlled = bench.open()
        enforced(controlled)
        with open_netns(outer) as host:
            sentry.place_opened(host.inode, host.fd)
        sentry.watch(controlled.inode, controlled.place.fd)
        until(lambda: controlled.inode in sentry._watched)
        sh(f"ip -n {inner} link add two type veth peer name two netns {outer}")
        index = next(one.index for one in controlled.place.link.devices() if one.name == "two")
        until(lambda: sentry.closed(controlled.inode, index))
        for netns in (inner, outer):
            sh(f"ip -n {netns} addr add 198.51.100.{1 + (netns == outer)}/24 dev two")
            sh(f"ip -n {netns} link set two up")
        with socket_in(inner, socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"hello", ("198.51.100.2", PORT))
        until(lambda: controlled.place.link.device(index).sent)
        controlled.reconcile(drain(controlled.place.changes))

        assert 0.0 == controlled.unprotected_ms
        assert sentry.closed(controlled.inode, index) is None
    finally:
        sentry.close()


def test_device_in_use_is_classified_first(bench, controlled):
    """A container that runs loses no packet: its guard comes when what is under way has arrived."""
    bench.pair.leaks(b"hello")
    controlled.reconcile()
    first = ours(bench), controlled.covers[controlled.inode, controlled.attached[0].index].guarding
    early = bench.pair.leaks(b"hello")
    enforced(controlled)

    assert ([f"{bench.way}:dlp_entry"], Guarding.AWAITED) == first
    assert early
    assert both(bench) == ours(bench)
    assert bench.pair.leaks(b"hello")


# -- a process that starts anew ------------------------------------------------------------------


def restarted(bench, controlled):
    """A process that takes over what one before it recorded."""
    attached, unprotected = controlled.attached, controlled.unprotected_ms
    controlled.close()
    bench.kit.places.close()
    bench.kit = bench.new_kit()
    again = bench.open()
    again.adopt(attached, time.monotonic(), unprotected)
    return again


def test_restart(bench, controlled):
    """The next process takes over in place: the same link or filter, nothing told, nothing lost."""
    enforced(controlled)
    before, unprotected = controlled.attached, controlled.unprotected_ms
    again = restarted(bench, controlled)
    again.reconcile()

    assert again.ready
    assert before == again.attached
    assert both(bench) == ours(bench)
    assert bench.pair.leaks(b"hello")
    assert not bench.pair.leaks()
    assert (unprotected, []) == (again.unprotected_ms, bench.told)


def test_restart_under_traffic(bench, controlled):
    """Ten processes one after the other, and of a constant stream not one datagram is lost."""
    enforced(controlled)
    count = 0
    with Stream(bench.pair) as stream:
        for _ in range(10):
            controlled = restarted(bench, controlled)
            controlled.reconcile()
            time.sleep(0.02)
            count += 1
        until(lambda: stream.sent > 100)
    slot = slot_of(controlled.key)

    assert 10 == count
    assert stream.sent > 100
    assert stream.sent == stream.arrived
    assert 0 == bench.live.counters(slot)[Reason.BYPASS][0]


def test_attach_under_traffic(bench, controlled):
    """Taking a running container under control loses none of its datagrams."""
    if bench.way == "clsact":  # the kernel itself loses some when it makes one
        for netns in (bench.pair.inner, bench.pair.outer):
            sh(f"nsenter --net=/run/netns/{netns} tc qdisc add dev {DEVICE} clsact")
    with Stream(bench.pair) as stream:
        enforced(controlled)
        time.sleep(0.05)
        until(lambda: stream.sent > 50)

    assert both(bench) == ours(bench)
    assert stream.sent > 50
    assert stream.sent == stream.arrived


class Stream:
    """Honest datagrams as fast as the sink counts them."""

    def __init__(self, pair) -> None:
        import threading

        self.sent = self.arrived = 0
        self._pair = pair
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send), threading.Thread(target=self._take)]

    def _send(self) -> None:
        with socket_in(self._pair.inner, socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not self._stop.is_set():
                sender.sendto(b"hello", (SINK4, PORT))
                self.sent += 1
                time.sleep(0.0005)

    def _take(self) -> None:
        self._pair._datagrams.settimeout(0.3)
        # Room for all that is sent while this thread has to wait for a processor.
        self._pair._datagrams.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
        while True:
            try:
                self.arrived += self._pair._datagrams.recv(64) == b"hello"
            except TimeoutError:
                if self._stop.is_set():
                    return

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        deadline = time.monotonic() + 10
        while self.sent < 10 and time.monotonic() < deadline:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._pair._datagrams.settimeout(PATIENCE)


@pytest.mark.parametrize("old", ["tcx", "clsact"])
def test_change_of_way(pair, live, links_path, old: str):
    """What one way attached the other replaces, guard and all, under traffic; never both stay."""
    if not links.supported():
        return
    for netns in (pair.inner, pair.outer):
        sh(f"nsenter --net=/run/netns/{netns} tc qdisc add dev {DEVICE} clsact")
    bench = Bench(pair, live, links_path, old)
    controlled = bench.open()
    enforced(controlled)
    before = ours(bench)
    bench.way = {"tcx": "clsact", "clsact": "tcx"}[old]
    bench.attach = AttachWay.AUTO if bench.way == "tcx" else AttachWay.CLSACT
    with Stream(pair) as stream:
        again = restarted(bench, controlled)
        enforced(again)
        time.sleep(0.05)
    after, leaked = ours(bench), pair.leaks()
    again.detach()
    bench.close()

    assert [f"{old}:dlp_entry", f"{old}:dlp_guard"] == before
    assert both(bench) == after
    assert not leaked
    assert stream.sent == stream.arrived
    assert [] == ours(bench)


def test_qdisc_that_a_link_took_over(pair, live, links_path):
    """A clsact that we made goes when the link is taken off, not before."""
    if not links.supported():
        return
    bench = Bench(pair, live, links_path, "clsact")
    controlled = bench.open()
    enforced(controlled)
    bench.attach = AttachWay.AUTO
    again = restarted(bench, controlled)
    enforced(again)
    between = pair.qdiscs(), sh(f"ip netns exec {pair.outer} tc qdisc show dev {DEVICE}")
    again.detach()
    bench.close()

    assert all("clsact" in text for text in between)
    assert "clsact" not in pair.qdiscs()
    assert "clsact" not in sh(f"ip netns exec {pair.outer} tc qdisc show dev {DEVICE}")


def test_guard_that_went_while_nobody_watched(bench, controlled):
    """A restart finds it missing, puts it back at once, and tells."""
    enforced(controlled)
    bench.kit.pins.detach(controlled.attached[0].guard.link)
    if bench.way == "clsact":
        sh(f"nsenter --net=/run/netns/{bench.pair.outer} tc qdisc del dev {DEVICE} clsact")
    again = restarted(bench, controlled)
    again.reconcile()

    assert both(bench) == ours(bench)
    assert ["guard_removed"] == bench.whats()
    assert again.ready


def test_stale_record(bench, controlled):
    """What the record tells of devices that are gone is forgotten, and their pins."""
    enforced(controlled)
    sh(f"ip -n {bench.pair.inner} link del {DEVICE}")
    again = restarted(bench, controlled)
    again.reconcile()

    assert () == again.attached
    assert [] == list(Pins(bench.path))
    assert [] == bench.told


def test_no_pins_can_be_made(bench, tmp_path):
    """Where bpffs is missing, classifier and guard are put by clsact rather than not at all."""
    bench.kit = dataclasses.replace(bench.kit, pins=Pins(tmp_path / "links"))
    controlled = bench.open()
    enforced(controlled)

    assert WorkloadState.ENFORCED is describe(controlled).state
    assert ["clsact:dlp_entry", "clsact:dlp_guard"] == ours(bench)
