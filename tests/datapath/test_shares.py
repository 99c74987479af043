"""What is shared between workloads and bounded: events by workload, blocks of the socketless."""

import time
from ctypes import c_uint32

import pytest

from dlp.datapath import abi
from dlp.datapath.abi import EventKind, FlowState, Reason
from dlp.errors import KernelError
from dlp.model import Action
from tests import packets as pk
from tests.kernelpath import ALPHA, NETNS, SLOT, compiled, policy, value
from tests.netlab import GUEST, PATIENCE

pytest_plugins = ["tests.kernelpath_fixture"]
pytestmark = pytest.mark.kernel

BURST = 40
NOISE = BURST // 2  # the rest is kept for what is stopped or held
OTHER = NETNS + (5 << 16) + 1  # another namespace, in the next slot
PER_EVENT_NS = 1 << 20
COARSE_NS = 12_000_000  # the programs' clock goes by the kernel's ticks


@pytest.fixture(scope="module")
def alpha(bench, tmp_path_factory):
    image = compiled(tmp_path_factory.mktemp("shares"), ALPHA)
    bench.load(image, policy(image, Action.ALERT))
    return image


# -- events -----------------------------------------------------------------------------------


@pytest.fixture
def bounded(bench, alpha):
    """Each workload may save up BURST events; all buckets are full."""
    for slot in (SLOT, SLOT + 1):
        bench.datapath.tables["buckets"].update(c_uint32(slot), abi.BucketStruct())
    write_burst(bench, BURST)
    bench.drain()
    yield
    write_burst(bench, 0)
    bench.drain()


def write_burst(bench, burst: int) -> None:
    settings = bench.datapath.settings
    settings.event_burst = burst
    bench.datapath.tables["settings"].update(c_uint32(0), settings)


def matching(bench, count: int) -> list[bytes]:
    return [bytes(pk.udp(value(ALPHA, n), port=bench.port())) for n in range(count)]


def test_no_bound(bench, alpha):
    """Without a bound every match is told of."""
    for packet in matching(bench, 200):
        bench.post(packet)
    bench.read()
    found = len(bench.events)
    bench.drain()

    assert 200 == found


def test_burst(bench, bounded):
    """What is saved up is told at once, the rest counted; a token comes a millisecond."""
    packets = matching(bench, 300)
    before = bench.packets()
    began = time.monotonic_ns()
    for packet in packets:
        bench.post(packet)
    took = time.monotonic_ns() - began
    bench.read()
    found, limited = len(bench.events), bench.packets()[Reason.EVENT_LIMITED]
    limited -= before[Reason.EVENT_LIMITED]

    assert 300 == found + limited
    assert NOISE <= found <= NOISE + (took + COARSE_NS) // PER_EVENT_NS
    assert limited > 0


def test_what_is_stopped_has_a_share_of_its_own(bench, bounded, alpha):
    """After a flood of alerts what is dropped is still told of."""
    for packet in matching(bench, 300):
        bench.post(packet)
    bench.load(alpha, policy(alpha))
    write_burst(bench, BURST)
    bench.drain()
    for packet in matching(bench, NOISE):
        bench.post(packet)
    bench.read()
    actions = {event.action for event in bench.events}
    found = len(bench.events)
    bench.load(alpha, policy(alpha, Action.ALERT))

    assert (NOISE, {Action.DROP}) == (found, actions)


def test_tokens_come_back(bench, bounded):
    """After a pause there is a burst again, and no more than one."""
    for packet in matching(bench, 200):
        bench.post(packet)
    time.sleep(3 * BURST * PER_EVENT_NS / 1e9)
    bench.drain()
    packets = matching(bench, 200)
    began = time.monotonic_ns()
    for packet in packets:
        bench.post(packet)
    took = time.monotonic_ns() - began
    bench.read()

    assert NOISE <= len(bench.events) <= NOISE + (took + COARSE_NS) // PER_EVENT_NS


def test_one_workload_does_not_silence_another(bench, bounded):
    """Each has a bucket of its own."""
    entry = bench.datapath.entry(OTHER)
    bench.datapath.bind(OTHER, 0, 1)
    for packet in matching(bench, 300):
        bench.post(packet)
    bench.drain()
    (packet,) = matching(bench, 1)
    bench.datapath.test_run(entry, packet)
    bench.read()
    bench.datapath.unbind(OTHER, 0)

    assert [OTHER] == [event.packet.netns for event in bench.events]


def test_limited_events_change_no_verdict(bench, bounded, alpha):
    """What is not told of is dropped all the same."""
    bench.load(alpha, policy(alpha))
    passed = {bench.post(packet) for packet in matching(bench, 200)}
    bench.load(alpha, policy(alpha, Action.ALERT))

    assert {False} == passed


def test_guard_is_bounded_too(bench, bounded):
    """A flood past the classifier is told of in part and counted whole."""
    guard = bench.datapath.guard(NETNS)
    bench.datapath.renew_tokens(SLOT)
    packet = bytes(pk.udp(b"bypass", port=bench.port()))
    before = bench.packets()
    began = time.monotonic_ns()
    for _ in range(300):
        bench.datapath.test_run(guard, packet)
    took = time.monotonic_ns() - began
    after = bench.packets()
    bench.read()
    bench.datapath.clear_guard(SLOT)

    assert 300 == after[Reason.BYPASS] - before[Reason.BYPASS]
    assert NOISE <= len(bench.events) <= NOISE + (took + COARSE_NS) // PER_EVENT_NS
    assert {EventKind.BYPASS} == {event.kind for event in bench.events}


