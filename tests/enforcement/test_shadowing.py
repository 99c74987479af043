"""The lane of what only counts: what comes of its payload, and that it is in nobody's way."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import structlog

from dlp.datapath.events import Payload
from dlp.enforcement import shadowing
from dlp.enforcement.loaded import Sets, make
from dlp.enforcement.shadowing import ShadowLane, ShadowWindows
from dlp.enforcement.verdicts import Release, Translator
from dlp.model import Action
from tests.enforcement.test_shadow import CAME, INSPECTED, PAYLOAD, loaded

__all__ = ["loaded"]  # a fixture

VALUE = b"ELSEKEY-ZYXWVUTSRQ98"


class Lane:
    """A lane with all that it told; `ring` is what the kernel has for it."""

    def __init__(self) -> None:
        self.ring: list[Payload] = []
        self.told = []
        self.translator = Translator(lambda _: "web", shadow=True)
        self.lane = ShadowLane(
            self.translator,
            key=b"k" * 32,
            tell=lambda finding, verdict: self.told.append((finding, verdict)),
            log=structlog.get_logger(),
        )

    def read(self) -> int:
        count = len(self.ring)
        for each in self.ring:
            self.lane.take(each)
        self.ring.clear()
        return count

    async def load(self, loaded, release: int) -> None:
        self.translator.add(Release(release, loaded.image, loaded.policies))
        await self.lane.replace(loaded, release)

    def put(self, data: bytes, offset: int = 0, release: int = 1, **fields) -> None:
        self.ring.append(replace(PAYLOAD, data=data, offset=offset, release=release, **fields))

    async def until(self, condition, seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(loaded=None):
    made = Lane()
    if loaded is not None:
        await made.load(loaded, 1)
    async with asyncio.TaskGroup() as group:
        reader = group.create_task(made.lane.run())
        await made.lane.start(group, made.read)
        try:
            yield made
        finally:
            await made.lane.stop()
            reader.cancel()


async def test_found(loaded):
    """A value that came in two pieces is found once, masked, with what would have been done."""
    async with running(loaded(INSPECTED)) as made:
        made.put(b"." * 100 + VALUE[:12], offset=500)
        made.put(VALUE[:12] + VALUE[12:] + b". " + VALUE + b". ", offset=600)
        await made.until(lambda: made.told)
        niceness = os.getpriority(os.PRIO_PROCESS, made.lane._matcher.pid)

    ((finding, verdict),) = made.told
    assert (CAME, 600, len(VALUE)) == (finding.signature, finding.offset, finding.length)
    assert ("own.key.long", "web", Action.DROP) == (
        verdict.signature,
        verdict.workload,
        verdict.action,
    )
    assert VALUE[8:].decode() not in verdict.masked
    assert len(VALUE) == len(verdict.masked)
    assert (0, 0) == made.lane.missed
    assert min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10) == niceness


async def test_without_need(loaded):
    """Without a candidate there is no process and nobody reads; with one there is, as long."""
    without = make(loaded().config, Sets(packs=INSPECTED))
    async with running() as made:
        for number, now in ((1, without), (2, loaded()), (3, loaded(INSPECTED)), (4, without)):
            await made.load(now, number)
            assert (number == 3) is (made.lane._matcher is not None)
            assert (number == 3) is made.lane._needed.is_set()
        made.put(VALUE, release=3)
        made.read()

    assert ([], (0, 0)) == (made.told, made.lane.missed)


async def test_other_candidate(loaded):
    """Pieces of the release before are read by its rules, later ones not at all, and counted."""
    async with running(loaded(INSPECTED)) as made:
        await made.until(lambda: made.lane._matcher is not None)
        made.put(VALUE + b". ")
        await made.load(loaded(INSPECTED), 2)
        await made.until(lambda: made.told)
        made.put(VALUE + b". ", release=1, flow=10)
        made.put(VALUE + b". ", release=2, flow=11)
        await made.until(lambda: len(made.told) == 2)

    assert [9, 11] == [finding.flow for finding, _ in made.told]
    assert (1, len(VALUE) + 2) == made.lane.missed


async def test_where_a_stream_does_not_begin(loaded):
    """The first byte of a tail is context: what seems to begin there began before."""
    async with running(loaded(INSPECTED)) as made:
        made.put(VALUE + b". ", offset=700, flow=1)
        made.put(VALUE + b". ", offset=0, flow=2)
        made.put(b"x " + VALUE + b". ", offset=700, flow=3)
        await made.until(lambda: len(made.told) == 2)
        await asyncio.sleep(0.3)

    assert [2, 3] == [finding.flow for finding, _ in made.told]


async def test_process_ends(loaded):
    """Its end is nobody's trouble: another one takes over, and what was missed is counted."""
    async with running(loaded(INSPECTED)) as made:
        os.kill(made.lane._matcher.pid, 9)
        await made.until(lambda: made.lane._matcher.counts.restarts)
        await made.until(lambda: made.lane._matcher.alive)
        made.put(VALUE + b". ")
        await made.until(lambda: made.told)


async def test_process_that_is_busy(loaded):
    """Other rules do not wait for what it is at: another process takes over with them."""
    async with running(loaded(INSPECTED)) as made:
        before = made.lane._matcher.pid
        os.kill(before, signal.SIGSTOP)
        made.put(VALUE + b". ", flow=10)
        began = time.monotonic()
        await made.load(loaded(INSPECTED), 2)
        assert time.monotonic() - began < 8
        made.put(VALUE + b". ", release=2, flow=11)
        await made.until(lambda: made.told)
        assert before != made.lane._matcher.pid

    assert [11] == [finding.flow for finding, _ in made.told]
    assert (1, len(VALUE) + 2) == made.lane.missed
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)


async def test_process_that_does_not_start(loaded, monkeypatch):
    """Without its process the candidate is loaded all the same; what it would read is missed."""
    monkeypatch.setattr(shadowing, "LIMITS", replace(shadowing.LIMITS, start_s=0.0))
    async with running(loaded(INSPECTED)) as made:
        assert made.lane._matcher is None
        made.put(VALUE + b". ")
        await made.until(lambda: made.lane.missed[0])

    assert ([], (1, len(VALUE) + 2)) == (made.told, made.lane.missed)


def test_windows():
    """Values count once, as long as they are in the window; at most as many as a row has."""
    now = [0.0]
    windows = ShadowWindows(lambda: now[0])
    for at, digest, expected in (
        (0, b"a", 1),
        (5, b"b", 2),
        (6, b"a", 2),
        (11, b"c", 3),
        (15.5, b"c", 2),
    ):
        now[0] = at
        assert expected == windows.note(1, "p", 0, 10, digest)
    assert 1 == windows.note(2, "p", 0, 10, b"a")
    counts = [windows.note(3, "p", 0, 10, b"%d" % n) for n in range(100)]
    assert 64 == max(counts)
