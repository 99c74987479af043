"""The kernel path as one object: adopting, entries, bindings, reading out."""

import os
from ctypes import c_uint32, c_uint64
from pathlib import Path

import pytest

from dlp.datapath import abi, source
from dlp.datapath import datapath as module
from dlp.datapath.abi import Reason
from dlp.datapath.datapath import Datapath, compiled, current_layout
from dlp.datapath.pins import BPFFS, Layout, remove_tree
from dlp.datapath.tables import settings_bytes
from dlp.errors import KernelError
from dlp.model import Action
from dlp.resources import bpf_dir
from tests import packets as pk
from tests.kernelpath import ALPHA, NETNS, SLOT, policy, value
from tests.kernelpath import compiled as image_of
from tests.netlab import require_root
from tests.stub import stub

pytest_plugins = ["tests.kernelpath_fixture"]
# Compiling is slow where the processor is emulated: some of these run under every kernel.


@pytest.fixture
def loads(tmp_path_factory, monkeypatch) -> list[str]:
    """Objects of stubs stay out of the host's cache; each load is noted."""
    cache = tmp_path_factory.getbasetemp() / "objects"
    noted: list[str] = []

    def note(text: str):
        noted.append(text)
        return compiled(text, cache)

    monkeypatch.setattr(module, "compiled", note)
    return noted


@pytest.fixture
def layout(tmp_path):
    """A place of a test's own in bpffs; removed at the end, whatever happened."""
    require_root()
    made = Layout(BPFFS / f"dlp-test-{os.getpid()}-path", tmp_path / "run" / "datapath.json")
    yield made
    made.remove()
    remove_tree(aside(made))


def aside(layout: Layout) -> Path:
    """Where what stood in a build's place lives on."""
    return layout.pins.with_name(f"{layout.pins.name}-aside")


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def opened(layout: Layout) -> bool:
    """Whether opening adopted what was there."""
    with Datapath.open(layout, text=stub()) as found:
        return found.adopted


# -- opening ----------------------------------------------------------------------------------


@pytest.mark.kernel
def test_adopted(layout, loads):
    """A second opening loads nothing; what the first wrote into a map is there."""
    with Datapath.open(layout, text=stub()) as first:
        settings = first.settings
        settings.release = 77
        first._store(settings)
    with Datapath.open(layout, text=stub()) as second:
        assert (False, True, 77) == (first.adopted, second.adopted, second.settings.release)

    assert 1 == len(loads)


def test_loaded_anew_when_asked(layout, loads):
    """`adopt=False` loads though pins exist."""
    opened(layout)
    with Datapath.open(layout, text=stub(), adopt=False) as again:
        assert not again.adopted

    assert 2 == len(loads)


