"""Incidents on their way to the store."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dlp.enforcement import incidents as module
from dlp.enforcement import losses, verdicts
from dlp.enforcement.incidents import IncidentRecorder
from dlp.errors import StoreError
from dlp.model import IncidentKind
from dlp.service import IncidentQuery
from dlp.store import incidents as store_module
from dlp.store.verdicts import VerdictStore
from tests.enforcement.test_recorder import Log, running, take
from tests.store.test_incidents import make

DOCS = (Path(__file__).parents[2] / "docs" / "incidents.md").read_text()


@pytest.fixture
async def store(tmp_path):
    async with await VerdictStore.open(tmp_path / "verdicts.db") as opened:
        yield opened.incidents


async def stored(store):
    return await store.query(IncidentQuery(limit=1000))


async def test_joined_in_memory(store, monkeypatch):
    """A flood reaches the disk as one row, in one transaction."""
    batches = []
    record = store.record

    async def spy(batch):
        batches.append(len(batch))
        return await record(batch)

    monkeypatch.setattr(store, "record", spy)
    async with running(IncidentRecorder(store, Log())) as recorder:
        for number in range(10_000):
            recorder.add(make(1000.0 + number / 1000))
        await recorder.flush()

    (found,) = await stored(store)
    assert (10_000, 1000.0, 1009.999) == (found.count, found.time, found.last)
    assert [1] == batches
    assert 10_000 == recorder.counts[IncidentKind.BYPASS]


async def test_apart_in_time(store):
    """What waited for a reader for long is not joined across a pause."""
    async with running(IncidentRecorder(store, Log())) as recorder:
        recorder.add(make(1000.0))
        recorder.add(make(1020.0))
        await recorder.flush()

    assert [1020.0, 1000.0] == [one.time for one in await stored(store)]


async def test_follow(store):
    """Followers get each incident once, as it begins; what only counts on is no news."""
    async with (
        running(IncidentRecorder(store, Log())) as recorder,
        recorder.feed.follow(None) as stream,
    ):
        recorder.add(make(1000.0))
        assert [1] == await take(stream, 1)
        recorder.add(make(1001.0))
        recorder.add(make(2000.0))

        assert [2] == await take(stream, 1)
    assert [1, 2] == [one.count for one in await stored(store)]


async def test_protocols_are_bounded(store):
    """Whoever forges packets chooses their protocol; only so many make a row each."""
    async with running(IncidentRecorder(store, Log())) as recorder:
        for number in range(1000):
            recorder.add(make(1000.0, protocol=f"ether-{number:#06x}"))
        await recorder.flush()

    found = await stored(store)
    assert module._PROTOCOLS + 1 == len(found)
    assert {"other": 1000 - module._PROTOCOLS} == {
        one.protocol: one.count for one in found if one.count > 1
    }


async def test_memory_is_bounded(store, monkeypatch):
    """Past the bound occurrences are counted as lost; memory does not grow."""
    monkeypatch.setattr(module, "_WAITING", 4)
    recorder = IncidentRecorder(store, Log())
    for number in range(10):
        recorder.add(make(kind=IncidentKind.TAMPER, device=f"veth{number}"))

    assert 6 == recorder.lost
    assert 4 == len(recorder._waiting)
    assert 10 == recorder.counts[IncidentKind.TAMPER]


async def test_store_that_fails(store):
    """What cannot be stored is counted and logged; `flush` does not wait for ever."""
    log = Log()

    async def fails(_):
        raise StoreError("the disk is full")

    store.record = fails
    async with running(IncidentRecorder(store, log)) as recorder:
        recorder.add(make(count=7))
        await recorder.flush()

    assert (7, ["incidents not stored"]) == (recorder.lost, log.errors)


async def test_flush_with_nothing(store):
    """There is nothing to wait for."""
    async with running(IncidentRecorder(store, Log())) as recorder:
        await recorder.flush()


# -- the documentation ------------------------------------------------------------------------


def cells(heading: str, column: int = 0) -> set[str]:
    """Names in backticks in a column of the table below a heading of docs/incidents.md."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", DOCS, re.DOTALL | re.MULTILINE)[1]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row[column])}


def test_every_kind_is_told():
    """Each kind is explained, and no other."""

    assert set(IncidentKind) == cells("Kinds")


def test_causes_are_told():
    """What kernel events and counters become is explained under the name that it has."""
    reasons = {reason.label for reason in (*verdicts._WAYS_AROUND, *losses._OVERLOADS)}

    assert reasons | {"no_token", "operator", "escalated", "released"} <= cells("Causes")


def test_bounds_are_told():
    """The figures of the text are those of the code."""

    assert f"{store_module.ROWS:,} rows are kept" in DOCS
    assert (10.0, 8) == (store_module.JOIN_S, module._PROTOCOLS)
    assert "ten seconds" in DOCS
