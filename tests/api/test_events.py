"""Event streams over a real unix socket."""

from __future__ import annotations

import asyncio
import json

import pytest

from dlp.api import events as module
from dlp.api.events import Backlog, Ended
from tests.api.fake import make_incident, make_verdict


async def read_event(stream):
    """The next event as (id, kind, data); comments are passed over."""
    fields = {}
    async with asyncio.timeout(10):
        async for line in stream:
            text = line.decode().rstrip("\r\n")
            if not text and "data" in fields:
                return fields.get("id"), fields["event"], json.loads(fields["data"])
            name, _, value = text.partition(": ")
            if name:
                fields[name] = value
    return None


async def test_live(local, gateway):
    """Without an id to start from, what is decided from now on."""
    async with local.get("events") as response:
        assert "text/event-stream" == response.content_type
        await gateway.publish(make_verdict(6), make_verdict(7))
        events = [await read_event(response.content) for _ in range(2)]

    assert [("6", "verdict"), ("7", "verdict")] == [event[:2] for event in events]
    assert ("18446744073709551615", "drop") == (events[0][2]["flow"], events[0][2]["action"])


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"Last-Event-ID": "3"}, {}),
        ({}, {"after": "3"}),
        ({"Last-Event-ID": "3"}, {"after": "1"}),
    ],
)
async def test_replay(local, gateway, headers, query):
    """From the id named, each verdict once, then the live ones."""
    async with local.get("events", headers=headers, params=query) as response:
        await gateway.publish(make_verdict(6))
        found = [(await read_event(response.content))[0] for _ in range(3)]

    assert ["4", "5", "6"] == found


async def test_incidents(local, gateway):
    """A stream of their own, from an id on; verdicts do not come there."""
    async with local.get("incidents/events", params={"after": "4"}) as response:
        await gateway.publish(make_verdict(6), make_incident(6, what="unowned"))
        events = [await read_event(response.content) for _ in range(2)]

    assert [("5", "incident"), ("6", "incident")] == [event[:2] for event in events]
    assert "unowned" == events[1][2]["what"]


@pytest.mark.parametrize("value", ["", "x", "-1", "1" * 30, "1\t2"])
async def test_bad_last_event_id(local, expect_problem, value):
    """A header that is no id is refused before the stream begins."""
    async with local.get("events", headers={"Last-Event-ID": value}) as response:
        problem = await expect_problem(response, 400, "invalid-parameter")

    assert "Last-Event-ID" == problem["parameter"]


async def test_heartbeat(local):
    """A silent stream is kept awake by comments."""
    async with local.get("events") as response:
        async with asyncio.timeout(5):
            assert b": ping\r\n" == await response.content.readline()


async def test_long_replay(local, gateway):
    """A client that reads gets any number of stored verdicts through a small backlog."""
    await gateway.publish(*(make_verdict(number) for number in range(6, 3000)))
    async with local.get("events", params={"after": "0"}) as response:
        found = [int((await read_event(response.content))[0]) for _ in range(2999)]

    assert list(range(1, 3000)) == found


async def test_slow_client(listening, gateway, monkeypatch):
    """Who does not read is told so at the end, with the id to go on from."""
    given_up, farewell = asyncio.Event(), module._Stream._farewell

    async def watched(stream, reason, incident):
        given_up.set()
        await farewell(stream, reason, incident)

    monkeypatch.setattr(module._Stream, "_farewell", watched)
    reader, writer = await asyncio.open_unix_connection(str(listening.unix), limit=1024)
    writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: dlp\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    await gateway.publish(*(make_verdict(number) for number in range(6, 6000)))
    async with asyncio.timeout(10):
        await given_up.wait()
        text = (await reader.read(-1)).decode()
    writer.close()

    # A chunk of the transfer coding may stand between two events, never within one.
    data = [line.removeprefix("data: ") for line in text.splitlines() if "data: " in line]
    closed = json.loads(data[-1])
    assert "slow" == closed["reason"]
    assert closed["last_id"] == json.loads(data[-2])["id"]
    assert list(range(6, closed["last_id"] + 1)) == [json.loads(line)["id"] for line in data[:-1]]
    assert closed["last_id"] < 5999
    assert text.endswith("0\r\n\r\n")
    assert 0 == gateway.subscribers


async def test_client_gone(local, gateway):
    """A client that goes leaves no subscription behind."""
    async with local.get("events"):
        assert 1 == gateway.subscribers
    async with asyncio.timeout(5):
        while gateway.subscribers:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.02)


async def test_too_many(local, expect_problem):
    """The number of open streams is bounded; a place that is left can be taken."""
    first = [await local.get("events") for _ in range(3)]
    async with local.get("events") as response:
        await expect_problem(response, 503, "too-many-streams")
    for response in first:
        response.close()
    async with asyncio.timeout(5):
        while True:
            async with local.get("events") as response:
                if response.status == 200:
                    break
            await asyncio.sleep(0.05)


async def test_gateway_ends(local, gateway):
    """When the subscription ends, so does the stream, and says why."""
    async with local.get("events") as response:
        await gateway.end()
        event = await read_event(response.content)

    assert "closed" == event[1]
    assert "shutdown" == event[2]["reason"]


async def test_failure(local, gateway):
    """A failure midway ends the stream with an incident and nothing of its text."""
    async with local.get("events") as response:
        gateway.failure = RuntimeError("4111111111111111")
        await gateway.publish(make_verdict(6))
        event = await read_event(response.content)

    assert ("closed", "error") == (event[1], event[2]["reason"])
    assert 16 == len(event[2]["incident"])
    assert "4111" not in json.dumps(event)


async def test_failure_before(local, gateway, expect_problem):
    """A subscription that cannot begin is a problem, not a stream."""
    gateway.failure = RuntimeError("x")
    async with local.get("events") as response:
        await expect_problem(response, 500, "internal")


class TestBacklog:
    """The queue by itself."""

    async def test_order(self):
        """First in, first out."""
        backlog = Backlog(4, 0.1)
        for number in range(4):
            await backlog.put(make_verdict(number))

        assert [0, 1, 2, 3] == [(await backlog.get()).id for _ in range(4)]

    async def test_stall(self):
        """Full and not read for the time allowed."""
        backlog = Backlog(2, 0.05)
        await backlog.put(make_verdict(1))
        await backlog.put(make_verdict(2))

        with pytest.raises(Ended, match="slow"):
            await backlog.put(make_verdict(3))

    async def test_crawling_reader(self):
        """One that reads less than half in that time counts as stalled too."""
        backlog = Backlog(10, 0.1)
        for number in range(10):
            await backlog.put(make_verdict(number))

        async def crawl():
            while True:
                await asyncio.sleep(0.04)
                await backlog.get()

        async def run():
            async with asyncio.TaskGroup() as group:
                group.create_task(crawl())
                group.create_task(backlog.put(make_verdict(10)))

        with pytest.raises(ExceptionGroup) as caught:
            await run()
        assert "slow" == caught.value.exceptions[0].reason