@pytest.mark.parametrize("harm", ["truncated manifest", "no manifest", "missing map"])
def test_harmed_pins_are_loaded_anew(layout, loads, harm: str):
    """What cannot be adopted whole is not adopted at all."""
    opened(layout)
    if harm == "missing map":
        layout.map("flows").unlink()
    elif harm == "no manifest":
        layout.manifest.unlink()
    else:
        text = layout.manifest.read_text()
        layout.manifest.write_text(text[: len(text) // 2])

    before = {path.name for path in layout.pins.iterdir()}
    adopted = opened(layout)

    assert not adopted
    assert 2 == len(loads)
    assert before == {path.name for path in aside(layout).iterdir()}, "what is attached needs it"
    assert opened(layout)


def test_constants_are_written_once(layout, loads):
    """A new build has its constants; an adopted one keeps them."""
    with Datapath.open(layout, text=stub()) as first:
        known = bytes(first.tables["constants"].lookup(c_uint32(0)))
    with Datapath.open(layout, text=stub()) as second:
        assert known == bytes(second.tables["constants"].lookup(c_uint32(0)))

    assert any(known)


def test_closing_and_removing(layout, loads):
    """`close` keeps the pins, `close(remove=True)` does not; no descriptor is left open."""
    before = descriptors()
    Datapath.open(layout, text=stub()).close()
    kept = layout.read() is not None
    Datapath.open(layout, text=stub()).close(remove=True)

    assert kept
    assert not layout.pins.exists()
    assert before == descriptors()


def test_other_sources_are_another_build():
    """Each build has a place of its own, so that the next can stand beside the running one."""
    ours = current_layout()
    other = current_layout(text="other")

    assert ours.pins.parent == other.pins.parent
    assert ours.pins != other.pins
    assert ours.manifest != other.manifest
    assert ours == current_layout(text=source.joined(bpf_dir()))


# -- entries ----------------------------------------------------------------------------------


@pytest.mark.kernel
def test_entry_carries_the_key(layout, loads):
    """The program of a namespace holds its key in place of the placeholder, and nothing else."""
    results = []
    with Datapath.open(layout, text=stub()) as found:
        for key in (0x1234, 0xABCD_0000_5678):
            fd = found.entry(key)
            results.append(found.test_run(fd, bytes(64)).result)
            os.close(fd)

    assert [0x1234, 0x5678] == results


def test_entry_without_a_place_for_the_key(layout, loads):
    """Sources that lost the placeholder give an error, not a classifier of no namespace."""
    text = stub().replace("0x1122334455667788", "0x1122334455667799")
    with Datapath.open(layout, text=text) as found, pytest.raises(KernelError, match="no place"):
        found.entry(1)


@pytest.mark.kernel
def test_entries_tell_namespaces_apart(bench, alpha):
    """The same packet through two entries makes two flows, each under its own key."""
    port, other = bench.port(), 0xBE7D << 16 | SLOT + 1
    fd = bench.datapath.entry(other)
    bench.datapath.bind(other, 0, 1)
    packet = bytes(pk.udp(b"hello", port=port))
    bench.datapath.test_run(fd, packet)
    bench.post(packet)
    os.close(fd)
    bench.datapath.unbind(other, 0)
    found = {key.netns for key, _ in bench.datapath.flows(1 << 17) if key.source_port == port}

    assert {NETNS, other} == found


# -- bindings, counters, flows ----------------------------------------------------------------


@pytest.fixture(scope="module")
def alpha(bench, tmp_path_factory):
    """An image of one signature, dropped under policy 1 and alerted under policy 2."""
    image = image_of(tmp_path_factory.mktemp("alpha"), ALPHA)
    bench.load(image, *both(image))
    return image


def both(image):
    return policy(image), policy(image, Action.ALERT)


def bound(datapath) -> dict[tuple[int, int], int]:
    table = datapath.tables["workloads"]
    live = datapath.settings.generation
    return {(key.netns, key.cgroup): table.lookup(key).policy[live] for key in list(table.keys())}


@pytest.mark.kernel
def test_bindings(bench, alpha):
    """A release brings its bindings with it: exactly those, and the rest is taken away."""
    datapath = bench.datapath
    kept = bound(datapath)
    datapath.bind(1, 0, 2)
    datapath.bind(1, 5, 3)
    bench.load(alpha, *both(alpha), bindings={**kept, (1, 0): 1, (2, 0): 2})
    found = bound(datapath)
    bench.load(alpha, *both(alpha), bindings=kept)

    assert {**kept, (1, 0): 1, (2, 0): 2} == found
    assert kept == bound(datapath)


@pytest.mark.kernel
def test_policy_of_a_binding(bench, alpha):
    """A namespace's packets meet the policy that it is bound to, from the next packet on."""
    passed = []
    for number in (1, 2, 1):
        bench.use(number)
        passed.append(bench.send(pk.udp(value(ALPHA, 1), port=bench.port())).passed)

    assert [False, True, False] == passed


@pytest.mark.kernel
def test_policy_of_a_cgroup(bench, alpha):
    """A socket's cgroup goes before its namespace; unbound it falls back to it."""
    cgroup = bench.send(pk.udp(value(ALPHA, 1), port=bench.port())).events[0].cgroup
    bench.datapath.bind(NETNS, cgroup, 2)
    own = bench.send(pk.udp(value(ALPHA, 1), port=bench.port()))
    bench.datapath.unbind(NETNS, cgroup)
    if not cgroup:  # a test run's packet belongs to none on this kernel
        bench.use(1)
    back = bench.send(pk.udp(value(ALPHA, 1), port=bench.port()))

    assert (True, False) == (own.passed, back.passed)


@pytest.mark.kernel
def test_switch_is_one_number(bench, alpha, monkeypatch):
    """All that belongs to a generation is stored before its number is, which comes alone."""
    stored = []
    store = bench.datapath._store

    def noted(settings):
        stored.append(type(settings).from_buffer_copy(settings))
        store(settings)

    monkeypatch.setattr(bench.datapath, "_store", noted)
    before = bench.datapath.settings
    bench.load(alpha, *both(alpha))

    ahead, live, _ = stored  # the last one is a heartbeat
    assert (before.generation, before.release) == (ahead.generation, ahead.release)
    assert 1 - before.generation == live.generation
    ahead.generation, ahead.release = live.generation, live.release
    assert settings_bytes(ahead) == settings_bytes(live)


@pytest.mark.kernel
def test_counters(bench, alpha):
    """Packets and bytes by reason; cleared, they begin at nothing."""
    bench.use(1)
    bench.datapath.clear_counters(SLOT)
    bench.post(pk.udp(value(ALPHA, 1), port=bench.port()))
    bench.post(pk.udp(b"x" * 100, port=bench.port()))
    counted = bench.datapath.counters(SLOT)
    bench.datapath.clear_counters(SLOT)

    assert (2, 1, 1) == tuple(
        counted[reason][0] for reason in (Reason.PACKETS, Reason.PASSED, Reason.DROPPED)
    )
    assert 100 == counted[Reason.PASSED][1]
    assert {(0, 0)} == set(bench.datapath.counters(SLOT).values())
    assert set(Reason) == set(counted)


@pytest.mark.kernel
def test_flows_are_bounded(bench, alpha):
    """A reader gets as many flows as it asks for at most."""
    for _ in range(5):
        bench.post(pk.udp(b"hello", port=bench.port()))

    assert 3 == len(list(bench.datapath.flows(3)))
    assert 0 == len(list(bench.datapath.flows(0)))


@pytest.mark.kernel
def test_flow_of_a_stream(bench, alpha):
    """What a flow's row says: packets, bytes, matches, state, policy."""
    bench.use(2)
    port = bench.port()
    bench.post(pk.tcp(b"", port=port, flags="S", seq=0))
    bench.post(pk.tcp(b"x" * 100, port=port, seq=1))
    bench.post(pk.tcp(b" " + value(ALPHA, 1), port=port, seq=101))
    ((key, flow),) = [
        (key, flow)
        for key, flow in bench.datapath.flows(1 << 17)
        if (key.netns, key.source_port) == (NETNS, port)
    ]
    bench.use(1)
    bench.drain()

    assert (NETNS, 6, 4, 9000) == (key.netns, key.protocol, key.family, key.destination_port)
    assert (3, 118, 0, 1) == (flow.packets, flow.inspected, flow.missed, flow.matches)
    assert (abi.FlowState.OPEN, 2) == (flow.state, flow.policy)
    assert flow.started_ns <= flow.seen_ns


@pytest.mark.kernel
def test_block_and_forget(bench, alpha):
    """The inspector's word blocks a mirrored flow from its next packet on; it can be forgotten."""
    bench.load(alpha, policy(alpha, Action.MIRROR))
    port = bench.port()
    bench.post(pk.tcp(b"", port=port, flags="S", seq=0))
    first = bench.send(pk.tcp(value(ALPHA, 1), port=port, seq=1))
    bench.datapath.block(first.payloads[0].flow, 0)
    second = bench.send(pk.tcp(b"more", port=port, seq=18))
    bench.datapath.forget_word(first.payloads[0].flow)
    left = bench.datapath.tables["words"].lookup(c_uint64(first.payloads[0].flow))

    assert (True, False) == (first.passed, second.passed)
    assert 1 == second.rises[Reason.INSPECTOR_BLOCKED]
    assert left is None
