"""One namespace under control: its devices are found and covered."""

import os
import socket
import subprocess

import pytest

from dlp.datapath.attach import Attached
from dlp.enforcement.keys import KeyRing, slot_of
from dlp.enforcement.namespace import drain, open_controlled
from dlp.errors import KernelError
from dlp.workloads.netns import NetnsNotReadyError
from tests.netlab import DEVICE, sh

pytest_plugins = ["tests.netlab_fixture"]
pytestmark = pytest.mark.netns


@pytest.fixture
def pair(lab):
    """A workload and a sink."""
    return lab.pair()


@pytest.fixture
def controlled(pair, live):
    """The workload's namespace, opened; its cards are dropped once it is attached."""
    made = open_controlled(pair.inner, live, KeyRing())
    live.bind(made.key, 0, 1)
    yield made
    made.close()


def test_nothing_is_attached_by_opening(pair, controlled):
    """Opening loads the classifier; attaching is another step."""

    assert [] == pair.filters()
    assert pair.leaks()


def test_reconcile(pair, controlled):
    """Boundary devices are covered, and a second look changes nothing."""
    changes = [controlled.reconcile(), controlled.reconcile()]

    assert [True, False] == changes
    assert [DEVICE] == [one.device for one in controlled.attached.values()]
    assert not pair.leaks()
    assert "" == controlled.error


def test_device_added_and_removed(pair, controlled):
    """A device that came is covered at the next look, one that went is forgotten."""
    controlled.reconcile()
    sh(f"ip -n {pair.inner} link add second type veth peer name other")
    came = controlled.reconcile()
    covered = {one.device for one in controlled.attached.values()}
    sh(f"ip -n {pair.inner} link del second")
    went = controlled.reconcile()

    assert (True, {DEVICE, "second", "other"}, True) == (came, covered, went)
    assert {DEVICE} == {one.device for one in controlled.attached.values()}


def test_index_used_anew(pair, controlled):
    """A device made anew under an old index, with another name, is covered too."""
    controlled.reconcile()
    index = next(iter(controlled.attached))
    sh(f"ip -n {pair.inner} link del {DEVICE}")
    sh(f"ip -n {pair.inner} link add fresh index {index} type veth peer name other")
    controlled.reconcile()

    assert "dlp_entry" in pair.tc("filter show dev fresh egress")
    assert "fresh" == controlled.attached[index].device


@pytest.mark.parametrize("told", [True, False])
def test_device_of_the_same_name_and_index(pair, controlled, *, told: bool):
    """A device made anew just as it was is covered anew, whether the kernel told or was asked."""
    controlled.reconcile()
    drain(controlled.changes)
    index = next(iter(controlled.attached))
    sh(f"ip -n {pair.inner} link del {DEVICE}")
    sh(f"ip -n {pair.inner} link add {DEVICE} index {index} type veth peer name other")
    removed, sure = drain(controlled.changes)
    if told:
        controlled.reconcile(removed)
    else:
        controlled.reconcile(sure=False)

    assert ({index}, True) == (removed, sure)
    assert 1 == len(pair.filters())


def test_classifier_that_another_removed(pair, controlled):
    """Where the kernel is asked, a classifier that was taken off is put back."""
    controlled.reconcile()
    pair.tc(f"filter del dev {DEVICE} egress pref 1")
    controlled.reconcile()
    before = pair.filters()
    controlled.reconcile(sure=False)

    assert [] == before
    assert not pair.leaks()


def test_lost_messages(controlled):
    """Messages that the socket had no room for are told as lost, the rest is read."""
    controlled.changes.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    name = controlled.handle.name
    batch = "\n".join(f"link add m{n} type veth peer name p{n}" for n in range(20))
    subprocess.run(["ip", "-n", name, "-batch", "-"], input=batch, text=True, check=True)
    _, sure = drain(controlled.changes)

    assert not sure
    assert (set(), True) == drain(controlled.changes)


