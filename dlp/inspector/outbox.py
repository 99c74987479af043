"""Records on their way to the matcher process: a bounded queue that never makes its writer wait."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from dlp.inspector.messages import Record, Rule, Stop

_RECORD_COST = 200  # bytes that a record costs beside its payload, roughly


@dataclass(frozen=True, slots=True)
class Release:
    """Rules that become live with the first record queued behind them."""

    number: int
    rules: tuple[Rule, ...]


Item = Record | Release | Stop
# Records between two other items, by lane.
_Stretch = OrderedDict[int, deque[Record]]


class Outbox:
    """First in, first out, at most `limit` bytes of records; releases and stops always fit.

    Records of several lanes take turns: a lane that is full does not delay the others.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._items: deque[_Stretch | Release | Stop] = deque()
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return sum(1 for _ in self._records()) + sum(
            not isinstance(item, OrderedDict) for item in self._items
        )

    def put(self, item: Item) -> bool:
        """Add at the end; False, and nothing added, where it does not fit."""
        cost = _cost(item)
        if cost and self._size + cost > self._limit:
            return False
        self._size += cost
        if isinstance(item, Record):
            last = self._items[-1] if self._items else None
            if not isinstance(last, OrderedDict):
                last = OrderedDict()
                self._items.append(last)
            _add(last, item)
        else:
            self._items.append(item)
        self._filled.set()
        return True

    def put_back(self, items: Iterable[Record]) -> None:
        """Put records that were taken in front again, in their order, bound or not."""
        stretch: _Stretch = OrderedDict()
        for item in items:
            self._size += _cost(item)
            _add(stretch, item)
        if stretch:
            self._items.appendleft(stretch)
            self._filled.set()

    def withdraw(self, flow: int) -> tuple[Record, ...]:
        """Remove the records of a flow, and return them."""
        return self._remove(lambda record: record.flow == flow)

    def withdraw_held(self) -> None:
        """Remove records of held flows."""
        self._remove(lambda record: record.held)

    def withdraw_releases(self) -> None:
        """Remove releases that no process has taken yet."""
        self._items = deque(item for item in self._items if not isinstance(item, Release))

    def clear(self) -> tuple[Record, ...]:
        """Empty the queue; the records that were in it."""
        records = tuple(self._records())
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
        first = self._items[0]
        item = _take(first) if isinstance(first, OrderedDict) else first
        if not (isinstance(first, OrderedDict) and first):
            self._items.popleft()
        self._size -= _cost(item)
        return item

    def _records(self) -> Iterator[Record]:
        for item in self._items:
            if isinstance(item, OrderedDict):
                for lane in item.values():
                    yield from lane

    def _remove(self, wanted: Callable[[Record], bool]) -> tuple[Record, ...]:
        removed = tuple(filter(wanted, self._records()))
        if not removed:
            return ()
        self._size -= sum(map(_cost, removed))
        kept: deque[_Stretch | Release | Stop] = deque()
        for item in self._items:
            if isinstance(item, OrderedDict):
                stretch: _Stretch = OrderedDict()
                for record in (one for lane in item.values() for one in lane):
                    if not wanted(record):
                        _add(stretch, record)
                if stretch:
                    kept.append(stretch)
            else:
                kept.append(item)
        self._items = kept
        return removed


def _add(stretch: _Stretch, record: Record) -> None:
    stretch.setdefault(record.lane, deque()).append(record)


def _take(stretch: _Stretch) -> Record:
    """The first record of the lane whose turn it is."""
    lane, records = stretch.popitem(last=False)
    record = records.popleft()
    if records:
        stretch[lane] = records  # behind the others
    return record


def _cost(item: Item) -> int:
    return len(item.data) + _RECORD_COST if isinstance(item, Record) else 0
