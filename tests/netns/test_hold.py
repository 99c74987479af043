"""Held flows, end to end: kernel, matcher process and words, with real traffic."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import statistics
import threading
import time
from pathlib import Path

import pytest

from dlp.datapath.abi import DeviceFlag, EventKind, Reason
from dlp.datapath.attach import NamespaceLink
from dlp.enforcement.holding import HoldLane
from dlp.enforcement.loaded import prepare
from dlp.enforcement.verdicts import Release, Translator
from dlp.enforcement.words import Words
from dlp.model import Action
from dlp.workloads import rto
from dlp.workloads.netns import open_netns
from tests.netlab import CARD, DEVICE, SINK4, inside, socket_in, until

pytest_plugins = ["tests.netlab_fixture"]
pytestmark = pytest.mark.netns

KEY = 0xA77B << 16 | 903
SLOT = 903
POLICY = """version: 1
state_dir: {state}
signatures: [secrets, pci]
workloads: {{netns: [web]}}
policies:
  - name: default
    hold_timeout_ms: {timeout}
    rules:
      - {{signatures: ["secrets.jwt.*"], action: hold}}
      - {{signatures: ["pci.*"], action: hold, threshold: {{count: {cards}}}}}
"""
HEAD, BODY = b"eyJhbGciOiJIUzI1NiJ9", b".eyJzdWIiOiJFWEFNUExFIn0"
TOKEN = HEAD + BODY + b".EXAMPLEexample0123456789EXAMPLEexample01234"
SHORTEST = len(HEAD + BODY) + 11  # a match already
_LEAVES = 4  # a trigger takes five bytes
FRONT = HEAD + b"; not a token, "


class Answering:
    """The part of a gateway that answers, in a thread with an event loop of its own."""

    def __init__(self, datapath, loaded, release) -> None:
        self.datapath, self.loaded, self.release = datapath, loaded, release
        self.verdicts, self.events = [], []
        self.mute = False
        self._before = datapath.counters(SLOT)
        self._translator = Translator(lambda _: "web", distinct=datapath.distinct)
        self._translator.add(Release(release, loaded.image, loaded.policies))
        self._words = Words(datapath)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    async def _run(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        self.lane = HoldLane(
            self.loaded, self._words, key=b"hold", release=self.release,
            on_finding=self._on_finding, log=None,
        )  # fmt: skip
        held = self.datapath.on_held(self._on_held)
        events = self.datapath.on_events(self._on_event)
        async with asyncio.TaskGroup() as group:
            await self.lane.start(group)
            for ring in (held, events):
                ring.consume()
                self._loop.add_reader(ring.fileno(), ring.consume)
            self.events.clear()
            beat = group.create_task(self._beat())
            self._ready.set()
            await self._ended.wait()
            beat.cancel()
            for ring in (held, events):
                self._loop.remove_reader(ring.fileno())
            await self.lane.stop()

    async def _beat(self) -> None:
        while True:
            self.datapath.beat()
            await asyncio.sleep(1)

    def _on_held(self, payload) -> None:
        if not self.mute:
            self._translator.saw(payload)
            self.lane.take(payload)

    def _on_event(self, event) -> None:
        self.events.append(event)
        if event.kind is EventKind.HOLD_TIMEOUT:
            self.lane.keeper.timed_out(event.flow)

    def _on_finding(self, finding) -> None:
        keeper = self.lane.keeper
        verdict = self._translator.from_finding(finding, keeper.left(finding.flow))
        if verdict is not None:
            self.verdicts.append(verdict)
            if verdict.action is Action.DROP:
                self._words.block(verdict.flow, finding.signature, None)
                keeper.blocked(verdict.flow)

    def kill_process(self) -> None:
        os.kill(self.lane._matcher.pid, 9)

    def counter(self, reason: Reason) -> int:
        return self.datapath.counters(SLOT)[reason][0] - self._before[reason][0]

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(30)


@pytest.fixture
def holding(lab, live_path, tmp_path):
    """`holding()`: a workload whose tokens and cards are held, with what answers."""
    stack = contextlib.ExitStack()

    def make(timeout_ms: int = 2000, cards: int = 1):
        pair = lab.pair()
        file = tmp_path / "dlp.yaml"
        file.write_text(POLICY.format(state=tmp_path, timeout=timeout_ms, cards=cards))
        loaded = prepare(file)
        live_path.load(
            loaded.image,
            loaded.policies.kernel_policies(time.time()),
            hmac_key=b"hold",
            release=7,
            bindings={(KEY, 0): 1},
        )
        program = live_path.entry(KEY, DeviceFlag.STEALS)
        with open_netns(pair.inner) as handle:
            rto.lower(handle.fd)
            link = NamespaceLink(handle.fd)
        stack.callback(link.close)
        link.attach(next(one for one in link.devices() if one.name == DEVICE), program)
        os.close(program)
        answering = stack.enter_context(Answering(live_path, loaded, 7))
        return pair, answering

    with stack:
        yield make


def text_without_matches(size: int) -> bytes:
    words = [b"lorem", b"ipsum", b"dolor", b"sit", b"amet", b"0123", b"{}", b"\r\n"]
    random_ = random.Random(size)
    return b" ".join(random_.choices(words, k=size // 4))[:size]


def test_a_front_that_is_no_match_arrives_whole(holding):
    """What began like a token and is none arrives, every byte in its place."""
    pair, answering = holding()
    text = b"session=" + FRONT + text_without_matches(3000)
    with pair.connect() as connection:
        connection.sendall(text)
        until(lambda: len(pair.tcp.data) >= len(text))

    until(lambda: answering.lane.counts.cleared)  # counted once the word is given
    assert text == pair.tcp.data
    assert answering.counter(Reason.HELD) > 0
    assert (1, 1, 0) == (
        answering.lane.counts.begun,
        answering.lane.counts.cleared,
        answering.lane.counts.blocked,
    )
    assert [] == answering.verdicts


class Echo:
    """A connection whose other end sends back all it gets."""

    PORT = 9001

    def __init__(self, pair) -> None:
        self._server = socket_in(pair.outer, socket.AF_INET, socket.SOCK_STREAM)
        self._server.bind((SINK4, self.PORT))
        self._server.listen()
        self._thread = threading.Thread(target=self._echo, daemon=True)
        self._thread.start()
        self._client = socket_in(pair.inner, socket.AF_INET, socket.SOCK_STREAM)
        self._client.connect((SINK4, self.PORT))
        self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client.settimeout(30)

    def _echo(self) -> None:
        connection, _ = self._server.accept()
        with connection:
            while data := connection.recv(65536):
                connection.sendall(data)

    def exchange(self, text: bytes) -> float:
        """Send and read it back; how long that took, in milliseconds."""
        began = time.monotonic()
        self._client.sendall(text)
        left = len(text)
        while left:
            left -= len(self._client.recv(left))
        return (time.monotonic() - began) * 1000

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self._client.close()
        self._thread.join(10)
        self._server.close()


def complete(data: bytes) -> bool:
    """Whether a whole match arrived."""
    return TOKEN[:SHORTEST] in data


@pytest.mark.parametrize("cut", [0, 1, 4, 5, 12, 20, 21, 44, SHORTEST - 1, len(TOKEN) - 1])
def test_a_token_does_not_leave(holding, cut):
    """Wherever it is cut in two segments, less than a trigger of it arrives, and is told so."""
    pair, answering = holding()
    first, second = b"auth: " + TOKEN[:cut], TOKEN[cut:] + b"\r\n"
    with pair.connect() as connection:
        connection.sendall(first)
        if cut <= _LEAVES:
            until(lambda: len(pair.tcp.data) == len(first))
        connection.sendall(second)
        until(lambda: answering.verdicts)
        time.sleep(0.3)

    until(lambda: answering.lane.counts.blocked)
    (verdict,) = answering.verdicts
    assert first.startswith(pair.tcp.data)
    assert len(pair.tcp.data) <= 6 + min(cut, _LEAVES)
    assert (Action.DROP, True, 6) == (verdict.action, verdict.enforced, verdict.offset)
    assert max(0, len(pair.tcp.data) - 6) == verdict.sent_before
    assert 1 == answering.lane.counts.blocked


def test_what_the_kernel_found_is_judged_with_its_next_byte(holding):
    """A card number at a segment's end waits: it is none if a digit follows, else it is blocked."""
    pair, answering = holding()
    with inside(pair.inner):
        if rto.FLOOR.path.exists():  # what follows comes before TCP sends again
            rto.FLOOR.path.write_text("300000")
    with pair.connect() as connection:
        connection.sendall(b"id " + CARD)
        connection.sendall(b"1 is no card")
        until(lambda: len(pair.tcp.data) == len(CARD) + 15)
    honest = pair.tcp.data, list(answering.verdicts)
    with pair.connect() as connection:
        connection.sendall(b"no " + CARD)
        until(lambda: answering.verdicts)
        time.sleep(0.3)

    assert (b"id " + CARD + b"1 is no card", []) == honest
    assert honest[0] == pair.tcp.data
    assert ("pci.card.visa", 0, Action.DROP) == (
        answering.verdicts[0].signature,
        answering.verdicts[0].sent_before,
        answering.verdicts[0].action,
    )


