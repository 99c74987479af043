"""Thresholds over a workload's window of time: the value that reaches the count does not leave."""

import contextlib
import time

import pytest

from dlp.datapath import abi
from dlp.datapath.abi import EventFlag, EventKind
from dlp.datapath.tables import rule_id
from dlp.errors import KernelError
from dlp.model import Action
from dlp.policy import RuleRow
from tests import packets as pk
from tests.kernelpath import ALPHA, NETNS, SLOT, compiled, policy, value

pytest_plugins = ["tests.kernelpath_fixture"]
pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def alpha(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("window"), ALPHA)


@pytest.fixture
def under(bench, alpha):
    """Put the signature under a rule whose window is empty."""

    def load(count: int, window_s: int, action: Action = Action.DROP) -> None:
        bench.load(alpha, policy(alpha, rules={0: RuleRow(action, 3, count, window_s=window_s)}))
        bench.datapath.clear_counters(SLOT)

    return load


def row(bench) -> abi.WindowStruct:
    key = abi.WindowKeyStruct(NETNS, rule_id("bench", 3))
    found = bench.datapath.tables["windows"].lookup(key)
    assert found is not None
    return found


def age(bench, seconds: float) -> None:
    """All values of the rule were seen that much earlier."""
    found = row(bench)
    for place in range(abi.WINDOW):
        if found.seen_ns[place]:
            found.seen_ns[place] -= int(seconds * 1e9)
    key = abi.WindowKeyStruct(NETNS, rule_id("bench", 3))
    bench.datapath.tables["windows"].update(key, found)


def leaves(bench, number: int, build=pk.udp) -> bool:
    """One value in a flow of its own."""
    return bench.post(build(b"= " + value(ALPHA, number) + b" ", port=bench.port()))


@pytest.mark.parametrize("build", [pk.udp, pk.tcp])
@pytest.mark.parametrize("count", [1, 2, 10, 64])
def test_nth_does_not_leave(bench, under, count, build):
    """Values in flows of their own add up; the count's last stays, and each one after it."""
    under(count, 300)

    passed = [leaves(bench, number, build) for number in range(count + 3)]

    assert [True] * (count - 1) + [False] * 4 == passed


def test_all_in_one_packet(bench, under):
    """Also where one packet has them all."""
    under(3, 300)
    payload = b" ".join(value(ALPHA, number) for number in range(3)) + b" "

    assert not bench.post(pk.tcp(payload, port=bench.port()))


def test_the_same_value_counts_once(bench, under):
    """However often it is sent; and it is told once a flow."""
    under(2, 300)
    assert all(leaves(bench, 1) for _ in range(5))
    bench.drain()

    assert not leaves(bench, 2)
    assert not leaves(bench, 1), "the threshold is reached, and it is one of the two"
    bench.read()
    counts = [event.count for event in bench.events if event.kind is EventKind.MATCH]
    assert [2, 2] == counts
    bench.drain()


def test_event_below(bench, under):
    """Below the threshold a match is told of with its count."""
    under(3, 300)
    bench.drain()
    for number in range(2):
        leaves(bench, number)
    bench.read()

    found = [event for event in bench.events if event.kind is EventKind.MATCH]
    assert [1, 2] == [event.count for event in found]
    assert all(event.flags & EventFlag.BELOW_THRESHOLD for event in found)
    bench.drain()


def test_window_ends(bench, under):
    """A value counts for the window's time, and no longer."""
    under(2, 10)
    assert leaves(bench, 1)
    age(bench, 10.5)
    assert leaves(bench, 2)
    age(bench, 9)
    assert not leaves(bench, 3)


def test_seen_again_is_refreshed(bench, under):
    """The time begins anew with each sighting."""
    under(2, 10)
    assert leaves(bench, 1)
    for _ in range(3):
        age(bench, 8)
        assert leaves(bench, 1)
    age(bench, 8)

    assert not leaves(bench, 2)


def test_a_flood_makes_none_forgotten(bench, under):
    """While a value is in the window, any number of others leaves the count at its threshold."""
    under(64, 300, Action.ALERT)
    for number in range(200):
        leaves(bench, number)
    under_flood = bench.datapath.note_in_window(NETNS, "bench", 3, 300, bytes(32))

    assert 64 == under_flood
    assert 64 == sum(map(bool, row(bench).seen_ns))


def test_the_oldest_goes_first(bench, under):
    """Of a full row the value that was seen longest ago makes room, not one that was refreshed."""
    under(64, 300, Action.ALERT)
    for number in range(64):
        leaves(bench, number)
    first = set(row(bench).value)
    age(bench, 20)
    leaves(bench, 0)  # seen again
    before = dict(zip(row(bench).value, row(bench).seen_ns, strict=True))
    refreshed = max(before, key=before.__getitem__)
    for number in range(100, 163):
        leaves(bench, number)

    assert first & set(row(bench).value) == {refreshed}


def test_rules_and_workloads_apart(bench, under):
    """Another namespace's values do not count here."""
    under(2, 300)
    bench.datapath.note_in_window(NETNS + (1 << 16), "bench", 3, 300, b"a" * 32)
    bench.datapath.note_in_window(NETNS, "bench", 4, 300, b"a" * 32)

    assert leaves(bench, 1)


def test_findings_count_with_the_kernels(bench, under):
    """What the inspector found and what the kernel found add up, each value once."""
    under(2, 300)
    assert 1 == bench.datapath.note_in_window(NETNS, "bench", 3, 300, b"a" * 32)
    assert 1 == bench.datapath.note_in_window(NETNS, "bench", 3, 300, b"a" * 32)
    assert not leaves(bench, 1)
    assert 3 == bench.datapath.note_in_window(NETNS, "bench", 3, 300, b"b" * 32)


def test_no_room(bench, under):
    """Where no row is left, what was found counts as if its threshold were reached."""
    under(2, 300)
    table = bench.datapath.tables["windows"]
    keys = [abi.WindowKeyStruct(number, 1) for number in range(1, 5000)]
    filled = 0
    try:
        with contextlib.suppress(KernelError):
            for key in keys:
                table.update(key, abi.WindowStruct())
                filled += 1
        assert 4000 < filled < len(keys)
        assert 0xFFFF_FFFF == bench.datapath.note_in_window(NETNS, "bench", 3, 300, b"a" * 32)
        assert not leaves(bench, 1)
    finally:
        table.delete_all(keys[:filled])


def test_soon_after_boot(bench, under):
    """A place that never held a value is not alive, however short the host has run."""
    under(2, abi.c_uint32(-1).value)
    assert leaves(bench, 1)
    assert not leaves(bench, 2)
    assert time.monotonic() > 0


def test_slot_of_another_workload(bench, under):
    """A slot that is given away takes no values along."""
    under(2, 300)
    assert leaves(bench, 1)
    bench.datapath.clear_counters(SLOT)

    assert leaves(bench, 2)
