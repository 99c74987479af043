"""Opening an SQLite file: mode, identity, schema version, errors in the project's words.

Knows nothing of what is stored. Never holds a file descriptor of its own on a database
that may be open: closing it would drop the POSIX locks SQLite holds in this process
(https://www.sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dlp.errors import StoreError

BUSY_TIMEOUT_S = 10.0
OWNER_ONLY = 0o600

_UNWRITABLE = (
    "cannot be opened or written",
    "check that state_dir exists, is writable and not mounted read-only",
)
_DAMAGED = (
    "is damaged or no SQLite file",
    "move it and its -wal and -shm files away; a new one is made at the start",
)
_LOCKED = ("locked by another process", "see who holds it with fuser")

# Primary result codes (https://www.sqlite.org/rescode.html): message, remedy.
_EXPLANATIONS = {
    sqlite3.SQLITE_FULL: ("the disk is full", "free space on its file system"),
    sqlite3.SQLITE_READONLY: _UNWRITABLE,
    sqlite3.SQLITE_PERM: _UNWRITABLE,
    sqlite3.SQLITE_CANTOPEN: _UNWRITABLE,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_IOERR: ("input or output failed", "check the disk"),
    sqlite3.SQLITE_INTERRUPT: ("the query took too long", "ask for less at a time"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The tables of one kind of file.

    Attributes:
        application_id: tells the project's files from other SQLite files.
        migrations: statements; the n-th tuple brings version n to n + 1. Append-only.
        journal: `wal`, or `delete` for small files that are opened for one call.
    """

    application_id: int
    migrations: tuple[tuple[str, ...], ...]
    journal: str

    @property
    def version(self) -> int:
        """What user_version holds once every migration has run."""
        return len(self.migrations)


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Translate what sqlite3 and the file system raise to StoreError with a remedy."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translated(path, error) from error
    except OverflowError as error:
        raise StoreError(f"{path}: a number does not fit a column") from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StoreError(
            f"{path}: cannot be opened: {reason}",
            remedy="check that state_dir exists and is writable",
        ) from error


def connect(path: Path, schema: Schema) -> sqlite3.Connection:
    """Open or create a database at the newest schema version, file mode 0600.

    Raises:
        StoreError: no SQLite file, another program's, of a newer version, or not writable.
    """
    with explained(path):
        _private_file(path)
        connection = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            _identify(connection, path, schema)
            connection.execute(f"PRAGMA journal_mode = {schema.journal}").fetchone()
            # FULL: what is acknowledged also survives a loss of power, not only SIGKILL.
            connection.execute("PRAGMA synchronous = FULL")
            _migrate(connection, path, schema)
        except BaseException:
            connection.close()
            raise
        return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A second connection to an open database that cannot write."""
    with explained(path):
        connection = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA query_only = ON")
        return connection


@contextlib.contextmanager
def deadline(connection: sqlite3.Connection, seconds: float) -> Iterator[None]:
    """Interrupt what runs longer: one wide query must not hold up all others."""
    end = time.monotonic() + seconds
    connection.set_progress_handler(lambda: int(time.monotonic() > end), 10_000)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; the write lock is taken at once, so that it never fails midway."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk may have rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _private_file(path: Path) -> None:
    """Create the file with mode 0600, or take foreign permissions from an existing one.

    SQLite gives its -wal and -shm files the mode of the database.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, OWNER_ONLY))
    except FileExistsError:
        mode = path.lstat().st_mode
        if not stat.S_ISREG(mode):
            raise StoreError(
                f"{path}: is not a regular file", remedy="move it away or choose another state_dir"
            ) from None
        if stat.S_IMODE(mode) != OWNER_ONLY:
            path.chmod(OWNER_ONLY)


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    value: int = connection.execute(f"PRAGMA {pragma}").fetchone()[0]
    return value


def _identify(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if tables and _number(connection, "application_id") != schema.application_id:
        raise StoreError(
            f"{path}: is a database of another program",
            remedy="move it away or choose another state_dir",
        )
    found = _number(connection, "user_version")
    if found > schema.version:
        raise StoreError(
            f"{path}: written by a newer release (schema {found}, this one knows {schema.version})",
            remedy="upgrade this gateway or choose another state_dir",
        )


def _migrate(connection: sqlite3.Connection, path: Path, schema: Schema) -> None:
    if _number(connection, "user_version") == schema.version:
        return
    with transaction(connection):
        # Read again under the lock: another process may have migrated meanwhile.
        _identify(connection, path, schema)
        for number in range(_number(connection, "user_version"), schema.version):
            for statement in schema.migrations[number]:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {schema.application_id}")
        connection.execute(f"PRAGMA user_version = {schema.version}")


def _translated(path: Path, error: sqlite3.Error) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    # The class alone for the rest: SQLite's text may quote a value.
    unknown = (f"{type(error).__name__} (SQLite error {code})", "")
    message, remedy = _EXPLANATIONS.get(code, unknown)
    return StoreError(f"{path}: {message}", remedy=remedy)
