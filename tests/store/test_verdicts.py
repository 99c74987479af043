"""The verdict store over real files."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlp.errors import StoreError, UsageError
from dlp.model import Action, DecidedBy, Endpoint, Verdict
from dlp.service import VerdictQuery
from dlp.store.rows import SELECT
from dlp.store.verdicts import SCHEMA, VerdictStore

U64 = st.integers(0, 2**64 - 1)
I32 = st.integers(-(2**31), 2**31 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ENDPOINT = st.builds(Endpoint, address=TEXT, port=st.integers(0, 65535))
VERDICT = st.builds(
    Verdict,
    id=st.just(0),
    time=st.floats(allow_nan=False, allow_infinity=False),
    cgroup=U64,
    flow=U64,
    source=ENDPOINT,
    destination=ENDPOINT,
    action=st.sampled_from(Action),
    decided=st.sampled_from(DecidedBy),
    enforced=st.booleans(),
    offset=U64,
    length=U64,
    sent_before=U64,
    rule=I32,
    count=I32,
    release=I32,
    **dict.fromkeys(
        (
            "kind workload protocol signature severity policy masked digest detail".split()  # noqa: SIM905
        ),
        TEXT,
    ),
)


@pytest.fixture
async def store(tmp_path):
    async with await VerdictStore.open(tmp_path / "state" / "verdicts.db") as opened:
        yield opened


class TestAppend:
    """What is acknowledged."""

    @settings(max_examples=60, deadline=None)
    @given(batch=st.lists(VERDICT, max_size=8))
    def test_round_trip(self, batch):
        """Every value comes back as it went in, full 64-bit numbers and NULs included."""

        async def scenario(path):
            async with await VerdictStore.open(path) as store:
                stored = await store.append(batch)
            async with await VerdictStore.open(path) as store:
                return stored, await store.since(0)

        with tempfile.TemporaryDirectory() as directory:
            stored, found = asyncio.run(scenario(Path(directory) / "verdicts.db"))

        assert batch == [dataclasses.replace(verdict, id=0) for verdict in found]
        assert stored == found

    async def test_ids_ascend(self, store, verdict):
        """Ids are given in the order of the batch, and go on in the next."""
        first = await store.append([verdict(), verdict()])
        second = await store.append([verdict()])

        assert [1, 2, 3] == [stored.id for stored in first + second]

    async def test_given_id_is_ignored(self, store, verdict):
        """The store alone gives ids."""
        assert [1] == [stored.id for stored in await store.append([verdict(id=99)])]

    async def test_concurrent_appends(self, store, verdict):
        """Batches of many tasks are stored whole, none lost."""
        await asyncio.gather(*(store.append([verdict(rule=n)] * 3) for n in range(40)))

        rules = [found.rule for found in await store.since(0)]

        assert 120 == len(rules)
        assert all(1 == len(set(rules[at : at + 3])) for at in range(0, 120, 3))

    async def test_all_or_nothing(self, store, verdict):
        """A batch with a row that cannot be stored leaves nothing behind."""
        with pytest.raises(StoreError):
            await store.append([verdict(), verdict(rule=2**70)])

        assert [] == await store.since(0)
        assert 1 == len(await store.append([verdict()]))

    async def test_lone_surrogate(self, store, verdict):
        """A name that UTF-8 cannot hold does not cost the verdict."""
        await store.append([verdict(workload="a\udcff")])

        assert ["a\\udcff"] == [found.workload for found in await store.since(0)]

    async def test_full_disk(self, store, verdict):
        """A full disk is said to be one; what was acknowledged stays; room makes it work again."""
        acknowledged = await store.append([verdict()])
        pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
        store._writer.execute(f"PRAGMA max_page_count = {pages}")

        with pytest.raises(StoreError, match="disk is full"):
            await store.append([verdict(detail="x" * 4000)] * 50)
        assert acknowledged == await store.since(0)

        store._writer.execute("PRAGMA max_page_count = 100000")
        assert 50 == len(await store.append([verdict(detail="x" * 4000)] * 50))

    async def test_readonly_disk(self, store, verdict):
        """A disk that became read-only is said to be one."""
        store._writer.execute("PRAGMA query_only = ON")

        with pytest.raises(StoreError, match="cannot be opened or written"):
            await store.append([verdict()])

    def test_sigkill(self, tmp_path):
        """A writer killed midway has lost nothing of what it acknowledged."""
        path = tmp_path / "verdicts.db"
        writer = textwrap.dedent(
            """
            import asyncio, sys
            from pathlib import Path
            from dlp.store.verdicts import VerdictStore
            from tests.store.conftest import make_verdict

            async def main():
                async with await VerdictStore.open(Path(sys.argv[1])) as store:
                    while True:
                        stored = await store.append([make_verdict()] * 7)
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
                return await store.counts()

        counts = asyncio.run(scenario())
        assert counts.last_id >= acknowledged
        assert counts.total == counts.last_id
        assert 0 == counts.total % 7


