"""The layer over libbpf, on the maps and programs of the session's datapath."""

import os
from ctypes import c_uint8, c_uint32, c_uint64, sizeof

import pytest

from dlp.datapath import abi, libbpf
from dlp.datapath.libbpf import Map, RingBuffer
from dlp.datapath.pins import BPFFS
from dlp.errors import KernelError, MissingDependency
from dlp.model import Action
from tests import packets as pk
from tests.kernelpath import ALPHA, compiled, policy, value

pytest_plugins = ["tests.kernelpath_fixture"]
pytestmark = pytest.mark.kernel

FLOW = 1 << 63  # flow ids of these tests: no real flow has one


@pytest.fixture
def two():
    """A program of two instructions: r0 = 2; exit."""
    fd = libbpf.load_program("two", bytes.fromhex("b700000002000000" + "9500000000000000"))
    yield fd
    os.close(fd)


@pytest.fixture
def admitted(datapath):
    """A hash map with 64-bit keys and 32-bit values; what a test leaves in it is removed."""
    table = datapath.tables["admitted"]
    yield table
    for key in list(table.keys()):
        table.delete(key)


def test_update_and_lookup(admitted):
    """What is written is read; a second write replaces it."""
    key = c_uint64(FLOW)
    admitted.update(key, c_uint32(7))
    first = admitted.lookup(key).value
    admitted.update(key, c_uint32(8))

    assert (7, 8) == (first, admitted.lookup(key).value)


def test_missing_key(admitted):
    """A key that is not there is None, and deleting it is False."""

    assert admitted.lookup(c_uint64(FLOW)) is None
    assert not admitted.delete(c_uint64(FLOW))


def test_delete(admitted):
    """A deleted key is gone."""
    admitted.update(c_uint64(FLOW), c_uint32(1))

    assert admitted.delete(c_uint64(FLOW))
    assert admitted.lookup(c_uint64(FLOW)) is None


def test_keys(admitted):
    """The walk gives every key once."""
    expected = {FLOW + number for number in range(100)}
    for number in expected:
        admitted.update(c_uint64(number), c_uint32(1))
    found = [key.value for key in list(admitted.keys())]

    assert len(expected) == len(found)
    assert expected == set(found)


def test_keys_of_an_empty_map(admitted):
    """Nothing to walk is no error."""

    assert [] == list(admitted.keys())


def test_full_map(datapath):
    """A map without room says which and why."""
    table = datapath.tables["exceptions"]

    def fill() -> None:
        for number in range(8192 + 1):
            table.update(abi.ExceptionKeyStruct(pad=1, policy=number), c_uint64(1))

    with pytest.raises(KernelError) as raised:
        fill()
    for key in list(table.keys()):
        if key.pad == 1:
            table.delete(key)

    assert "writing map exceptions: Argument list too long" == raised.value.message


def test_index_past_an_array(datapath):
    """An index that an array does not have is None to a reader, an error to a writer."""
    table = datapath.tables["settings"]

    assert table.lookup(c_uint32(1)) is None
    with pytest.raises(KernelError, match="writing map settings: Argument list too long"):
        table.update(c_uint32(1), abi.SettingsStruct())


def test_array_elements_cannot_be_deleted(datapath):
    """The kernel's reason is handed on."""
    with pytest.raises(KernelError, match="deleting from map settings: Invalid argument"):
        datapath.tables["settings"].delete(c_uint32(0))


def test_closed_descriptor():
    """Every operation on a map that is gone names itself and the reason."""
    gone = Map("gone", 1 << 20, c_uint32, c_uint32)
    for act, doing in (
        (lambda: gone.update(c_uint32(0), c_uint32(0)), "writing map gone"),
        (lambda: gone.lookup(c_uint32(0)), "reading map gone"),
        (lambda: gone.lookup_cpus(c_uint32(0)), "reading map gone"),
        (lambda: gone.update_cpus(c_uint32(0), c_uint32(0)), "writing map gone"),
        (lambda: gone.delete(c_uint32(0)), "deleting from map gone"),
        (lambda: list(gone.keys()), "walking map gone"),
        (lambda: libbpf.program_info(1 << 20), "reading a program's figures"),
        (lambda: libbpf.test_run(1 << 20, bytes(64)), "running a program"),
    ):
        with pytest.raises(KernelError, match=f"^{doing}: .*descriptor"):
            act()
    with pytest.raises(KernelError, match=r"^opening a ring buffer: "):
        RingBuffer(1 << 20, lambda _: None)


