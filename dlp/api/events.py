"""Verdicts and incidents as they happen, as server-sent events, a stream for each.

    event: verdict   id is the verdict's id, data the verdict as GET /verdicts has it
    event: incident  the same for an incident, as it begins
    event: closed    the last: data says why, and the id with which to go on

A client that reads too slowly is told so and cut off, and goes on with Last-Event-ID
from the store: its backlog is the disk, not this process.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager

from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response

from dlp.api import views
from dlp.api.context import GATEWAY, STREAMS, Streams, StreamSettings
from dlp.api.parameters import EventParameters, read_number
from dlp.api.problems import Problem, record_incident
from dlp.model import Incident, Verdict

Item = Verdict | Incident
LAST_EVENT_ID = "Last-Event-ID"
DETAILS = {
    "slow": "The client reads too slowly; go on with Last-Event-ID.",
    "shutdown": "The gateway ends or restarts; go on with Last-Event-ID.",
    "error": "The gateway failed to go on; its log holds the incident.",
}


class Ended(Exception):
    """The stream ends for one of the reasons in DETAILS."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Backlog:
    """A bounded queue that tells a client that pauses from one that cannot keep up."""

    def __init__(self, size: int, stall_s: float) -> None:
        self._size = size
        self._stall_s = stall_s
        self._items: collections.deque[Item] = collections.deque()
        self._filled = asyncio.Event()
        self._room = asyncio.Event()

    async def put(self, item: Item) -> None:
        """Add one; where there is no room, wait until half of it is free.

        Raises:
            Ended: that took longer than a client may stall.
        """
        if len(self._items) >= self._size:
            self._room.clear()
            try:
                async with asyncio.timeout(self._stall_s):
                    await self._room.wait()
            except TimeoutError:
                raise Ended("slow") from None
        self._items.append(item)
        self._filled.set()

    async def get(self) -> Item:
        """Take the oldest."""
        while not self._items:
            self._filled.clear()
            await self._filled.wait()
        item = self._items.popleft()
        if len(self._items) <= self._size // 2:
            self._room.set()
        return item


async def events(request: web.Request, parameters: EventParameters) -> web.StreamResponse:
    """Verdicts."""
    return await _stream(request, parameters, request.app[GATEWAY].subscribe)


async def incident_events(request: web.Request, parameters: EventParameters) -> web.StreamResponse:
    """Incidents."""
    return await _stream(request, parameters, request.app[GATEWAY].subscribe_incidents)


async def _stream(
    request: web.Request,
    parameters: EventParameters,
    subscribe: Callable[..., AbstractAsyncContextManager[AsyncIterator[Item]]],
) -> web.StreamResponse:
    """Stream until the client goes, stalls, or the gateway ends."""
    after = parameters.after
    if LAST_EVENT_ID in request.headers:
        after = read_number(LAST_EVENT_ID, request.headers[LAST_EVENT_ID])
    streams = request.app[STREAMS]
    with _admitted(streams):
        async with (
            subscribe(after=after) as items,
            sse_response(request, ping_interval=streams.settings.heartbeat_s) as response,
        ):
            await _Stream(request, response, streams, after or 0).run(items)
    return response


@contextlib.contextmanager
def _admitted(streams: Streams) -> Iterator[None]:
    if streams.open >= streams.settings.streams:
        raise Problem(
            503,
            "too-many-streams",
            f"{streams.open} event streams are open.",
            headers={"Retry-After": "30"},
        )
    streams.open += 1
    try:
        yield
    finally:
        streams.open -= 1


class _Stream:
    """One client's stream from its first event to its last."""

    def __init__(
        self,
        request: web.Request,
        response: EventSourceResponse,
        streams: Streams,
        after: int,
    ) -> None:
        self._request = request
        self._response = response
        self._closing = streams.closing
        self._settings: StreamSettings = streams.settings
        self._backlog = Backlog(self._settings.backlog, self._settings.stall_s)
        self._last_id = after

    async def run(self, items: AsyncIterator[Item]) -> None:
        """Fill and drain the backlog until one of the ends is met."""
        reason: str | None = None
        incident: str | None = None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._fill(items))
                group.create_task(self._drain())
                group.create_task(self._watch_gateway())
                group.create_task(self._watch_client())
        except* Ended as ends:
            reason = next(str(end) for end in _leaves(ends))
        except* ConnectionError:
            pass
        except* Exception as failures:  # noqa: BLE001 - the last resort, logged as an incident
            reason = "error"
            incident = record_incident(self._request, next(_leaves(failures)))
        if reason:
            await self._farewell(reason, incident)

    async def _fill(self, items: AsyncIterator[Item]) -> None:
        async for item in items:
            await self._backlog.put(item)
        raise Ended("shutdown")

    async def _drain(self) -> None:
        while True:
            item = await self._backlog.get()
            # Before the send: once begun, the event is in the connection's buffer whole.
            self._last_id = item.id
            view = views.Verdict if isinstance(item, Verdict) else views.Incident
            data = view.model_validate(item).model_dump_json()
            await self._response.send(data, id=str(item.id), event=view.__name__.lower())

    async def _watch_gateway(self) -> None:
        await self._closing.wait()
        raise Ended("shutdown")

    async def _watch_client(self) -> None:
        await self._response.wait()
        raise ConnectionResetError("a heartbeat found the client gone")

    async def _farewell(self, reason: str, incident: str | None) -> None:
        data = {"reason": reason, "detail": DETAILS[reason], "last_id": self._last_id}
        if incident:
            data["incident"] = incident
        transport = self._request.transport
        try:
            async with asyncio.timeout(self._settings.farewell_s):
                await self._response.send(json.dumps(data), event="closed")
                await self._response.write_eof()
        except ConnectionError:
            return
        except TimeoutError:
            if transport:
                transport.abort()
            return
        if transport:
            # A close waits until all is read; who never reads must not hold it for ever.
            transport.close()
            asyncio.get_running_loop().call_later(self._settings.farewell_s, transport.abort)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        elif isinstance(error, Exception):
            yield error
