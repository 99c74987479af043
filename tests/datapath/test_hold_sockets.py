"""Hold and open ends over real connections: TCP sends again by itself, and all arrives in order."""

import contextlib
import os
import socket
import struct
import threading
import time
from pathlib import Path

import pytest

from dlp.datapath.abi import EventKind, Reason
from dlp.model import Action
from dlp.policy import PolicyFlag
from tests.datapath.egress import (
    STRICT,
    Egress,
    arrives,
    blocked,
    connection,
    cookie,
    settled,
    told,
)
from tests.datapath.holding import FOREVER_NS, MORE, RULES, SUSPECT, text
from tests.kernelpath import ALPHA, BRAVO, LONG, SLOT, compiled, policy, value
from tests.netlab import GUEST, PATIENCE, PORT, SINK4, WORKLOAD4, inside, sh, socket_in, until

pytest_plugins = ["tests.kernelpath_fixture", "tests.datapath.egress_fixture"]
pytestmark = pytest.mark.kernel

FAMILIES = pytest.mark.parametrize("family", [4, 6])
WAITS = STRICT | PolicyFlag.OPEN_END_WAIT | PolicyFlag.HOLD_CLOSED
SECRET = value(ALPHA, 5)
TURNS = 1.0  # seconds: TCP sends again several times, unless it has been silent for long
FLOOR_US, LATE_US = 45_000, 300_000
_RESET = struct.pack("ii", 1, 0)

# How a device takes a segment out: by the guard behind it, by its filter, or not at all.
DEVICES = {
    "guarded": {"guarded": True, "steals": False},
    "steals": {"guarded": False, "steals": True},
    "neither": {"guarded": False, "steals": False},
}


def set_floor(pair, microseconds: int) -> None:
    """How soon TCP sends again at the least, where the kernel lets it be set (6.11)."""
    with inside(pair.inner):
        floor = Path("/proc/sys/net/ipv4/tcp_rto_min_us")
        if floor.exists():
            floor.write_text(str(microseconds))


@pytest.fixture(scope="module")
def pairs(bench, roads):
    """A pair for each kind of device."""
    made = {}
    for name, flags in DEVICES.items():
        pair = roads.pair(name)
        set_floor(pair, FLOOR_US)
        for netns in (pair.inner, pair.outer):
            sh(f"nsenter --net=/run/netns/{netns} sysctl -qw net.ipv4.tcp_autocorking=0")
        Egress(bench, pair, **flags)
        made[name] = pair
    yield made
    bench.datapath.clear_guard(SLOT)


@pytest.fixture(scope="module")
def pair(pairs):
    """The one with a guard, unless a test is about all."""
    return pairs["guarded"]


@pytest.fixture
def unhurried(pairs):
    """TCP sends again late: what a test writes behind an open end comes before that."""
    for pair in pairs.values():
        set_floor(pair, LATE_US)
    yield
    for pair in pairs.values():
        set_floor(pair, FLOOR_US)


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """The signatures that RULES are for."""
    return compiled(tmp_path_factory.mktemp("hold"), ALPHA, LONG, BRAVO)


@pytest.fixture
def under(bench, pairs, three):
    """Load a policy of these settings; the inspector never seems down."""

    def load(flags=WAITS, signatures=three, **settings) -> None:
        rows = policy(signatures, flags=flags, **{"rules": RULES, **settings})
        bench.load(signatures, rows)
        bench.datapath.beat(time.monotonic_ns() + FOREVER_NS)

    load()
    return load


class Inspector(threading.Thread):
    """Keeps all that is given, and says what `answer` makes of each record."""

    def __init__(self, datapath, answer) -> None:
        super().__init__(daemon=True)
        self.records = []
        self._answer, self._ended = answer, threading.Event()
        self._ring = datapath.on_held(self._take)

    def _take(self, record) -> None:
        self.records.append(record)
        self._answer(record)

    def run(self) -> None:
        while not self._ended.is_set():
            self._ring.consume()
            time.sleep(0.001)

    def stop(self) -> None:
        self._ended.set()
        self.join(PATIENCE)
        while self._ring.consume():
            pass


@pytest.fixture
def answering(bench):
    """`answering(answer)`: something reads what is given; by default it says nothing."""
    with contextlib.ExitStack() as stack:

        def start(answer=lambda record: None) -> Inspector:
            made = Inspector(bench.datapath, answer)
            stack.callback(made.stop)
            made.start()
            return made

        yield start


