"""A program on a cgroup's egress, with real processes and packets."""

import os
from pathlib import Path

import pytest

from dlp.datapath import gates, libbpf
from dlp.datapath.abi import Reason
from dlp.datapath.pins import BPFFS
from dlp.errors import KernelError

pytest_plugins = ["tests.cgrouplab", "tests.netlab_fixture"]
pytestmark = pytest.mark.netns


@pytest.fixture
def pins():
    """A directory of pins."""
    made = BPFFS / f"dlp-test-links-{os.getpid()}"
    yield made
    if made.is_dir():
        gates.remove_all(made)
        made.rmdir()


@pytest.fixture
def gate(cgroups, live, pins):
    """The tree's own cgroup is gated; its children are at level 2."""
    number = cgroups.directory.stat().st_ino
    program = live.gate(2)
    gates.put(program, cgroups.directory, gates.pin_of(number, pins))
    os.close(program)
    return gates.pin_of(number, pins)


def link_of(pin) -> str:
    """The kernel's number of the link that is pinned there."""
    fd = libbpf.open_pin(pin)
    try:
        told = Path(f"/proc/self/fdinfo/{fd}").read_text()
    finally:
        os.close(fd)
    return next(line for line in told.splitlines() if line.startswith("link_id"))


def gated(live) -> int:
    return live.counters(0)[Reason.GATED][0]


def test_admitted_children_send(cgroups, lab, live, gate):
    """A child sends while its id is in the table, its own children with it; others do not."""
    pair = lab.pair()
    child = cgroups.sender("a", pair.inner)
    below = cgroups.sender("a/sub", pair.inner)
    other = cgroups.sender("b", pair.inner)
    number = (cgroups.directory / "a").stat().st_ino
    before = gated(live)

    assert [False, False, False] == [one.sends() for one in (child, below, other)]
    assert before + 3 == gated(live)
    live.admit(number)
    assert [True, True, False] == [one.sends() for one in (child, below, other)]
    live.unadmit(number)
    assert [False, False, False] == [one.sends() for one in (child, below, other)]


def test_beside_the_children(cgroups, lab, live, gate):
    """Neither processes right in the gated cgroup nor those elsewhere are asked."""
    pair = lab.pair()
    right_in = cgroups.sender(".", pair.inner)
    before = gated(live)

    assert right_in.sends()
    assert pair.datagram(b"of the test itself")
    assert before == gated(live)


def test_removed(cgroups, lab, live, gate, pins):
    """The gate ends with its pin, whoever made it."""
    pair = lab.pair()
    child = cgroups.sender("a", pair.inner)
    assert not child.sends()

    assert {cgroups.directory.stat().st_ino: gate} == gates.pinned(pins)
    assert 1 == gates.remove_all(pins)
    assert child.sends()
    assert 0 == gates.remove_all(pins)


def test_replaced(cgroups, lab, live, gate, pins):
    """Another program takes the link's place: there is never a second gate."""
    pair = lab.pair()
    child = cgroups.sender("a", pair.inner)
    link = link_of(gate)
    program = live.gate(7)  # nobody is that deep: all may send
    gates.put(program, cgroups.directory, gate)
    os.close(program)

    assert child.sends()
    assert link == link_of(gate)
    assert [gate] == list(pins.iterdir())


def test_cgroup_made_anew(cgroups, live, pins):
    """A pin whose cgroup is gone holds nothing: it makes room for a new link."""
    old = cgroups.make("a")
    pin = pins / "gate-1"
    for _ in range(2):
        program = live.gate(3)
        gates.put(program, old, pin)
        os.close(program)
        cgroups.remove("a")
        cgroups.make("a")
    assert [pin] == list(pins.iterdir())


def test_no_cgroup(cgroups, live, pins, tmp_path):
    """What is no cgroup is an error that names it, and leaves no pin."""
    program = live.gate(2)

    with pytest.raises(KernelError, match="none cannot be gated"):
        gates.put(program, cgroups.directory / "none", pins / "gate-1")
    with pytest.raises(KernelError, match="cannot be gated"):
        gates.put(program, tmp_path, pins / "gate-1")
    os.close(program)
    assert {} == gates.pinned(pins)


def test_foreign_pins(pins):
    """Only pins of gates are counted and removed."""
    assert {} == gates.pinned(pins)
    assert 0 == gates.remove_all(pins)
