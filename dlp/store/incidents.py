"""The incident store: what was tried against the enforcement, and which limits were met.

Tables of their own in the database of verdicts. What repeats is joined into one row, and
the number of rows is bounded: whoever can cause incidents must not fill the disk.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from dlp.errors import StoreError
from dlp.model import Endpoint, Incident, IncidentKind
from dlp.service import IncidentQuery
from dlp.store.connections import READ_S, Connections
from dlp.store.database import deadline, transaction
from dlp.store.rows import LIMIT, Value, capped, text

JOIN_S = 10.0
ROWS = 20_000
_ROOM = 200  # freed at one go, so that not every insert prunes

TABLES = (
    """
    CREATE TABLE incident (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        time REAL NOT NULL,
        last REAL NOT NULL,
        kind TEXT NOT NULL,
        workload TEXT NOT NULL,
        what TEXT NOT NULL,
        count INTEGER NOT NULL,
        device TEXT NOT NULL,
        protocol TEXT NOT NULL,
        source_address TEXT,
        source_port INTEGER,
        destination_address TEXT,
        destination_port INTEGER,
        detail TEXT NOT NULL
    )
    """,
    "CREATE INDEX incident_join ON incident (kind, workload, what, device, last)",
    "CREATE INDEX incident_workload ON incident (workload)",
    "CREATE INDEX incident_kind ON incident (kind)",
)

COLUMNS = (
    "time",
    "last",
    "kind",
    "workload",
    "what",
    "count",
    "device",
    "protocol",
    "source_address",
    "source_port",
    "destination_address",
    "destination_port",
    "detail",
)
_NAMES = ", ".join(COLUMNS)
_INSERT = f"INSERT INTO incident ({_NAMES}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - names above
SELECT = f"SELECT id, {_NAMES} FROM incident"  # noqa: S608 - as above
_JOIN = f"""
{SELECT} WHERE kind = ? AND workload = ? AND what = ? AND device = ?
AND last >= ? AND time <= ? AND (protocol = ? OR kind <> 'bypass') ORDER BY last DESC LIMIT 1
"""

JoinKey = tuple[str, str, str, str, str]


def join_key(incident: Incident) -> JoinKey:
    """What two occurrences have in common that are joined, if they are near in time.

    The protocol tells ways of bypass apart, and nothing elsewhere.
    """
    bypass = incident.kind is IncidentKind.BYPASS
    return (
        incident.kind.value,
        incident.workload,
        incident.what,
        incident.device,
        incident.protocol if bypass else "",
    )


def near(first: Incident, second: Incident) -> bool:
    """Whether not more than JOIN_S lie between them."""
    return first.last >= second.time - JOIN_S and second.last >= first.time - JOIN_S


def joined(first: Incident, more: Incident) -> Incident:
    """Both as one: packet and sentence are those of the first."""
    return dataclasses.replace(
        first,
        time=min(first.time, more.time),
        last=max(first.last, more.last),
        count=first.count + more.count,
    )


class IncidentStore:
    """Incidents in the tables of a database that is open."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def record(self, batch: Sequence[Incident]) -> list[Incident]:
        """Store all in one transaction; each as it stands now, with its id, joined or new.

        Durable when it returns.

        Raises:
            StoreError: nothing of the batch was stored.
        """
        if not batch:
            return []
        return await self._connections.write(self._record, tuple(batch))

    async def query(self, query: IncidentQuery) -> list[Incident]:
        """Newest first by their beginning, at most 1000.

        One that began before `since` and went on after it is among them.
        """
        return await self._connections.read(self._select, *select(query))

    async def since(self, after_id: int, limit: int = LIMIT) -> list[Incident]:
        """Those that began after an id, oldest first, at most 1000."""
        statement = f"{SELECT} WHERE id > ? ORDER BY id LIMIT ?"
        return await self._connections.read(self._select, statement, [after_id, capped(limit)])

    async def last_id(self) -> int:
        """Of what is stored; 0 where nothing is."""

        def highest() -> int:
            row = self._connections.reader.execute("SELECT max(id) FROM incident").fetchone()
            return row[0] or 0

        return await self._connections.read(highest)

    def _record(self, batch: tuple[Incident, ...]) -> list[Incident]:
        writer = self._connections.writer
        stored = []
        with transaction(writer):
            for incident in batch:
                known = self._earlier(incident)
                if known is None:
                    cursor = writer.execute(_INSERT, to_row(incident))
                    stored.append(dataclasses.replace(incident, id=cursor.lastrowid or 0))
                    continue
                now = joined(known, incident)
                writer.execute(
                    "UPDATE incident SET time = ?, last = ?, count = ? WHERE id = ?",
                    (now.time, now.last, now.count, now.id),
                )
                stored.append(now)
            self._prune()
        return stored

    def _earlier(self, incident: Incident) -> Incident | None:
        *key, protocol = (text(part) for part in join_key(incident))
        wanted = (*key, incident.time - JOIN_S, incident.last + JOIN_S, protocol)
        row = self._connections.writer.execute(_JOIN, wanted).fetchone()
        return from_row(row) if row else None

    def _prune(self) -> None:
        """Forget the oldest of whichever workload and kind has the most rows.

        So one that floods pushes out its own rows, and nobody else's.
        """
        writer = self._connections.writer
        total = writer.execute("SELECT count(*) FROM incident").fetchone()[0]
        while total > ROWS:
            kind, workload, rows = writer.execute(
                "SELECT kind, workload, count(*) FROM incident GROUP BY kind, workload"
                " ORDER BY 3 DESC LIMIT 1"
            ).fetchone()
            surplus = min(rows, total - ROWS + _ROOM)
            writer.execute(
                "DELETE FROM incident WHERE id IN (SELECT id FROM incident"
                " WHERE kind = ? AND workload = ? ORDER BY id LIMIT ?)",
                (kind, workload, surplus),
            )
            total -= surplus

    def _select(self, statement: str, values: list[Value]) -> list[Incident]:
        reader = self._connections.reader
        with deadline(reader, READ_S):
            return [from_row(row) for row in reader.execute(statement, values)]


