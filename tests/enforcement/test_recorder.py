"""Verdicts on their way to the store and to followers."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from dlp.enforcement import recorder as module
from dlp.enforcement.recorder import VerdictRecorder
from dlp.errors import StoreError
from dlp.store.verdicts import VerdictStore
from tests.store.conftest import make_verdict


class Log:
    """Keeps errors."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def error(self, event: str, **_: object) -> None:
        self.errors.append(event)


@contextlib.asynccontextmanager
async def running(recorder):
    """A recorder at work, whose task is ended."""
    await recorder.prepare()
    task = asyncio.get_running_loop().create_task(recorder.run())
    try:
        yield recorder
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def take(stream, count: int) -> list[int]:
    """Ids of so many items of a stream."""
    async with asyncio.timeout(5):
        return [(await anext(stream)).id for _ in range(count)]


@pytest.fixture
async def store(tmp_path):
    async with await VerdictStore.open(tmp_path / "verdicts.db") as opened:
        yield opened


async def test_order(store):
    """What is added is stored in its order, and `flush` waits for it."""
    async with running(VerdictRecorder(store, Log())) as recorder:
        for number in range(1500):
            recorder.add(make_verdict(rule=number))
        await recorder.flush()

        assert list(range(1000)) == [one.rule for one in await store.since(0)]
        assert 1500 == (await store.counts()).total
        assert 0 == recorder.lost


async def test_follow(store):
    """First what an id names as missed, then what comes; None is from now on."""
    await store.append([make_verdict()] * 3)
    async with (
        running(VerdictRecorder(store, Log())) as recorder,
        recorder.feed.follow(1) as missed,
        recorder.feed.follow(None) as fresh,
    ):
        recorder.add(make_verdict())

        assert [2, 3, 4] == await take(missed, 3)
        assert [4] == await take(fresh, 1)


async def test_full(store, monkeypatch):
    """What finds no room is counted, and delays nobody."""
    monkeypatch.setattr(module, "_QUEUE", 2)
    recorder = VerdictRecorder(store, Log())
    for _ in range(5):
        recorder.add(make_verdict())

    assert 3 == recorder.lost


async def test_store_that_fails(store):
    """A batch that cannot be stored is counted and logged, and the next one is tried."""
    log = Log()
    async with running(VerdictRecorder(store, log)) as recorder:
        append, store.append = store.append, _fails
        recorder.add(make_verdict())
        await recorder.flush()
        store.append = append
        recorder.add(make_verdict())
        await recorder.flush()

    assert (1, ["verdicts not stored"]) == (recorder.lost, log.errors)
    assert 1 == (await store.counts()).total


async def _fails(_):
    raise StoreError("the disk is full")
