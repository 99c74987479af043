"""The incident store over real files."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from dlp.errors import StoreError
from dlp.model import Endpoint, Incident, IncidentKind
from dlp.service import IncidentQuery
from dlp.store import incidents
from dlp.store.database import Schema, connect
from dlp.store.verdicts import SCHEMA, VerdictStore
from tests.store.conftest import make_verdict

HERE = Endpoint(address="10.0.0.2", port=40000)
THERE = Endpoint(address="2001:db8::1", port=443)
VERSION1 = Schema(
    application_id=SCHEMA.application_id, migrations=SCHEMA.migrations[:1], journal="wal"
)


def make(time: float = 1000.0, **changes) -> Incident:
    values = {
        "time": time,
        "last": time,
        "kind": IncidentKind.BYPASS,
        "workload": "web",
        "what": "no_token",
        "protocol": "tcp",
        "source": HERE,
        "destination": THERE,
        "detail": "A packet came past the classifier.",
    }
    return Incident(**(values | changes))


@pytest.fixture
async def opened(tmp_path):
    async with await VerdictStore.open(tmp_path / "verdicts.db") as made:
        yield made


@pytest.fixture
async def store(opened):
    return opened.incidents


async def test_round_trip(store):
    """What is stored comes back as it was, with its id; ends may be missing."""
    first = make()
    second = make(kind=IncidentKind.TAMPER, what="filter_removed", source=None, destination=None)

    assert [1, 2] == [one.id for one in await store.record([first, second])]
    found = await store.query(IncidentQuery())
    assert [second, first] == [
        Incident(**{name: getattr(one, name) for name in Incident.__slots__ if name != "id"})
        for one in found
    ]


async def test_repeated(store):
    """What repeats within ten seconds of the last becomes one row that counts."""
    for time in (1000.0, 1009.0, 1018.5):
        await store.record([make(time)])
    await store.record([make(1028.6, source=None)])

    later, first = await store.query(IncidentQuery())
    assert (1000.0, 1018.5, 3, HERE) == (first.time, first.last, first.count, first.source)
    assert (1028.6, 1) == (later.time, later.count)


async def test_repeated_within_a_batch(store):
    """A batch is joined as several batches are, and counts are added."""
    stored = await store.record([make(1000.0, count=5), make(1001.0, count=2), make(1000.5)])

    assert [(1, 5), (1, 7), (1, 8)] == [(one.id, one.count) for one in stored]
    assert 1 == len(await store.query(IncidentQuery()))


async def test_out_of_order(store):
    """An earlier occurrence that is told later moves the beginning, not the end."""
    await store.record([make(1005.0)])
    await store.record([make(1000.0)])

    (found,) = await store.query(IncidentQuery())
    assert (1000.0, 1005.0, 2) == (found.time, found.last, found.count)


@pytest.mark.parametrize(
    "other",
    [
        {"kind": IncidentKind.OVERLOAD},
        {"workload": "db"},
        {"what": "unowned"},
        {"device": "eth1"},
        {"protocol": "udp"},
    ],
)
async def test_not_repeated(store, other):
    """Kind, workload, cause, device and way around: whatever differs is another row."""
    await store.record([make(), make(**other)])

    assert 2 == len(await store.query(IncidentQuery()))


async def test_protocol_counts_for_bypass_only(store):
    """Two limits met are one, whichever protocol met them first."""
    kinds = {"kind": IncidentKind.OVER_BUDGET, "what": "over_budget"}
    await store.record([make(**kinds), make(**kinds, protocol="udp")])

    (found,) = await store.query(IncidentQuery())
    assert ("tcp", 2) == (found.protocol, found.count)


async def test_joined_across_a_restart(tmp_path):
    """A process that was started anew goes on with the row of the one before."""
    path = tmp_path / "verdicts.db"
    for time in (1000.0, 1005.0):
        async with await VerdictStore.open(path) as opened:
            (stored,) = await opened.incidents.record([make(time)])

    assert (1, 2) == (stored.id, stored.count)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [3, 2, 1]),
        ({"workload": "web"}, [3, 1]),
        ({"workload": "x' OR 1=1 --"}, []),
        ({"kind": IncidentKind.TAMPER}, [3]),
        ({"since": 1500.0}, [3, 2]),
        ({"until": 1500.0}, [2, 1]),
        ({"before_id": 3}, [2, 1]),
        ({"before_id": 3, "limit": 1}, [2]),
        ({"limit": -1}, []),
    ],
)
async def test_filters(store, query, expected):
    """Each filter alone; one that goes on after `since` is there though it began before."""
    await store.record(
        [
            make(1000.0),
            make(1000.0, last=2000.0, workload="db"),
            make(3000.0, kind=IncidentKind.TAMPER),
        ]
    )

    assert expected == [one.id for one in await store.query(IncidentQuery(**query))]


async def test_since(store):
    """A reader goes on behind the id it knows, oldest first."""
    await store.record([make(1000.0 + 100 * number) for number in range(5)])

    assert [3, 4, 5] == [one.id for one in await store.since(2)]
    assert [3] == [one.id for one in await store.since(2, 1)]
    assert 5 == await store.last_id()


async def test_empty(store):
    """Nothing is stored, nothing is found."""

    assert [] == await store.record([])
    assert (0, []) == (await store.last_id(), await store.query(IncidentQuery()))


async def test_bounded(store, monkeypatch):
    """A flood pushes out its own oldest rows, and leaves those of others alone."""
    monkeypatch.setattr(incidents, "ROWS", 50)
    monkeypatch.setattr(incidents, "_ROOM", 5)
    await store.record([make(1.0, kind=IncidentKind.TAMPER), make(1.0, workload="db")])
    for start in range(0, 300, 30):
        await store.record([make(100.0 * number) for number in range(start, start + 30)])

    found = await store.query(IncidentQuery(limit=1000))
    assert len(found) <= 50
    assert [1, 2] == [one.id for one in found][:-3:-1]
    flood = [one.time for one in found if (one.kind, one.workload) == ("bypass", "web")]
    assert flood == sorted(flood, reverse=True)
    assert 100.0 * 299 == flood[0]


async def test_all_or_nothing(store):
    """A batch with a row that cannot be stored leaves nothing behind."""
    with pytest.raises(StoreError):
        await store.record([make(), make(1100.0, count=2**70)])

    assert [] == await store.query(IncidentQuery())


async def test_lone_surrogate(store):
    """A name that UTF-8 cannot hold does not cost the incident, and is joined all the same."""
    await store.record([make(workload="a\udcff"), make(workload="a\udcff")])

    assert [("a\\udcff", 2)] == [(x.workload, x.count) for x in await store.query(IncidentQuery())]


async def test_unknown_kind(store, opened):
    """A kind of a later release is an error, not a guess."""
    await store.record([make()])
    opened._writer.execute("UPDATE incident SET kind = 'levitation'")

    with pytest.raises(StoreError, match="does not know"):
        await store.query(IncidentQuery())


async def test_migration(tmp_path):
    """A database of the version before keeps its verdicts and takes incidents."""
    path = tmp_path / "verdicts.db"
    connect(path, VERSION1).close()
    with sqlite3.connect(path) as old:
        tables = {row[0] for row in old.execute("SELECT name FROM sqlite_schema")}
    old.close()
    assert "incident" not in tables
    async with await VerdictStore.open(path) as opened:
        await opened.append([make_verdict()])
        await opened.incidents.record([make()])
    async with await VerdictStore.open(path) as opened:
        assert 1 == (await opened.counts()).total
        assert 1 == len(await opened.incidents.query(IncidentQuery()))


async def test_verdicts_of_the_version_before(tmp_path):
    """The migration leaves rows of verdicts as they were."""
    path = tmp_path / "verdicts.db"
    connect(path, VERSION1).close()
    async with await VerdictStore.open(path) as opened:
        await opened.append([make_verdict()])
        before = await opened.since(0)
    with sqlite3.connect(path) as old:  # back to the version before, with its row
        for table in ("incident", "signature_release", "release_step"):
            old.execute(f"DROP TABLE {table}")
        old.execute("PRAGMA user_version = 1")
    old.close()
    async with await VerdictStore.open(path) as opened:
        assert before == await opened.since(0)


def test_sigkill(tmp_path):
    """A writer killed midway has lost nothing of what it acknowledged."""
    path = tmp_path / "verdicts.db"
    writer = textwrap.dedent(
        """
        import asyncio, sys
        from pathlib import Path
        from dlp.store.verdicts import VerdictStore
        from tests.store.test_incidents import make

        async def main():
            async with await VerdictStore.open(Path(sys.argv[1])) as store:
                for number in range(1_000_000):
                    batch = [make(100.0 * number), make(100.0 * number)]
                    stored = await store.incidents.record(batch)
                    print(stored[-1].id, flush=True)

        asyncio.run(main())
        """
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", writer, str(path)],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        first = [process.stdout.readline() for _ in range(30)]
        process.send_signal(signal.SIGKILL)
        rest = [line for line in process.stdout if line.endswith("\n")]
    acknowledged = int((first + rest)[-1])

    async def scenario():
        async with await VerdictStore.open(path) as store:
            return await store.incidents.since(0)

    found = asyncio.run(scenario())
    assert len(found) >= acknowledged
    assert {2} == {one.count for one in found}