class TestQuery:
    """What a listing gives."""

    async def test_newest_first(self, store, verdict):
        """A listing begins with the newest; before_id goes on where it ended."""
        await store.append([verdict() for _ in range(5)])

        first = await store.query(VerdictQuery(limit=2))
        second = await store.query(VerdictQuery(limit=9, before_id=first[-1].id))

        assert [5, 4] == [found.id for found in first]
        assert [3, 2, 1] == [found.id for found in second]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"workload": "web"}, {1, 3}),
            ({"signature": "pci.card.visa"}, {1, 2}),
            ({"signature": "pci.*"}, {1, 2}),
            ({"signature": "*"}, {1, 2, 3}),
            ({"signature": "p%"}, set()),
            ({"action": "drop"}, {1, 2}),
            ({"severity": "low"}, {3}),
            ({"kind": "opaque"}, {3}),
            ({"flow": 2**64 - 1}, {1}),
            ({"since": 20.0}, {2, 3}),
            ({"until": 20.0}, {1, 2}),
            ({"since": 20.0, "until": 20.0}, {2}),
            ({"workload": "web", "action": "alert"}, {3}),
            ({"workload": "x' OR 1=1 --"}, set()),
            ({"limit": -1}, set()),
        ],
    )
    async def test_filters(self, store, verdict, query, expected):
        """Each filter alone and together; a negative limit is not `all`."""
        await store.append(
            [
                verdict(time=10.0),
                verdict(time=20.0, workload="db", flow=1),
                verdict(
                    time=30.0,
                    flow=2,
                    signature="secrets.aws.key",
                    action=Action.ALERT,
                    severity="low",
                    kind="opaque",
                ),
            ]
        )

        found = await store.query(VerdictQuery(**query))

        assert expected == {verdict.id for verdict in found}

    async def test_unknown_action(self, store):
        """A filter by what is no action names the actions."""
        with pytest.raises(UsageError, match="allow, alert, mirror, hold, drop"):
            await store.query(VerdictQuery(action="explode"))

    async def test_limit_cap(self, store, verdict):
        """No listing is longer than 1000."""
        await store.append([verdict()] * 1100)

        assert 1000 == len(await store.query(VerdictQuery(limit=5000)))
        assert list(range(101, 1101)) == [found.id for found in await store.since(100, 9999)]

    async def test_filters_use_an_index(self, store):
        """No filter reads the whole table."""
        for column in ("workload", "signature", "action", "severity", "kind", "flow", "time"):
            plan = store._reader.execute(
                f"EXPLAIN QUERY PLAN {SELECT} WHERE {column} = ? ORDER BY id DESC LIMIT 10",
                ("x",),
            ).fetchall()
            assert f"verdict_{column}" in plan[0][3]

    async def test_counts(self, store, verdict):
        """Counts by action, kind, signature and workload; all zero in an empty store."""
        assert 0 == (await store.counts()).last_id
        await store.append([verdict(), verdict(workload="db", action=Action.ALERT)])

        counts = await store.counts()

        assert (2, 2) == (counts.total, counts.last_id)
        assert {"drop": 1, "alert": 1} == counts.actions
        assert {"web": 1, "db": 1} == counts.workloads


class TestOpen:
    """What is found at the path."""

    async def test_mode(self, tmp_path, verdict):
        """The file and its companions are the owner's alone, loose modes are tightened."""
        path = tmp_path / "verdicts.db"
        async with await VerdictStore.open(path) as store:
            await store.append([verdict()])
            assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
            assert 3 == len(list(tmp_path.iterdir()))
        path.chmod(0o644)
        async with await VerdictStore.open(path):
            assert 0o600 == stat.S_IMODE(path.stat().st_mode)

    async def test_newer_schema(self, tmp_path):
        """A file of a newer release is left as it is."""
        path = tmp_path / "verdicts.db"
        async with await VerdictStore.open(path):
            pass
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA user_version = {SCHEMA.version + 1}")
        connection.close()

        with pytest.raises(StoreError, match="written by a newer release"):
            await VerdictStore.open(path)

    async def test_damaged(self, tmp_path):
        """What is no SQLite file is named, with the remedy."""
        path = tmp_path / "verdicts.db"
        path.write_bytes(b"not a database at all" * 500)

        with pytest.raises(StoreError, match="damaged or no SQLite file"):
            await VerdictStore.open(path)

    async def test_damaged_page(self, tmp_path, verdict):
        """A page overwritten later is reported by the listing that meets it."""
        path = tmp_path / "verdicts.db"
        async with await VerdictStore.open(path) as store:
            await store.append([verdict(detail="x" * 500)] * 200)
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * (path.stat().st_size - 4096))

        async with await VerdictStore.open(path) as store:
            with pytest.raises(StoreError, match="damaged"):
                await store.query(VerdictQuery())

    async def test_foreign_database(self, tmp_path):
        """Another program's database is not touched."""
        path = tmp_path / "verdicts.db"
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE theirs (x)")
        connection.close()

        with pytest.raises(StoreError, match="another program"):
            await VerdictStore.open(path)

    @pytest.mark.parametrize("kind", ["directory", "link", "fifo"])
    async def test_no_regular_file(self, tmp_path, kind):
        """A link, directory or pipe in its place is refused, not followed."""
        path = tmp_path / "verdicts.db"
        match kind:
            case "directory":
                path.mkdir()
            case "link":
                path.symlink_to(tmp_path / "elsewhere")
            case "fifo":
                os.mkfifo(path)

        with pytest.raises(StoreError, match="not a regular file"):
            await VerdictStore.open(path)
        assert not (tmp_path / "elsewhere").exists()

    async def test_no_place(self):
        """A state directory that cannot be made is named."""
        with pytest.raises(StoreError, match="cannot be opened"):
            await VerdictStore.open(Path("/proc/nowhere/verdicts.db"))
