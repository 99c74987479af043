"""TCP of real sockets: state that lives with the socket, and what has no socket told apart."""

import contextlib
import os
import socket
import struct
import time

import pytest

from dlp.datapath.abi import EventFlag, EventKind, FlowFlag, FlowState, Reason
from dlp.model import Action
from dlp.policy import PolicyFlag
from tests import packets as pk
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
from tests.kernelpath import ALPHA, NETNS, policy, value
from tests.netlab import DEVICE, PATIENCE, PORT, SINK4, WORKLOAD4, sh, socket_in, until

pytest_plugins = ["tests.kernelpath_fixture", "tests.datapath.egress_fixture"]
pytestmark = pytest.mark.kernel

SECRET = value(ALPHA, 5)
FAMILIES = pytest.mark.parametrize("family", [4, 6])
_HOPS6 = socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS
_RESET = struct.pack("ii", 1, 0)
_FASTOPEN_SYSCTL = "net.ipv4.tcp_fastopen=1543"  # both sides, no cookie, all listeners


@pytest.fixture(autouse=True)
def _strict(strict):
    """Each test begins under the strict policy."""


# -- values, cut ------------------------------------------------------------------------------


@FAMILIES
def test_harmless_stream(bench, pair, family: int):
    """It arrives whole, nothing is told, and the flow was known from its start."""
    before = bench.packets()
    with connection(pair, family) as (sender, stream):
        for at in range(200):
            sender.sendall(b"%06d," % at)
        assert settled(sender)
        until(lambda: len(stream) == 1400)
    after = bench.packets()

    assert b"".join(b"%06d," % at for at in range(200)) == stream
    assert [] == told(bench)
    for reason in (Reason.MIDSTREAM, Reason.UNOWNED, Reason.GAP, Reason.REWRITTEN):
        assert before[reason] == after[reason]


@FAMILIES
@pytest.mark.parametrize("cut", range(1, len(SECRET)))
def test_value_cut_anywhere(bench, pair, family: int, cut: int):
    """The segment that completes the value does not leave, and the flow is blocked."""
    with connection(pair, family) as (sender, stream):
        sender.sendall(b"say " + SECRET[:cut])
        assert settled(sender)
        sender.sendall(SECRET[cut:] + b" please")
        assert blocked(bench, sender)
        number = cookie(sender)
    (event,) = {
        each.signature: each for each in told(bench) if each.kind is EventKind.MATCH
    }.values()

    assert arrives(stream, b"say " + SECRET[:cut])
    assert (EventKind.MATCH, Action.DROP, 4, cut) == (
        event.kind,
        event.action,
        event.offset,
        event.sent_before,
    )
    assert EventFlag.OWNED in event.flags
    assert EventFlag.MIDSTREAM not in event.flags
    assert number == event.flow


@FAMILIES
def test_value_byte_by_byte(bench, pair, family: int):
    """The last byte of the value stays behind."""
    with connection(pair, family) as (sender, stream):
        for at in range(len(SECRET)):
            sender.sendall(SECRET[at : at + 1])
            if at < len(SECRET) - 1:
                assert settled(sender)
        assert blocked(bench, sender)
    (event,) = {
        each.signature: each for each in told(bench) if each.kind is EventKind.MATCH
    }.values()

    assert arrives(stream, SECRET[:-1])
    assert len(SECRET) - 1 == event.sent_before


def test_sent_again_and_again(bench, pair):
    """TCP sends the dropped segment again by itself: as often, it is dropped."""
    with connection(pair) as (sender, stream):
        sender.sendall(SECRET[:9])
        assert settled(sender)
        sender.sendall(SECRET[9:])
        assert not settled(sender, patience=1.2)

    assert arrives(stream, SECRET[:9])


