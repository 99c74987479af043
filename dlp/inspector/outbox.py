"""Records on their way to the matcher process: a bounded queue that never makes its writer wait."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from dlp.inspector.messages import Record, Rule, Stop

_RECORD_COST = 200  # bytes that a record costs beside its payload, roughly


@dataclass(frozen=True, slots=True)
class Release:
    """Rules that become live with the first record queued behind them."""

    number: int
    rules: tuple[Rule, ...]


Item = Record | Release | Stop


class Outbox:
    """First in, first out, at most `limit` bytes of records; releases and stops always fit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._items: deque[Item] = deque()
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> bool:
        """Add at the end; False, and nothing added, where it does not fit."""
        cost = _cost(item)
        if cost and self._size + cost > self._limit:
            return False
        self._size += cost
        self._items.append(item)
        self._filled.set()
        return True

    def put_back(self, items: Iterable[Record]) -> None:
        """Put records that were taken in front again, in their order, bound or not."""
        for item in reversed(tuple(items)):
            self._size += _cost(item)
            self._items.appendleft(item)
            self._filled.set()

    def withdraw(self, flow: int) -> tuple[Record, ...]:
        """Remove the records of a flow, and return them."""
        records = tuple(
            item for item in self._items if isinstance(item, Record) and item.flow == flow
        )
        self._size -= sum(map(_cost, records))
        self._items = deque(
            item for item in self._items if not (isinstance(item, Record) and item.flow == flow)
        )
        return records

    def withdraw_held(self) -> None:
        """Remove records of held flows."""
        kept = [item for item in self._items if not (isinstance(item, Record) and item.held)]
        self._size = sum(map(_cost, kept))
        self._items = deque(kept)

    def withdraw_releases(self) -> None:
        """Remove releases that no process has taken yet."""
        self._items = deque(item for item in self._items if not isinstance(item, Release))

    def clear(self) -> tuple[Record, ...]:
        """Empty the queue; the records that were in it."""
        records = tuple(item for item in self._items if isinstance(item, Record))
        self._items.clear()
        self._size = 0
        self._filled.clear()
        return records

    async def take(self, timeout: float) -> Item | None:  # noqa: ASYNC109
        """Remove the first; None when the time (seconds) is up."""
        if not self._items:
            self._filled.clear()
            try:
                async with asyncio.timeout(timeout):
                    await self._filled.wait()
            except TimeoutError:
                return None
        if not self._items:
            return None  # withdrawn meanwhile
        item = self._items.popleft()
        self._size -= _cost(item)
        return item


def _cost(item: Item) -> int:
    return len(item.data) + _RECORD_COST if isinstance(item, Record) else 0