# -- blocks of what has no socket -------------------------------------------------------------


@pytest.fixture
def dropping(bench, alpha):
    bench.load(alpha, policy(alpha))
    yield
    bench.load(alpha, policy(alpha, Action.ALERT))


def key_of(bench, port: int) -> abi.FlowKeyStruct:
    (key,) = (
        key
        for key, _ in bench.datapath.flows(1 << 17)
        if (key.netns, key.source_port) == (NETNS, port)
    )
    return key


def forget(bench, key: abi.FlowKeyStruct) -> None:
    """As the table of flows does when others need the room."""
    assert bench.datapath.tables["flows"].delete(key)


def test_block_is_recalled(bench, dropping):
    """A blocked stream without a socket stays blocked when the table of flows forgot it."""
    port = bench.port()
    bench.send(pk.tcp(value(ALPHA, 1) + b" ", port=port, seq=1))
    key = key_of(bench, port)
    forget(bench, key)
    fate = bench.send(pk.tcp(b"harmless", port=port, seq=19))

    assert not fate.passed
    assert 1 == fate.rises[Reason.FLOW_BLOCKED]
    assert FlowState.BLOCKED == bench.datapath.tables["flows"].lookup(key).state


def test_block_outlives_a_flood(bench, dropping):
    """The same under a flood of other flows."""
    port = bench.port()
    bench.send(pk.tcp(value(ALPHA, 1) + b" ", port=port, seq=1))
    head = bytearray(bytes(pk.udp(b"flood", port=1)))
    for number in range(150_000):
        head[26:30] = (0x0A400000 + number).to_bytes(4, "big")  # the source's address
        bench.post(bytes(head))
    forgotten = not any(
        key.source_port == port and key.netns == NETNS for key, _ in bench.datapath.flows(1 << 17)
    )

    assert forgotten, "else the flood proves nothing"
    assert not bench.send(pk.tcp(b"harmless", port=port, seq=19)).passed


def test_block_expires(bench, dropping):
    """After its time a block is none, and the flow begins anew."""
    port = bench.port()
    bench.send(pk.tcp(value(ALPHA, 1) + b" ", port=port, seq=1))
    key = key_of(bench, port)
    block = bench.datapath.tables["blocked"].lookup(key)
    left_s = (block.until_ns - time.monotonic_ns()) / 1e9
    block.until_ns = time.monotonic_ns()
    bench.datapath.tables["blocked"].update(key, block)
    time.sleep(0.02)  # the programs' clock is coarse
    forget(bench, key)

    assert 600 - (PATIENCE if GUEST else 10) < left_s <= 600
    assert bench.send(pk.tcp(b"harmless", port=port, seq=19)).passed


@pytest.fixture
def full(bench):
    """The table of blocks has no room."""
    table, filler = bench.datapath.tables["blocked"], abi.BlockStruct(0, 0, 0)
    keys = [
        abi.FlowKeyStruct(netns=1, source_port=n & 0xFFFF, family=n >> 16) for n in range(1 << 16)
    ]
    for key in keys:
        try:
            table.update(key, filler)
        except KernelError:
            break
    yield
    for key in keys:
        table.delete(key)
    bench.datapath.tables["buckets"].update(c_uint32(SLOT), abi.BucketStruct())


def test_block_without_room(bench, dropping, full):
    """Where a block cannot be kept, what it would have stopped counts as blocked."""
    port = bench.port()
    fate = bench.send(pk.tcp(value(ALPHA, 1) + b" ", port=port, seq=1))
    assert 1 == fate.rises[Reason.BLOCK_LOST]
    forget(bench, key_of(bench, port))
    later = bench.send(pk.tcp(b"harmless", port=port, seq=19))
    others = bench.send(pk.udp(b"harmless", port=bench.port()))

    assert (False, 1) == (later.passed, later.rises[Reason.FLOW_BLOCKED])
    assert others.passed


def test_a_new_connection_is_not_recalled(bench, dropping):
    """A SYN with another number is another connection: judged anew."""
    port = bench.port()
    bench.send(pk.tcp(value(ALPHA, 1) + b" ", port=port, seq=1))
    syn = bench.send(pk.tcp(b"", port=port, flags="S", seq=70_000))
    data = bench.send(pk.tcp(b"harmless", port=port, seq=70_001))

    assert (True, True) == (syn.passed, data.passed)


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_block_of_datagrams(bench, dropping, seconds: float):
    """Userspace may block what no socket stands for, for so long as it says."""
    port = bench.port()
    assert bench.send(pk.udp(b"hello", port=port)).passed
    key = key_of(bench, port)
    forget(bench, key)
    bench.datapath.block_key(key, 0, seconds)
    time.sleep(0.02)
    fate = bench.send(pk.udp(b"hello", port=port))

    assert (seconds == 0) == fate.passed
    assert (seconds > 0) == bool(fate.rises[Reason.FLOW_BLOCKED])
