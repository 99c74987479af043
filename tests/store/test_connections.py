"""Two connections to one file."""

from __future__ import annotations

import asyncio
import threading

import pytest

from dlp.errors import StoreError
from dlp.store.connections import Connections
from dlp.store.database import Schema

SCHEMA = Schema(application_id=7, journal="wal", migrations=(("CREATE TABLE a (x)",),))


@pytest.fixture
async def opened(tmp_path):
    made = await Connections.open(tmp_path / "x.db", SCHEMA)
    yield made
    await made.close()


async def test_a_reader_does_not_delay_a_writer(opened):
    """While one reads for long, the other writes."""
    release = threading.Event()
    reading = asyncio.ensure_future(opened.read(release.wait, 10))  # noqa: TID251 - one test's own
    async with asyncio.timeout(5):
        await opened.write(opened.writer.execute, "INSERT INTO a VALUES (1)")
    done = reading.done()
    release.set()

    assert (False, True) == (done, await reading)


async def test_the_reader_cannot_write(opened):
    """Whatever a listing holds, it changes nothing."""
    with pytest.raises(StoreError):
        await opened.read(opened.reader.execute, "INSERT INTO a VALUES (1)")


async def test_errors_are_explained(opened):
    """What SQLite raises comes as the project's error, with the file's name."""
    with pytest.raises(StoreError, match=r"x\.db"):
        await opened.write(opened.writer.execute, "INSERT INTO b VALUES (1)")


async def test_closed(tmp_path):
    """After the end nothing is run any more."""
    made = await Connections.open(tmp_path / "x.db", SCHEMA)
    await made.close()

    with pytest.raises(RuntimeError):
        await made.write(lambda: None)