def test_values_of_segments_that_were_not_held_count(holding):
    """What the kernel let out below the threshold is counted; the value that reaches it waits."""
    pair, answering = holding(cards=3)
    cards = [b"4111 1111 1111 1111; ", b"5500 0055 5555 5559; ", b"4012 8888 8888 1881; "]
    with pair.connect() as connection:
        for card in cards[:2]:
            connection.sendall(card)
            until(lambda card=card: pair.tcp.data.endswith(card))
        connection.sendall(cards[2])
        until(lambda: answering.verdicts)
        time.sleep(0.3)

    assert b"".join(cards[:2]) == pair.tcp.data
    assert [(Action.DROP, 3)] == [(one.action, one.count) for one in answering.verdicts]


def test_a_token_that_drips(holding):
    """Pauses after each piece, long enough for it to be let out, do not let the token out."""
    pair, answering = holding()
    with pair.connect() as connection:
        for at in range(0, len(TOKEN), 10):
            connection.sendall(TOKEN[at : at + 10])
            if answering.verdicts:
                break
            with contextlib.suppress(AssertionError):
                until(lambda at=at: len(pair.tcp.data) >= at + 10, patience=1.0)
        until(lambda: answering.verdicts)
        time.sleep(0.3)

    assert not complete(pair.tcp.data)
    assert TOKEN.startswith(pair.tcp.data)
    assert len(pair.tcp.data) > len(HEAD)
    assert len(pair.tcp.data) == answering.verdicts[0].sent_before