def test_per_cpu_values(datapath):
    """A per-CPU map holds one value for each processor, written and read together."""
    table, row = datapath.tables["counters"], c_uint32(abi.WORKLOADS - 1)
    table.update_cpus(row, abi.CountersStruct(packets=(1, 2, 3)))
    values = table.lookup_cpus(row)
    table.update_cpus(row, abi.CountersStruct())

    assert libbpf.possible_cpus() == len(values)
    assert [[1, 2, 3, 0]] * len(values) == [list(one.packets[:4]) for one in values]


def test_pin_and_open(datapath):
    """A pin leads to the same map, also once the first descriptor is closed."""
    path = BPFFS / f"dlp-test-{os.getpid()}-pin"
    libbpf.pin(datapath.tables["admitted"].fd, path)
    try:
        again = Map("admitted", libbpf.open_pin(path), c_uint64, c_uint32)
        again.update(c_uint64(FLOW + 1), c_uint32(9))
        os.close(again.fd)

        assert 9 == datapath.tables["admitted"].lookup(c_uint64(FLOW + 1)).value
        with pytest.raises(KernelError, match=f"pinning {path}: File exists"):
            libbpf.pin(datapath.tables["admitted"].fd, path)
    finally:
        path.unlink()
        datapath.tables["admitted"].delete(c_uint64(FLOW + 1))


def test_missing_pin():
    """The error names the path."""
    path = BPFFS / "dlp-test-nothing"
    with pytest.raises(KernelError, match=f"opening the pin {path}: No such file or directory"):
        libbpf.open_pin(path)


def test_program_that_the_verifier_refuses():
    """Instructions that read an uninitialised register are not loaded."""
    exit_only = bytes.fromhex("9500000000000000")  # r0 was never set
    with pytest.raises(KernelError, match="loading program nothing: Permission denied"):
        libbpf.load_program("nothing", exit_only)


def test_program_of_two_instructions(two):
    """What a program returns is the run's result; the kernel tells its size."""
    run = libbpf.test_run(two, bytes(64), repeat=10)
    info = libbpf.program_info(two)

    assert abi.TC_DROP == run.result
    assert (2, 2) == (info.verified_instructions, info.instructions)


def test_long_names_are_cut():
    """The kernel takes 15 characters of a name; longer ones are no error."""
    code = bytes.fromhex("b700000000000000" + "9500000000000000")
    os.close(libbpf.load_program("a_name_far_longer_than_fifteen", code))


def test_packet_shorter_than_its_header(two):
    """The kernel refuses fewer than 14 bytes: an error, not a verdict."""
    with pytest.raises(KernelError, match="running a program: Invalid argument"):
        libbpf.test_run(two, bytes(13))


def test_statistics(two):
    """Run counts rise while the statistics' descriptor is open."""
    statistics = libbpf.enable_statistics()
    try:
        libbpf.test_run(two, bytes(64), repeat=5)
    finally:
        os.close(statistics)

    assert 5 == libbpf.program_info(two).runs


def test_missing_library(monkeypatch):
    """Without libbpf the error names the package."""
    monkeypatch.setattr(libbpf, "_LIBRARY", "libbpf.so.0.missing")
    libbpf._lib.cache_clear()
    try:
        with pytest.raises(MissingDependency) as raised:
            libbpf.open_pin(BPFFS / "any")
    finally:
        libbpf._lib.cache_clear()

    assert "libbpf.so.0.missing cannot be loaded" == raised.value.message
    assert "apt-get install libbpf1" == raised.value.remedy


