"""The way of verdicts to the store, and from there to whoever follows.

    add ─► queue, bounded ─► store, in batches ─► followers

What does not fit is counted as lost: recording never delays enforcement.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, Protocol, TypeVar

import structlog

from dlp.errors import DlpError
from dlp.model import Verdict
from dlp.store.verdicts import VerdictStore

_BATCH = 512
_QUEUE = 65536
_LATEST = 500


class _Numbered(Protocol):
    @property
    def id(self) -> int: ...


T = TypeVar("T", bound=_Numbered)


class Feed(Generic[T]):
    """Hands what was stored to any number of followers, in the order of ids.

    Args:
        since: what was stored after an id, oldest first, at most so many.
    """

    def __init__(self, since: Callable[[int, int], Awaitable[list[T]]]) -> None:
        self._since = since
        self._news = asyncio.Condition()
        self.last_id = 0

    async def publish(self, last_id: int) -> None:
        """Everything up to that id is stored."""
        async with self._news:
            self.last_id = max(self.last_id, last_id)
            self._news.notify_all()

    def follow(self, after: int | None) -> AbstractAsyncContextManager[AsyncIterator[T]]:
        """First what was stored after that id, then what comes; None is from now on."""
        return contextlib.aclosing(self._follow(self.last_id if after is None else after))

    async def _follow(self, last: int) -> AsyncGenerator[T, None]:
        while True:
            batch = await self._since(last, _LATEST)
            for one in batch:
                last = one.id
                yield one
            if not batch:
                async with self._news:
                    await self._news.wait_for(lambda: self.last_id > last)  # noqa: B023


class VerdictRecorder:
    """Stores verdicts in the order in which they came; `lost` counts those it could not."""

    def __init__(self, store: VerdictStore, log: Any = None) -> None:
        self._store = store
        self._log = log if log is not None else structlog.get_logger()
        self._queue: asyncio.Queue[Verdict] = asyncio.Queue(_QUEUE)
        self.feed: Feed[Verdict] = Feed(store.since)
        self.lost = 0

    async def prepare(self) -> None:
        """Find out where earlier processes stopped."""
        await self.feed.publish((await self._store.counts()).last_id)

    def add(self, verdict: Verdict) -> None:
        try:
            self._queue.put_nowait(verdict)
        except asyncio.QueueFull:
            self.lost += 1

    async def flush(self) -> None:
        """Wait until all that was added is stored, or lost."""
        await self._queue.join()

    async def run(self) -> None:
        """Store what comes, until cancelled."""
        while True:
            batch = [await self._queue.get()]
            while len(batch) < _BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            try:
                stored = await self._store.append(batch)
            except DlpError as error:
                self.lost += len(batch)
                self._log.error("verdicts not stored", count=len(batch), reason=str(error))
                continue
            finally:
                for _ in batch:
                    self._queue.task_done()
            await self.feed.publish(stored[-1].id)