def to_row(incident: Incident) -> tuple[Value | None, ...]:
    """Values in the order of COLUMNS."""
    source, destination = incident.source, incident.destination
    return (
        incident.time,
        incident.last,
        incident.kind.value,
        text(incident.workload),
        text(incident.what),
        incident.count,
        text(incident.device),
        text(incident.protocol),
        text(source.address) if source else None,
        source.port if source else None,
        text(destination.address) if destination else None,
        destination.port if destination else None,
        text(incident.detail),
    )


def from_row(row: Sequence[Any]) -> Incident:
    """Of a row of SELECT.

    Raises:
        StoreError: it holds a kind that this release does not know.
    """
    value: dict[str, Any] = dict(zip(("id", *COLUMNS), row, strict=True))
    for name in ("source", "destination"):
        value[name] = _endpoint(value.pop(f"{name}_address"), value.pop(f"{name}_port"))
    try:
        kind = IncidentKind(value.pop("kind"))
    except ValueError as error:
        raise StoreError(f"incident {value['id']} holds what this release does not know") from error
    return Incident(kind=kind, **value)


def _endpoint(address: str | None, port: int | None) -> Endpoint | None:
    return None if address is None else Endpoint(address=address, port=port or 0)


def select(query: IncidentQuery) -> tuple[str, list[Value]]:
    """Statement and parameters of a listing, newest first."""
    conditions = list(_conditions(query))
    where = " AND ".join(condition for condition, _ in conditions) or "TRUE"
    values = [value for _, value in conditions]
    return f"{SELECT} WHERE {where} ORDER BY id DESC LIMIT ?", [*values, capped(query.limit)]


def _conditions(query: IncidentQuery) -> Iterator[tuple[str, Value]]:
    if query.workload is not None:
        yield "workload = ?", text(query.workload)
    if query.kind is not None:
        yield "kind = ?", query.kind.value
    if query.since is not None:
        yield "last >= ?", query.since
    if query.until is not None:
        yield "time <= ?", query.until
    if query.before_id is not None:
        yield "id < ?", query.before_id