def test_uncovered_devices_are_told(pair, controlled):
    """What is up and no boundary is listed, but for the loopback."""
    sh(f"ip -n {pair.inner} link add bridge0 type bridge")
    controlled.reconcile()
    down = controlled.uncovered
    sh(f"ip -n {pair.inner} link set bridge0 up")
    sh(f"ip -n {pair.inner} link set lo up")
    controlled.reconcile()

    assert ((), ("bridge0",)) == (down, controlled.uncovered)


def test_place_that_is_taken(pair, controlled):
    """The error names the device; it is gone once the place is free."""
    pair.tc(f"qdisc add dev {DEVICE} clsact")
    pair.tc(f"filter add dev {DEVICE} egress pref 1 u32 match u32 0 0 classid 1:1")
    controlled.reconcile()
    told = controlled.error
    pair.tc(f"filter del dev {DEVICE} egress pref 1")
    controlled.reconcile()

    assert f"attaching to {DEVICE}" in told
    assert "" == controlled.error
    assert not pair.leaks()


def test_one_bad_device_spoils_no_other(pair, controlled):
    """Where one device cannot be covered, the others are."""
    sh(f"ip -n {pair.inner} link add second type veth peer name other")
    pair.tc("qdisc add dev second clsact")
    pair.tc("filter add dev second egress pref 1 u32 match u32 0 0 classid 1:1")
    controlled.reconcile()

    assert "attaching to second" in controlled.error
    assert {DEVICE, "other"} == {one.device for one in controlled.attached.values()}


def test_qdisc_of_an_earlier_process(pair, controlled):
    """A clsact that an earlier process made is still ours to remove."""
    pair.tc(f"qdisc add dev {DEVICE} clsact")
    index = next(one.index for one in controlled.link.devices() if one.name == DEVICE)
    controlled.before = {index: Attached(device=DEVICE, index=index, made_qdisc=True)}
    controlled.reconcile()
    controlled.detach()

    assert "clsact" not in pair.qdiscs()


def test_detach(pair, controlled):
    """All classifiers come off."""
    controlled.reconcile()
    controlled.detach()

    assert [] == pair.filters()
    assert {} == controlled.attached
    assert pair.leaks()


def test_closing_leaves_enforcement_on(pair, live):
    """The classifier stays where the process lets go of it."""
    made = open_controlled(pair.inner, live, KeyRing())
    live.bind(made.key, 0, 1)
    made.reconcile()
    made.close()

    assert 1 == len(pair.filters())
    assert not pair.leaks()


def test_counters_of_a_new_key(pair, live):
    """A slot that another had begins at nothing; a key known from before goes on counting."""
    ring = KeyRing()
    first = open_controlled(pair.inner, live, ring)
    slot = slot_of(first.key)
    live.bind(first.key, 0, 1)
    first.reconcile()
    pair.leaks(b"hello")
    first.close()
    counted = sum(packets for packets, _ in live.counters(slot).values())
    open_controlled(pair.inner, live, KeyRing([first.key])).close()
    kept = sum(packets for packets, _ in live.counters(slot).values())
    open_controlled(pair.inner, live, KeyRing()).close()
    fresh = sum(packets for packets, _ in live.counters(slot).values())

    assert counted > 0
    assert (counted, 0) == (kept, fresh)


def test_missing_namespace(lab, live):
    """A name that is not there is an error, and leaves no descriptor open."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with pytest.raises(KernelError):
        open_controlled(lab.name("gone"), live, KeyRing())

    assert before == len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def test_file_that_is_no_namespace(live, tmp_path, monkeypatch):
    """The moment between the file and its mount has an error of its own."""
    (tmp_path / "web").touch()
    monkeypatch.setattr("dlp.workloads.netns.open_netns.__defaults__", (tmp_path,))
    with pytest.raises(NetnsNotReadyError):
        open_controlled("web", live, KeyRing())


def test_no_slot_left(pair, live):
    """The error says so, and the namespace's descriptors are closed again."""
    ring = KeyRing([inode << 16 | inode for inode in range(1, 1024)])
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with pytest.raises(KernelError, match="slots are taken"):
        open_controlled(pair.inner, live, ring)

    assert before == len(os.listdir("/proc/self/fd"))  # noqa: PTH208
