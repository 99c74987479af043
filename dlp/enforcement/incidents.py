"""The way of incidents to the store: joined, bounded, handed to whoever follows.

    add ─► joined where they repeat ─► store ─► followers

Whoever can cause incidents must neither fill the memory nor the disk, nor delay anything.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import structlog

from dlp.enforcement.recorder import Feed
from dlp.errors import DlpError
from dlp.model import Incident, IncidentKind
from dlp.store.incidents import JOIN_S, IncidentStore, JoinKey, join_key, joined, near

OTHER_PROTOCOL = "other"
_GATHER_S = 0.25
_WAITING = 4096
_PROTOCOLS = 8


class IncidentRecorder:
    """Stores incidents, repeated ones joined before they reach the disk.

    Attributes:
        counts: occurrences by kind since the start, the lost ones included.
        lost: occurrences that could not be stored.
    """

    def __init__(self, store: IncidentStore, log: Any = None) -> None:
        self._store = store
        self._log = log if log is not None else structlog.get_logger()
        self._waiting: dict[JoinKey, list[Incident]] = {}
        self._rows = 0
        self._told = asyncio.Event()
        self._stored = asyncio.Event()
        self._stored.set()
        self._protocols: dict[JoinKey, dict[str, float]] = {}
        self.feed: Feed[Incident] = Feed(store.since)
        self.counts: Counter[IncidentKind] = Counter()
        self.lost = 0

    async def prepare(self) -> None:
        """Find out where earlier processes stopped."""
        await self.feed.publish(await self._store.last_id())

    def add(self, incident: Incident) -> None:
        self.counts[incident.kind] += incident.count
        incident = self._bounded(incident)
        key = join_key(incident)
        rows = self._waiting.get(key)
        if rows and near(rows[-1], incident):
            rows[-1] = joined(rows[-1], incident)
        elif self._rows < _WAITING:
            self._waiting.setdefault(key, []).append(incident)
            self._rows += 1
            self._stored.clear()
        else:
            self.lost += incident.count
        self._told.set()

    async def flush(self) -> None:
        """Wait until all that was added is stored, or lost."""
        self._told.set()
        await self._stored.wait()

    async def run(self) -> None:
        """Store what comes, until cancelled."""
        while True:
            await self._told.wait()
            self._told.clear()
            batch = [incident for rows in self._waiting.values() for incident in rows]
            self._waiting.clear()
            self._rows = 0
            try:
                stored = await self._store.record(batch)
            except DlpError as error:
                self.lost += sum(incident.count for incident in batch)
                self._log.error("incidents not stored", count=len(batch), reason=str(error))
            else:
                await self.feed.publish(max((one.id for one in stored), default=0))
            if not self._rows:
                self._stored.set()
            await asyncio.sleep(_GATHER_S)

    def _bounded(self, incident: Incident) -> Incident:
        """Whoever forges packets chooses their protocol: only so many make a row each."""
        if incident.kind is not IncidentKind.BYPASS:
            return incident
        *key, protocol = join_key(incident)
        where: JoinKey = (key[0], key[1], key[2], key[3], "")
        if len(self._protocols) > _WAITING:
            self._protocols.clear()
        seen = self._protocols.setdefault(where, {})
        for name in [name for name, last in seen.items() if last < incident.time - JOIN_S]:
            del seen[name]
        if protocol not in seen and len(seen) >= _PROTOCOLS:
            return replace(incident, protocol=OTHER_PROTOCOL)
        seen[protocol] = incident.last
        return incident
