"""API tokens: who may ask over TCP, and for what.

A token is shown once, when it is made; only its SHA-256 is kept. Its 256 random bits
need no slow hash. A file of its own, opened for each call, so that the command line can
make and revoke tokens while the gateway runs.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import hmac
import re
import secrets
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dlp.errors import UsageError
from dlp.store.database import Schema, connect, explained, transaction

PREFIX = "dlp_"
RANDOM_BYTES = 32
# A check reads all of them, so that its time does not tell which one was near.
MAX_TOKENS = 256

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

SCHEMA = Schema(
    application_id=0x444C5054,  # "DLPT"
    journal="delete",
    migrations=(
        (
            """
        CREATE TABLE token (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            role TEXT NOT NULL,
            created REAL NOT NULL,
            sha256 BLOB NOT NULL UNIQUE
        )
        """,
        ),
    ),
)


class Role(enum.StrEnum):
    """`viewer` may read; `operator` may also change; `admin` may also release signatures."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, needed: Role) -> bool:
        """Whether who has this role may do what needs the other."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What is known of a token; `created` in seconds since the epoch."""

    name: str
    role: Role
    created: float


class TokenStore:
    """Tokens in one SQLite file, mode 0600. Its methods block for about a millisecond."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self, name: str, role: Role) -> str:
        """Make a token and return it: the only time that it can be seen.

        Raises:
            UsageError: the name is taken or not a name, or there are too many tokens.
            StoreError: the file cannot be used.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(
                "not a token name", remedy="1 to 64 letters, digits, dots, dashes, underscores"
            )
        token = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
        with self._opened() as connection, transaction(connection):
            names = {row[0] for row in connection.execute("SELECT name FROM token")}
            if name in names:
                raise UsageError(
                    f"token {name} exists", remedy="choose another name or revoke it first"
                )
            if len(names) >= MAX_TOKENS:
                raise UsageError(f"there are {MAX_TOKENS} tokens", remedy="revoke unused ones")
            connection.execute(
                "INSERT INTO token (name, role, created, sha256) VALUES (?, ?, ?, ?)",
                (name, role.value, time.time(), _digest(token)),
            )
        return token

    def list(self) -> list[Token]:
        """All that are in force, oldest first."""
        with self._opened() as connection:
            found = connection.execute("SELECT name, role, created FROM token ORDER BY id")
            return [_token(row) for row in found]

    def revoke(self, name: str) -> None:
        """End a token; the next request that shows it is refused.

        Raises:
            UsageError: no such token.
        """
        with self._opened() as connection, transaction(connection):
            if not connection.execute("DELETE FROM token WHERE name = ?", (name,)).rowcount:
                raise UsageError("no such token", remedy="see dlp token list")

    def verify(self, token: str) -> Token | None:
        """The token's record, None if it is not in force. Takes the same time for each miss."""
        shown = _digest(token)
        match: Token | None = None
        with self._opened() as connection:
            for *row, digest in connection.execute("SELECT name, role, created, sha256 FROM token"):
                if hmac.compare_digest(shown, digest):
                    match = _token(tuple(row))
        return match

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with explained(self.path), contextlib.closing(connect(self.path, SCHEMA)) as connection:
            yield connection


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _token(row: tuple[str, str, float]) -> Token:
    name, role, created = row
    return Token(name=name, role=Role(role), created=created)