@pytest.fixture
def clearing(bench, answering):
    """All that is given is cleared at once."""
    clear = bench.datapath.clear
    return answering(lambda record: clear(record.flow, record.offset + len(record.data)))


class Counted:
    """Packet counters since it was made."""

    def __init__(self, bench) -> None:
        self._bench, self._before = bench, bench.packets()

    def __getitem__(self, reason: Reason) -> int:
        return self._bench.packets()[reason] - self._before[reason]


@pytest.fixture
def rose(bench, under):
    """Packet counters since the test began."""
    return Counted(bench)


def given(inspector: Inspector, flow: int) -> bytes:
    """What the inspector has of a flow, put together; no record leaves a gap."""
    records = [record for record in inspector.records if record.flow == flow]
    first, stream = records[0].offset, bytearray()
    for record in records:
        at = record.offset - first
        assert at <= len(stream)
        stream[at : at + len(record.data)] = record.data
    return bytes(stream)


# -- hold -------------------------------------------------------------------------------------


@FAMILIES
@pytest.mark.parametrize("device", DEVICES)
def test_cleared_bytes_arrive(bench, under, rose, pairs, clearing, device: str, family: int):
    """Whatever the device, they come in order and once; what took them out is counted."""
    with connection(pairs[device], family) as (sender, stream):
        sender.sendall(b"front ")
        assert settled(sender)
        sender.sendall(SUSPECT)
        sender.sendall(MORE)
        assert arrives(stream, b"front " + SUSPECT + MORE)
        assert settled(sender)
    first = clearing.records[0]

    assert b"front " + SUSPECT == first.data
    assert (0, 6, False) == (first.offset, first.before, first.again)
    assert rose[Reason.HELD]
    assert rose[Reason.RELEASED]
    assert (device == "guarded") == bool(rose[Reason.GUARD_HELD])
    assert not rose[Reason.DROPPED] + rose[Reason.HOLD_TIMEOUT] + rose[Reason.REWRITTEN]
    assert {EventKind.HELD} == {event.kind for event in told(bench)}


@pytest.mark.parametrize("device", DEVICES)
def test_nothing_leaves_without_a_word(bench, under, pairs, answering, device: str):
    """The segment and all of its flow beyond it stay, however much the sender has to say."""
    inspector = answering()
    with connection(pairs[device]) as (sender, stream):
        sender.sendall(b"front ")
        assert settled(sender)
        sender.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sender.send(SUSPECT)
            while True:
                sender.send(text(1000))
        time.sleep(TURNS)
        until(lambda: any(record.again for record in inspector.records))

        assert arrives(stream, b"front ")
        flow = cookie(sender)
    assert b"front " + SUSPECT + text(100) == given(inspector, flow)[: 6 + len(SUSPECT) + 100]
    assert any(record.again for record in inspector.records)
    bench.drain()


@pytest.mark.parametrize("device", DEVICES)
def test_large_writes(bench, under, pairs, clearing, device: str):
    """Long streams with questions all over arrive byte for byte."""
    size = 1 << (15 if GUEST or device == "neither" else 18)
    whole = b""
    while len(whole) < size:
        whole += text(11_000 + len(whole) % 70_000) + b" LONGKEY-" + text(7).hex().encode() + b" "
    with connection(pairs[device]) as (sender, stream):
        threading.Thread(target=lambda: sender.sendall(whole), daemon=True).start()
        until(lambda: len(stream) >= len(whole), patience=60)

        assert whole == stream
    assert len(clearing.records) > 1
    bench.drain()


def test_other_connections_go_on(bench, under, pair, answering):
    """One that waits delays no other."""
    answering()
    with connection(pair) as (waiting, stuck), connection(pair) as (other, stream):
        waiting.sendall(SUSPECT)
        for _ in range(50):
            other.sendall(b"ping")
            assert settled(other, patience=2)

        assert arrives(stream, b"ping" * 50)
        assert b"" == stuck
    bench.drain()


@pytest.mark.parametrize("device", DEVICES)
def test_blocked_on_a_word(bench, under, rose, pairs, answering, device: str):
    """What waited never arrives; the peer learns that the stream has ended."""
    answering(lambda record: bench.datapath.block(record.flow, 1))
    with connection(pairs[device]) as (sender, stream):
        sender.sendall(b"front ")
        assert settled(sender)
        sender.sendall(SUSPECT)
        until(lambda: rose[Reason.INSPECTOR_BLOCKED])
        assert blocked(bench, sender)

        assert arrives(stream, b"front ")
        bench.datapath.forget_word(cookie(sender))
    assert 1 == rose[Reason.INSPECTOR_BLOCKED]
    bench.drain()


