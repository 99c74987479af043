"""The verdict store: what was decided, durable once acknowledged.

One SQLite file in WAL mode with one writer. Masked text and digests only; it never
sees a raw value. It does not decide how long verdicts are kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from dlp.model import Action, Verdict
from dlp.service import VerdictQuery
from dlp.store import incidents, releases, rows
from dlp.store.connections import READ_S, Connections
from dlp.store.database import Schema, deadline, transaction

SCHEMA = Schema(
    application_id=0x444C5056,  # "DLPV"
    journal="wal",
    migrations=(
        # AUTOINCREMENT: an id is never given twice, so that it can serve as an event id.
        # Actions are numbers (append-only in the model), so that a comparison ranks them.
        # A rowid ends every index: each serves its filter and the order by id at once.
        (
            """
            CREATE TABLE verdict (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                time REAL NOT NULL,
                kind TEXT NOT NULL,
                workload TEXT NOT NULL,
                cgroup INTEGER NOT NULL,
                cgroup_path TEXT NOT NULL,
                flow INTEGER NOT NULL,
                protocol TEXT NOT NULL,
                source_address TEXT NOT NULL,
                source_port INTEGER NOT NULL,
                destination_address TEXT NOT NULL,
                destination_port INTEGER NOT NULL,
                signature TEXT NOT NULL,
                severity TEXT NOT NULL,
                policy TEXT NOT NULL,
                rule INTEGER NOT NULL,
                action INTEGER NOT NULL,
                mode TEXT NOT NULL,
                enforced INTEGER NOT NULL,
                decided TEXT NOT NULL,
                masked TEXT NOT NULL,
                digest TEXT NOT NULL,
                "offset" INTEGER NOT NULL,
                length INTEGER NOT NULL,
                sent_before INTEGER NOT NULL,
                let_out INTEGER NOT NULL,
                count INTEGER NOT NULL,
                "release" INTEGER NOT NULL,
                detail TEXT NOT NULL
            )
            """,
            "CREATE INDEX verdict_time ON verdict (time)",
            "CREATE INDEX verdict_workload ON verdict (workload)",
            "CREATE INDEX verdict_signature ON verdict (signature)",
            "CREATE INDEX verdict_action ON verdict (action)",
            "CREATE INDEX verdict_severity ON verdict (severity)",
            "CREATE INDEX verdict_kind ON verdict (kind)",
            "CREATE INDEX verdict_flow ON verdict (flow)",
        ),
        incidents.TABLES,
        releases.TABLES,
    ),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VerdictCounts:
    """How many verdicts are stored; `last_id` is 0 where there are none."""

    total: int
    last_id: int
    actions: dict[str, int]
    kinds: dict[str, int]
    signatures: dict[str, int]
    workloads: dict[str, int]


class VerdictStore:
    """Verdicts in one SQLite file.

    Attributes:
        incidents: the incidents, which lie in the same file.
        releases: the signature releases, likewise.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._writer = connections.writer
        self._reader = connections.reader
        self.incidents = incidents.IncidentStore(connections)
        self.releases = releases.ReleaseStore(connections)

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open or create the file, mode 0600, and bring it to the newest schema.

        Raises:
            StoreError: damaged, of a newer release, another program's, not writable.
        """
        return cls(await Connections.open(path, SCHEMA))

    async def append(self, batch: Sequence[Verdict]) -> list[Verdict]:
        """Store all in one transaction and return them with their ids, ascending in order.

        Durable when it returns.

        Raises:
            StoreError: nothing of the batch was stored.
        """
        if not batch:
            return []
        return await self._connections.write(self._append, tuple(batch))

    async def query(self, query: VerdictQuery) -> list[Verdict]:
        """Newest first, at most 1000; `signature` may end in `*`.

        Raises:
            UsageError: no such action.
        """
        statement, values = rows.select(query)
        return await self._connections.read(self._select, statement, values)

    async def since(self, after_id: int, limit: int = rows.LIMIT) -> list[Verdict]:
        """Those stored after an id, oldest first, at most 1000."""
        statement = f"{rows.SELECT} WHERE id > ? ORDER BY id LIMIT ?"
        values: list[rows.Value] = [after_id, rows.capped(limit)]
        return await self._connections.read(self._select, statement, values)

    async def counts(self) -> VerdictCounts:
        """Of all that is stored."""
        return await self._connections.read(self._counts)

    async def close(self) -> None:
        """Finish what is under way and close; further calls raise RuntimeError."""
        await self._connections.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _append(self, batch: tuple[Verdict, ...]) -> list[Verdict]:
        stored = []
        with transaction(self._writer):
            for verdict in batch:
                cursor = self._writer.execute(rows.INSERT, rows.to_row(verdict))
                stored.append(dataclasses.replace(verdict, id=cursor.lastrowid or 0))
        return stored

    def _select(self, statement: str, values: list[rows.Value]) -> list[Verdict]:
        with deadline(self._reader, READ_S):
            return [rows.from_row(row) for row in self._reader.execute(statement, values)]

    def _counts(self) -> VerdictCounts:
        def by(column: Literal["kind", "action", "signature", "workload"]) -> dict[str, int]:
            statement = f"SELECT {column}, count(*) FROM verdict GROUP BY {column}"  # noqa: S608
            return dict(self._reader.execute(statement))

        # One transaction: all figures are of one moment.
        self._reader.execute("BEGIN")
        try:
            with deadline(self._reader, READ_S):
                last = self._reader.execute("SELECT max(id) FROM verdict").fetchone()[0]
                kinds, actions = by("kind"), by("action")
                signatures, workloads = by("signature"), by("workload")
        finally:
            self._reader.execute("COMMIT")
        return VerdictCounts(
            total=sum(kinds.values()),
            last_id=last or 0,
            actions={Action(int(key)).label: value for key, value in actions.items()},
            kinds=kinds,
            signatures=signatures,
            workloads=workloads,
        )