def test_a_token_in_the_midst_of_megabytes(holding):
    """What stands before it arrives; nothing behind its beginning does."""
    pair, answering = holding()
    before = text_without_matches(2 << 20)
    with pair.connect() as connection:
        connection.settimeout(3.0)
        with contextlib.suppress(TimeoutError):
            connection.sendall(before + TOKEN + b" " + before)
        until(lambda: answering.verdicts)
        time.sleep(0.5)

    assert not complete(pair.tcp.data)
    assert (before + TOKEN).startswith(pair.tcp.data)


def test_megabytes_with_fronts_arrive_in_order(holding):
    """Every byte of a large stream in which holds begin again and again, in its place."""
    pair, answering = holding()
    piece = text_without_matches(300_000)
    text = b"".join(piece + b" " + FRONT for _ in range(10))
    with pair.connect() as connection:
        connection.settimeout(30.0)
        connection.sendall(text)
        until(lambda: len(pair.tcp.data) >= len(text), patience=30.0)

    assert text == pair.tcp.data
    assert [] == answering.verdicts
    assert answering.lane.counts.begun >= 1
    assert 0 == answering.lane.counts.undecided


def timeouts(pair) -> int:
    """Retransmission timeouts of the workload's TCP so far."""
    with inside(pair.inner):
        lines = Path("/proc/thread-self/net/netstat").read_text().splitlines()
    names, values = (line.split() for line in lines if line.startswith("TcpExt:"))
    return int(values[names.index("TCPTimeouts")])


def test_a_hold_is_one_timeout_of_a_stream(holding):
    """What was taken out is sent again at once, also of a connection that was there before."""
    pair, answering = holding()
    half = text_without_matches(4 << 20)
    text = half + b" " + FRONT + half
    spent = []
    for _ in range(3):
        with inside(pair.inner):
            rto.FRTO.path.write_text("2")
        with pair.connect() as connection, open_netns(pair.inner) as handle:
            connection.settimeout(30.0)
            rto.lower(handle.fd)
            before = timeouts(pair)
            connection.sendall(text)
            due = len(text) * (len(spent) + 1)
            until(lambda due=due: sum(map(len, pair.tcp.streams)) >= due, patience=30.0)
            spent.append(timeouts(pair) - before)

    until(lambda: answering.lane.counts.cleared == 3)
    assert 3 * text == pair.tcp.data
    assert 3 == answering.lane.counts.begun == answering.lane.counts.cleared
    assert 1 == min(spent), spent  # where the processors are busy, one may be needless


def test_no_word_in_time(holding):
    """Without an answer the flow is blocked, and the keeper is told."""
    pair, answering = holding(timeout_ms=100)
    answering.mute = True
    with pair.connect() as connection:
        connection.sendall(b"x=" + FRONT)
        until(lambda: answering.counter(Reason.HOLD_TIMEOUT))
        time.sleep(0.3)

    assert b"" == pair.tcp.data
    until(lambda: [one for one in answering.events if one.kind is EventKind.HOLD_TIMEOUT])


@pytest.mark.parametrize("pause", [0.0, 0.02, 0.06])
def test_the_process_is_killed(holding, pause):
    """A token whose halves are read by two processes does not leave; honest text does."""
    pair, answering = holding(timeout_ms=5000)
    with pair.connect() as connection:
        connection.sendall(b"x=" + TOKEN[:40])
        time.sleep(pause)
        answering.kill_process()
        connection.sendall(TOKEN[40:] + b" ")
        until(lambda: answering.verdicts)
        time.sleep(0.3)
    arrived = pair.tcp.data
    with pair.connect() as connection:
        connection.sendall(b"y=" + FRONT)
        answering.kill_process()
        until(lambda: len(pair.tcp.data) >= len(arrived + FRONT) + 2)

    assert not complete(arrived)
    assert arrived + b"y=" + FRONT == pair.tcp.data


def test_a_hold_takes_one_turn_of_the_clock(holding):
    """A clean segment leaves when TCP sends it again, once; what is not held does not wait."""
    pair, answering = holding()
    with Echo(pair) as echo:
        times = [(echo.exchange(b"plain "), echo.exchange(b"x=" + FRONT)) for _ in range(10)]

    until(lambda: answering.lane.counts.cleared == 10)
    assert min(held for _, held in times) > rto.FLOOR.wanted / 1000
    assert statistics.median(plain for plain, _ in times) < rto.FLOOR.wanted / 1000
    assert 10 == answering.lane.counts.begun == answering.lane.counts.cleared
    assert 10 == answering.counter(Reason.RELEASED)