@FAMILIES
def test_fewer_hops(bench, pair, family: int):
    """A segment that is made to be lost on its way does not leave; with all its hops it does.

    What has as many hops as the flow had so far, or more, was never in question.
    """
    level, option = (socket.IPPROTO_IP, socket.IP_TTL) if family == 4 else _HOPS6
    with connection(pair, family) as (sender, stream):
        for hops, text in ((64, b"first, "), (80, b"more, ")):
            sender.setsockopt(level, option, hops)
            sender.sendall(text)
            assert settled(sender)
        before = bench.packets()
        sender.setsockopt(level, option, 3)
        sender.sendall(b"few")
        until(lambda: bench.packets()[Reason.HOP_LIMIT] > before[Reason.HOP_LIMIT])
        until(lambda: len(stream) >= len(b"first, more, "))
        early = bytes(stream)
        sender.setsockopt(level, option, 80)
        assert settled(sender)

        assert b"first, more, " == early
        assert arrives(stream, b"first, more, few")


def test_fewer_hops_where_raw_tcp_may(bench, alpha, pair):
    """Under `unowned: scan` it leaves, counted."""
    bench.load(alpha, policy(alpha, flags=STRICT & ~PolicyFlag.UNOWNED_DROP))
    with connection(pair) as (sender, stream):
        sender.sendall(b"first, ")
        assert settled(sender)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 3)
        sender.sendall(b"few")

        assert arrives(stream, b"first, few")


def test_large_writes(bench, pair):
    """Megabytes pass; a value in the midst of them does not."""
    text = b"".join(b"%07d\n" % at for at in range(1 << 17))
    with connection(pair) as (sender, stream):
        sender.sendall(text)
        until(lambda: len(stream) == len(text))
        assert arrives(stream, text)
        before = bench.packets()[Reason.MATCH_DROPPED]
        left = memoryview(text[: 1 << 19] + SECRET + b"\n" + text)
        sender.setblocking(False)

        def stopped() -> bool:
            nonlocal left
            with contextlib.suppress(BlockingIOError):
                left = left[sender.send(left) :]
            return bench.packets()[Reason.MATCH_DROPPED] > before

        until(stopped)
        time.sleep(0.2)
    (event,) = {
        each.signature: each for each in told(bench) if each.kind is EventKind.MATCH
    }.values()

    assert len(text) + (1 << 19) == event.offset
    assert SECRET not in stream
    assert len(stream) <= event.offset + event.sent_before


def test_closed_at_once(bench, pair):
    """A socket that is closed with its data unsent is its owner still."""
    streams = len(pair.tcp.streams)
    sender = pair.connect()
    until(lambda: len(pair.tcp.streams) > streams)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
    before = bench.packets()
    sender.sendall(b"x" * 100_000)
    sender.close()
    until(lambda: len(pair.tcp.streams[streams]) == 100_000)

    assert before[Reason.UNOWNED] == bench.packets()[Reason.UNOWNED]


# -- the block --------------------------------------------------------------------------------


def test_peer_learns_of_the_end(bench, pair):
    """FIN and RST of a blocked flow leave, so that the peer does not wait for ever."""
    before = bench.packets()[Reason.CONTROL]
    with connection(pair) as (sender, _):
        sender.sendall(SECRET + b" ")
        assert blocked(bench, sender)
    until(lambda: bench.packets()[Reason.CONTROL] > before)


def flood(bench, flows: int) -> None:
    """Datagrams of so many flows, by test run."""
    head = bytearray(bytes(pk.udp(b"flood", port=1)))
    for number in range(flows):
        head[26:30] = (0x0A800000 + number).to_bytes(4, "big")  # the source's address
        bench.post(bytes(head))


@pytest.mark.parametrize("half", ["blocked", "cut"])
def test_nothing_is_forgotten_in_a_flood(bench, pair, half: str):
    """However many others there are, a block stays, and a first half is remembered."""
    with connection(pair) as (sender, stream):
        began = time.monotonic()
        sender.sendall(SECRET[:9] if half == "cut" else SECRET + b" ")
        if half == "cut":
            assert settled(sender)
        for key in list(bench.datapath.tables["flows"].keys()):
            bench.datapath.tables["flows"].delete(key)
        if not os.environ.get("DLP_GUEST"):
            flood(bench, 150_000)
        if half == "cut":
            sender.sendall(SECRET[9:] + b" ")
        assert blocked(bench, sender, patience=PATIENCE + time.monotonic() - began)
        assert arrives(stream, SECRET[:9] if half == "cut" else b"")
    bench.drain()


