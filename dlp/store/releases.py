"""The release store: which signature releases a host has, in which state, and by which steps.

Tables of their own in the database of verdicts. A step and the state that it leads to are
written in one transaction; steps are never changed nor removed. The archives are files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from dlp.errors import StoreError
from dlp.releases.canary import Canary
from dlp.releases.life import State
from dlp.service import Release, ReleasePack, ReleaseStep
from dlp.store.connections import READ_S, Connections
from dlp.store.database import deadline, transaction
from dlp.store.rows import capped, text

TABLES: Final = (
    """
    CREATE TABLE signature_release (
        version INTEGER PRIMARY KEY,
        state TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        size INTEGER NOT NULL,
        uploaded REAL NOT NULL,
        expires REAL NOT NULL,
        signers TEXT NOT NULL,
        packs TEXT NOT NULL,
        signatures INTEGER NOT NULL,
        image TEXT NOT NULL,
        reason TEXT NOT NULL,
        canary TEXT NOT NULL,
        went_live REAL,
        before INTEGER
    )
    """,
    """
    CREATE TABLE release_step (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        time REAL NOT NULL,
        version INTEGER NOT NULL,
        who TEXT NOT NULL,
        what TEXT NOT NULL,
        before TEXT NOT NULL,
        after TEXT NOT NULL,
        reason TEXT NOT NULL
    )
    """,
    "CREATE INDEX release_step_version ON release_step (version)",
)

_COLUMNS: Final = (
    "version",
    "state",
    "sha256",
    "size",
    "uploaded",
    "expires",
    "signers",
    "packs",
    "signatures",
    "image",
    "reason",
    "canary",
    "went_live",
    "before",
)
_NAMES = ", ".join(_COLUMNS)
_PUT = (
    f"INSERT OR REPLACE INTO signature_release ({_NAMES}) "  # noqa: S608 - names above
    f"VALUES ({', '.join('?' * len(_COLUMNS))})"
)
_SELECT = f"SELECT {_NAMES} FROM signature_release"  # noqa: S608 - as above
_STEP = (
    "INSERT INTO release_step (time, version, who, what, before, after, reason) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_STEPS = "SELECT id, time, version, who, what, before, after, reason FROM release_step"


class ReleaseStore:
    """Releases in the tables of a database that is open."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def record(self, releases: Sequence[Release], steps: Sequence[ReleaseStep]) -> None:
        """Write states and the steps to them, all or nothing; durable when it returns.

        Raises:
            StoreError: nothing was written.
        """
        await self._connections.write(self._record, tuple(releases), tuple(steps))

    async def all(self) -> list[Release]:
        """Newest version first."""
        return await self._connections.read(self._select, f"{_SELECT} ORDER BY version DESC", ())

    async def get(self, version: int) -> Release | None:
        """One release; None where there is none."""
        found = await self._connections.read(
            self._select, f"{_SELECT} WHERE version = ?", (version,)
        )
        return found[0] if found else None

    async def steps(self, version: int | None = None, limit: int = 100) -> list[ReleaseStep]:
        """The latest first; of one version, or of all and of refused uploads (version 0)."""
        where = "" if version is None else " WHERE version = ?"
        values = () if version is None else (version,)
        return await self._connections.read(
            self._select_steps,
            f"{_STEPS}{where} ORDER BY id DESC LIMIT ?",
            (*values, capped(limit)),
        )

    def _record(self, releases: tuple[Release, ...], steps: tuple[ReleaseStep, ...]) -> None:
        writer = self._connections.writer
        with transaction(writer):
            for release in releases:
                writer.execute(_PUT, to_row(release))
            for step in steps:
                writer.execute(
                    _STEP,
                    (
                        step.time,
                        step.version,
                        text(step.who),
                        step.what,
                        step.before,
                        step.after,
                        text(step.reason),
                    ),
                )

    def _select(self, statement: str, values: tuple[int, ...]) -> list[Release]:
        reader = self._connections.reader
        with deadline(reader, READ_S):
            return [from_row(row) for row in reader.execute(statement, values)]

    def _select_steps(self, statement: str, values: tuple[int, ...]) -> list[ReleaseStep]:
        reader = self._connections.reader
        names = ("id", "time", "version", "who", "what", "before", "after", "reason")
        with deadline(reader, READ_S):
            return [
                ReleaseStep(**dict(zip(names, row, strict=True)))
                for row in reader.execute(statement, values)
            ]


def to_row(release: Release) -> tuple[str | int | float | None, ...]:
    """Values in the order of the columns."""
    canary = release.canary
    shown = {"netns": list(canary.netns), "percent": canary.percent} if canary else None
    return (
        release.version,
        release.state.value,
        release.sha256,
        release.size,
        release.uploaded,
        release.expires,
        json.dumps(release.signers),
        json.dumps([[one.name, one.version, one.signatures] for one in release.packs]),
        release.signatures,
        release.image,
        text(release.reason),
        json.dumps(shown),
        release.went_live,
        release.before,
    )


def from_row(row: Sequence[Any]) -> Release:
    """Of a row of the table.

    Raises:
        StoreError: it holds a state that this gateway does not know.
    """
    value: dict[str, Any] = dict(zip(_COLUMNS, row, strict=True))
    try:
        state = State(value.pop("state"))
    except ValueError as error:
        raise StoreError(
            f"release {value['version']} has a state that this gateway does not know"
        ) from error
    packs = tuple(
        ReleasePack(name=name, version=version, signatures=signatures)
        for name, version, signatures in json.loads(value.pop("packs"))
    )
    return Release(
        state=state,
        packs=packs,
        signers=tuple(json.loads(value.pop("signers"))),
        canary=_canary(json.loads(value.pop("canary"))),
        **value,
    )


def _canary(shown: Mapping[str, Any] | None) -> Canary | None:
    if shown is None:
        return None
    return Canary(netns=tuple(shown["netns"]), percent=shown["percent"])