@pytest.mark.parametrize("closed", [True, False])
def test_no_word_in_time(bench, under, rose, pair, answering, closed: bool):
    """By policy the connection is blocked, or goes on."""
    under(WAITS if closed else WAITS & ~PolicyFlag.HOLD_CLOSED, hold_timeout_ms=200)
    answering()
    with connection(pair) as (sender, stream):
        sender.sendall(b"front ")
        assert settled(sender)
        sender.sendall(SUSPECT)
        if closed:
            until(lambda: rose[Reason.FLOW_BLOCKED])
            assert blocked(bench, sender)
            assert arrives(stream, b"front ")
        else:
            assert arrives(stream, b"front " + SUSPECT)
            sender.sendall(MORE)
            assert arrives(stream, b"front " + SUSPECT + MORE)
    action = Action.DROP if closed else Action.ALLOW

    assert [(EventKind.HELD, Action.HOLD), (EventKind.HOLD_TIMEOUT, action)] == [
        (event.kind, event.action) for event in told(bench)
    ]


def test_kept(bench, under, pair, answering):
    """While words keep it each further piece of a value is asked about before it leaves."""
    datapath, asked = bench.datapath, []

    def answer(record) -> None:
        end = record.offset + len(record.data)
        asked.append(end)
        datapath.clear(record.flow, end, keep=end < 30)

    answering(answer)
    whole = b"a LONGKEY-" + b"abcdefgh" * 4 + b" and on"
    with connection(pair) as (sender, stream):
        for at in range(0, len(whole), 5):
            sender.sendall(whole[at : at + 5])
            assert settled(sender)

        assert arrives(stream, whole)
    assert {20, 25, 30} <= set(asked)
    assert max(asked) == 30
    bench.drain()


def test_file_changed_while_it_waits(bench, under, rose, pair, answering):
    """A file is sent, held and cleared, and changed before TCP sends it again."""
    data, other = b"say LONGKEY-abcdefgh, all", b"say LONGKEY-ABCDEFGH, all"
    words = {data: bench.datapath.clear, other: lambda flow, to: None}
    file = os.memfd_create("page")
    changed_at = threading.Event()

    def answer(record) -> None:
        if not changed_at.is_set():
            os.pwrite(file, other, 0)
            changed_at.set()
        words[record.data](record.flow, len(data))

    inspector = answering(answer)
    try:
        os.pwrite(file, data, 0)
        with connection(pair) as (sender, stream):
            os.sendfile(sender.fileno(), file, 0, len(data))
            time.sleep(TURNS)
            until(lambda: other in [record.data for record in inspector.records])

            assert b"" == stream
    finally:
        os.close(file)
    assert [data, other] == list(dict.fromkeys(record.data for record in inspector.records))
    assert rose[Reason.REWRITTEN]
    bench.drain()


def test_data_in_the_syn(bench, under, pair, clearing):
    """What goes out with a SYN waits as well, and arrives once it is clear."""
    for netns in (pair.inner, pair.outer):
        sh(f"nsenter --net=/run/netns/{netns} sysctl -qw net.ipv4.tcp_fastopen=1543")
    streams = len(pair.tcp.streams)
    with socket_in(pair.inner, socket.AF_INET, socket.SOCK_STREAM) as sender:
        sender.settimeout(PATIENCE)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        sender.sendto(SUSPECT, socket.MSG_FASTOPEN, (SINK4, PORT))
        until(lambda: len(pair.tcp.streams) > streams)

        assert arrives(pair.tcp.streams[streams], SUSPECT)
    assert clearing.records
    bench.drain()