def test_a_new_connection_is_judged_anew(bench, pair):
    """The same ports after a block: another socket, another flow, another verdict."""
    outcomes = []
    for text in (SECRET + b" ", b"harmless", SECRET + b" "):
        with socket_in(pair.inner, socket.AF_INET, socket.SOCK_STREAM) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            sender.bind((WORKLOAD4, 45_678))
            sender.settimeout(10)
            sender.connect((SINK4, PORT))
            sender.sendall(text)
            harmless = SECRET not in text
            outcomes.append(settled(sender, patience=PATIENCE if harmless else 0.5))
    events = told(bench)

    assert [False, True, False] == outcomes
    assert 2 == len({event.flow for event in events}) == len(events)


def test_half_of_a_value_in_each_of_two(bench, pair):
    """What an earlier socket of the same ports sent is no context of the next one's."""
    fates = []
    for text in (SECRET[:9], SECRET[9:] + b" "):
        with socket_in(pair.inner, socket.AF_INET, socket.SOCK_STREAM) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            sender.bind((WORKLOAD4, 45_679))
            sender.settimeout(10)
            sender.connect((SINK4, PORT))
            sender.sendall(text)
            fates.append(settled(sender))

    assert [True, True] == fates
    assert [] == told(bench)


# -- beginnings -------------------------------------------------------------------------------


@FAMILIES
def test_accepted_connections(bench, pair, family: int):
    """A server's answers are known from their start, though a request answered the SYN."""
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    ours = WORKLOAD4 if family == 4 else "fd00:2::1"
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket_in(pair.inner, kind, socket.SOCK_STREAM))
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((ours, 8000))
        server.listen()
        client = stack.enter_context(socket_in(pair.outer, kind, socket.SOCK_STREAM))
        client.settimeout(10)
        client.connect((ours, 8000))
        answers, _ = server.accept()
        stack.enter_context(answers)
        answers.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)  # or it goes on for ever
        answers.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        before = bench.packets()
        answers.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + SECRET[:9])
        assert settled(answers)
        answers.sendall(SECRET[9:] + b" ")
        assert blocked(bench, answers)
        after = bench.packets()
        got = client.recv(1000)
    (event,) = {
        each.signature: each for each in told(bench) if each.kind is EventKind.MATCH
    }.values()

    assert before[Reason.MIDSTREAM] == after[Reason.MIDSTREAM]
    assert (19, 9) == (event.offset, event.sent_before)
    assert EventFlag.MIDSTREAM not in event.flags
    assert got.endswith(SECRET[:9])


def test_connection_older_than_the_classifier(bench, alpha, roads):
    """What was sent before the attach is not known: such a flow is told as begun midstream."""
    other = roads.pair("late")
    with connection(other) as (sender, stream):
        sender.sendall(b"long before ")
        assert settled(sender)
        Egress(bench, other)
        before = bench.packets()[Reason.MIDSTREAM]
        sender.sendall(b"say " + SECRET[:9])
        assert settled(sender)
        sender.sendall(SECRET[9:] + b" ")
        assert blocked(bench, sender)
        assert 1 == bench.packets()[Reason.MIDSTREAM] - before
        assert arrives(stream, b"long before say " + SECRET[:9])
    (event,) = {
        each.signature: each for each in told(bench) if each.kind is EventKind.MATCH
    }.values()

    assert EventFlag.MIDSTREAM in event.flags
    assert 9 == event.sent_before


def test_connection_that_has_sent_nothing_yet(bench, alpha, roads):
    """A connection that was made before the attach and sends after it misses nothing."""
    other = roads.pair("silent")
    with connection(other) as (sender, _):
        Egress(bench, other)
        before = bench.packets()[Reason.MIDSTREAM]
        sender.sendall(SECRET[:9])
        assert settled(sender)
        sender.sendall(SECRET[9:] + b" ")
        assert blocked(bench, sender)
        assert before == bench.packets()[Reason.MIDSTREAM]
    (event,) = {
        each.signature: each for each in told(bench) if each.kind is EventKind.MATCH
    }.values()

    assert EventFlag.MIDSTREAM not in event.flags


