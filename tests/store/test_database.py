"""Schema versions and their migrations."""

from __future__ import annotations

import sqlite3

import pytest

from dlp.errors import StoreError
from dlp.store.database import Schema, connect, deadline, explained, transaction

FIRST = Schema(application_id=7, journal="delete", migrations=(("CREATE TABLE a (x)",),))
SECOND = Schema(
    application_id=7,
    journal="delete",
    migrations=(*FIRST.migrations, ("ALTER TABLE a ADD COLUMN y DEFAULT 5", "CREATE TABLE b (x)")),
)
BROKEN = Schema(
    application_id=7,
    journal="delete",
    migrations=(*FIRST.migrations, ("CREATE TABLE b (x)", "CREATE TABLE a (x)")),
)


def test_forward_migration(tmp_path):
    """An older file is brought to the newest version with its rows kept."""
    path = tmp_path / "x.db"
    connection = connect(path, FIRST)
    connection.execute("INSERT INTO a VALUES (1)")
    connection.close()

    connection = connect(path, SECOND)

    assert [(1, 5)] == connection.execute("SELECT x, y FROM a").fetchall()
    assert (2,) == connection.execute("PRAGMA user_version").fetchone()
    connection.close()


def test_failed_migration(tmp_path):
    """A migration that fails leaves the file at its old version, none of its steps done."""
    path = tmp_path / "x.db"
    connect(path, FIRST).close()

    with pytest.raises(StoreError):
        connect(path, BROKEN)

    connection = connect(path, FIRST)
    assert [("a",)] == connection.execute("SELECT name FROM sqlite_schema").fetchall()
    connection.close()


def test_locked(tmp_path, monkeypatch):
    """A file that another process holds is said to be held."""
    monkeypatch.setattr("dlp.store.database.BUSY_TIMEOUT_S", 0.05)
    first, second = (connect(tmp_path / "x.db", FIRST) for _ in range(2))

    with transaction(first), pytest.raises(StoreError, match="locked"), explained(tmp_path):
        second.execute("INSERT INTO a VALUES (1)")
    first.close()
    second.close()


def test_deadline(tmp_path):
    """What runs too long is interrupted; the connection serves on."""
    connection = connect(tmp_path / "x.db", FIRST)
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"

    with (
        pytest.raises(StoreError, match="too long"),
        explained(tmp_path),
        deadline(connection, 0.05),
    ):
        connection.execute(endless).fetchall()

    assert [] == connection.execute("SELECT * FROM a").fetchall()
    connection.close()


def test_message_quotes_no_value(tmp_path):
    """SQLite's own text, which may quote a value, does not reach the user."""
    with pytest.raises(StoreError) as caught, explained(tmp_path):
        raise sqlite3.IntegrityError("4111111111111111 is not unique")

    assert "4111" not in str(caught.value)