def test_answers_of_a_server(bench, under, pair, clearing):
    """A connection that was accepted waits like one that was made."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket_in(pair.inner, socket.AF_INET, socket.SOCK_STREAM))
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((WORKLOAD4, 8001))
        server.listen()
        client = stack.enter_context(socket_in(pair.outer, socket.AF_INET, socket.SOCK_STREAM))
        client.settimeout(PATIENCE)
        client.connect((WORKLOAD4, 8001))
        answers, _ = server.accept()
        stack.enter_context(answers)
        answers.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        answers.sendall(SUSPECT + MORE)
        got = client.recv(1000)
        while len(got) < len(SUSPECT + MORE):
            got += client.recv(1000)

        assert SUSPECT + MORE == got
        assert cookie(answers) == clearing.records[0].flow
    bench.drain()


def test_connection_closed_while_it_waits(bench, under, pair, clearing):
    """What a process left behind when it closed its socket arrives, and its end."""
    streams = len(pair.tcp.streams)
    sender = pair.connect()
    until(lambda: len(pair.tcp.streams) > streams)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
    sender.sendall(SUSPECT)
    sender.close()

    assert arrives(pair.tcp.streams[streams], SUSPECT)
    assert clearing.records
    bench.drain()


# -- open ends --------------------------------------------------------------------------------


@FAMILIES
@pytest.mark.parametrize("device", DEVICES)
def test_next_byte_shows_no_match(bench, under, unhurried, rose, pairs, device: str, family: int):
    """All arrives; nothing is told."""
    with connection(pairs[device], family) as (sender, stream):
        sender.sendall(b"say " + SECRET)
        sender.sendall(b"5 and more")

        assert arrives(stream, b"say " + SECRET + b"5 and more")
    assert rose[Reason.WAITED]
    assert [] == told(bench)


@FAMILIES
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("rest", [b" and more", b""])
def test_match_with_the_next_byte_or_none(
    bench, under, rose, pairs, device: str, family: int, rest: bytes
):
    """The value does not arrive, whether something follows or nothing."""
    with connection(pairs[device], family) as (sender, stream):
        sender.sendall(b"front ")
        assert settled(sender)
        sender.sendall(SECRET)
        if rest:
            sender.sendall(rest)
        until(lambda: rose[Reason.FLOW_BLOCKED])
        time.sleep(TURNS / 4)

        assert arrives(stream, b"front ")
    assert rose[Reason.WAITED]
    assert [(EventKind.MATCH, 6, 0)] == [
        (event.kind, event.offset, event.sent_before) for event in told(bench)
    ]


def test_end_of_the_stream(bench, under, rose, pair):
    """A FIN behind it tells no byte: sent again it is judged as the end."""
    with connection(pair) as (sender, stream):
        sender.sendall(SECRET)
        sender.shutdown(socket.SHUT_WR)
        until(lambda: rose[Reason.MATCH_DROPPED])

        assert b"" == stream
    assert 1 == len(told(bench))


@pytest.mark.parametrize("size", [1, 3, 7])
def test_in_small_pieces(bench, under, unhurried, pair, size: int):
    """Each piece may be an end; none is."""
    whole = b"say " + SECRET + b"5, " + value(ALPHA, 6) + b"z, that is all"
    with connection(pair) as (sender, stream):
        for at in range(0, len(whole), size):
            sender.sendall(whole[at : at + size])

        assert arrives(stream, whole)
        assert settled(sender)
    assert [] == told(bench)


def test_longer_value_over_the_seam(bench, under, unhurried, rose, pair, image):
    """The first 16 of 19 digits may leave, as more follow; the rest does not."""
    bench.load(image, policy(image, flags=WAITS))
    bench.datapath.beat(time.monotonic_ns() + FOREVER_NS)
    digits = b"4111111111111111003"
    with connection(pair) as (sender, stream):
        sender.sendall(b"number " + digits[:16])
        sender.sendall(digits[16:] + b".")
        until(lambda: rose[Reason.FLOW_BLOCKED])
        (event,) = told(bench)
        left = event.sent_before

        assert left in (0, 16)  # TCP may join them when it sends again
        assert arrives(stream, b"number " + digits[:16] if left else b"")
    assert (7, 19) == (event.offset, event.length)
    assert "pci.card.visa-19" == image.signatures[event.signature].id


def test_open_end_costs_one_turn(bench, under, unhurried, pair):
    """An end that was none delays by one turn of TCP's clock, not by its patience."""
    with connection(pair) as (sender, stream):
        sender.sendall(b"warm up")
        assert settled(sender)
        began = time.monotonic()
        sender.sendall(SECRET)
        sender.sendall(b"5")
        assert arrives(stream, b"warm up" + SECRET + b"5")
        took = time.monotonic() - began

    assert took < (PATIENCE if GUEST else TURNS)