def test_ring_buffer_is_readable_when_there_are_records(bench, tmp_path):
    """Its descriptor polls readable after an event and not before or after reading."""
    import select

    image = compiled(tmp_path, ALPHA)
    bench.load(image, policy(image, Action.ALERT))
    ring = bench.rings[0]
    states = [bool(select.select([ring.fileno()], [], [], 0)[0])]
    for number in range(3):
        bench.post(pk.udp(value(ALPHA, number), port=bench.port()))
    states.append(bool(select.select([ring.fileno()], [], [], 0)[0]))
    consumed = ring.consume()
    states.append(bool(select.select([ring.fileno()], [], [], 0)[0]))

    assert [False, True, False] == states
    assert (3, 3, 0) == (consumed, len(bench.events), ring.consume())
    bench.drain()


def test_closed_ring_buffer(datapath):
    """Closing twice is no error."""
    ring = RingBuffer(datapath.tables["events"].fd, lambda _: None)
    ring.close()
    ring.close()


def test_possible_cpus(tmp_path, monkeypatch):
    """The kernel writes ranges, lists, or one number."""
    found = []
    for text in ("0", "0-3", "0,2-5"):
        file = tmp_path / "possible"
        file.write_text(text + "\n")
        monkeypatch.setattr(libbpf, "_POSSIBLE", file)
        libbpf.possible_cpus.cache_clear()
        found.append(libbpf.possible_cpus())
    monkeypatch.undo()
    libbpf.possible_cpus.cache_clear()

    assert [1, 4, 6] == found


def test_array_of_bytes_as_value(datapath):
    """Element types are of the caller's choice, as long as their sizes fit."""
    table = datapath.tables["constants"]
    size = sizeof(abi.ConstantsStruct)
    raw = Map("constants", table.fd, c_uint32, c_uint8 * size).lookup(c_uint32(0))

    assert size == len(bytes(raw))
    assert bytes(table.lookup(c_uint32(0))) == bytes(raw)


def test_many_at_once(admitted):
    """What is written, read and deleted with one call is what single calls see."""
    entries = [(FLOW + number, number * 3) for number in range(10_000)]
    admitted.update_all(entries)
    assert 3 * 77 == admitted.lookup(c_uint64(FLOW + 77)).value
    assert sorted(key for key, _ in entries) == sorted(admitted.all_keys())

    admitted.delete_all([key for key, _ in entries[:9_000]])

    assert {key for key, _ in entries[9_000:]} == set(admitted.all_keys())
    admitted.update_all([])
    admitted.delete_all([])


def test_keys_that_are_structs(datapath):
    """Keys of a struct are copies, which the next reading does not change."""
    windows = datapath.tables["windows"]
    keys = [abi.WindowKeyStruct(FLOW, rule) for rule in range(40)]
    windows.update_all([(key, abi.WindowStruct()) for key in keys])
    found = [key for key in windows.all_keys() if key.netns == FLOW]
    windows.all_keys()
    windows.delete_all(found)

    assert list(range(40)) == sorted(key.rule for key in found)
    assert not [key for key in windows.all_keys() if key.netns == FLOW]


def test_full_table(datapath):
    """A table that has no more room says so, by name."""
    windows = datapath.tables["windows"]
    keys = [abi.WindowKeyStruct(FLOW, rule) for rule in range(4097)]
    try:
        with pytest.raises(KernelError, match="windows: the table is full"):
            windows.update_all([(key, abi.WindowStruct()) for key in keys])
    finally:
        windows.delete_all([key for key in windows.all_keys() if key.netns == FLOW])


def test_memory(datapath):
    """What a map takes; where the kernel counts it, more with more in it."""
    windows = datapath.tables["windows"]
    before = windows.memory()
    keys = [abi.WindowKeyStruct(FLOW, rule) for rule in range(2000)]
    windows.update_all([(key, abi.WindowStruct()) for key in keys])
    after = windows.memory()
    windows.delete_all(keys)

    assert after - before >= 2000 * 1032 or after == before > 2000 * 1032