@pytest.mark.parametrize("cut", [0, 9])
def test_data_in_the_syn(bench, pair, cut: int):
    """TCP Fast Open: what goes out with the SYN is the stream's beginning."""
    for netns in (pair.inner, pair.outer):
        sh(f"nsenter --net=/run/netns/{netns} sysctl -qw {_FASTOPEN_SYSCTL}")
    streams = len(pair.tcp.streams)
    with socket_in(pair.inner, socket.AF_INET, socket.SOCK_STREAM) as sender:
        sender.settimeout(PATIENCE)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        first = SECRET[:cut] if cut else SECRET + b" "
        before = bench.packets()[Reason.MATCH_DROPPED]
        with contextlib.suppress(OSError):
            sender.sendto(first, socket.MSG_FASTOPEN, (SINK4, PORT))
        if cut:
            until(lambda: len(pair.tcp.streams) > streams)
            assert settled(sender)
            sender.sendall(SECRET[cut:] + b" ")
        until(lambda: bench.packets()[Reason.MATCH_DROPPED] > before)
    (event,) = {
        each.signature: each for each in told(bench) if each.kind is EventKind.MATCH
    }.values()

    assert (0, cut) == (event.offset, event.sent_before)
    assert not any(SECRET in stream for stream in pair.tcp.streams[streams:])


# -- readers ----------------------------------------------------------------------------------


def test_readers_see_a_copy(bench, pair):
    """The table of flows shows an owned flow under its cookie, at most a moment old."""
    with connection(pair) as (sender, _):
        sender.sendall(b"x" * 100)
        assert settled(sender)
        time.sleep(0.3)
        sender.sendall(b"y" * 50)
        assert settled(sender)
        port, number = sender.getsockname()[1], cookie(sender)
        ((key, flow),) = (
            (key, flow)
            for key, flow in bench.datapath.flows(1 << 17)
            if (key.netns, key.source_port, key.protocol) == (NETNS, port, 6)
        )

    assert number == flow.id
    assert FlowFlag.OWNED | FlowFlag.INIT == flow.flags & (FlowFlag.OWNED | FlowFlag.INIT)
    assert (150, 150, 0) == (flow.offset, flow.inspected, flow.missed)
    assert FlowState.OPEN == flow.state
    assert PORT == key.destination_port


def test_a_block_is_seen_at_once(bench, pair):
    """Readers need not wait for a blocked flow to be listed."""
    with connection(pair) as (sender, _):
        sender.sendall(SECRET + b" ")
        number = cookie(sender)
        until(lambda: bench.packets()[Reason.MATCH_DROPPED])
        states = [flow.state for _, flow in bench.datapath.flows(1 << 17) if flow.id == number]

    assert [FlowState.BLOCKED] == states


def test_the_inspectors_word(bench, alpha, pair):
    """A word by the cookie that events and payload carry blocks a mirrored flow."""
    bench.load(alpha, policy(alpha, Action.MIRROR, flags=STRICT))
    with connection(pair) as (sender, stream):
        sender.sendall(SECRET + b" ")
        assert settled(sender)
        bench.read()
        (payload,) = bench.payloads
        assert cookie(sender) == payload.flow
        bench.datapath.block(payload.flow, 0)
        assert blocked(bench, sender)
        assert arrives(stream, SECRET + b" ")
    bench.datapath.forget_word(payload.flow)
    bench.drain()


def test_socket_that_is_gone(bench, pair):
    """A SYN that has waited for its next hop for longer than its socket lived is no fault.

    It leaves as one that no socket owns: a socket that is gone takes no storage.
    """
    nobody = SINK4.rpartition(".")[0] + ".77"
    before = bench.packets()
    with socket_in(pair.inner, socket.AF_INET, socket.SOCK_STREAM) as made:
        made.setblocking(False)
        made.connect_ex((nobody, PORT))
    sh(f"ip -n {pair.inner} neigh replace {nobody} lladdr 02:00:00:00:00:77 dev {DEVICE}")
    until(lambda: bench.packets()[Reason.NO_PAYLOAD] > before[Reason.NO_PAYLOAD])
    until(lambda: bench.packets()[Reason.PASSED] > before[Reason.PASSED] + 1)
    after = bench.packets()

    assert before[Reason.MAP_FAILED] == after[Reason.MAP_FAILED]
    assert before[Reason.NO_PAYLOAD] + 1 == after[Reason.NO_PAYLOAD]
