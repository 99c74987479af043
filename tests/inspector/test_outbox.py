import asyncio

from dlp.inspector.messages import Record, Rule, Stop
from dlp.inspector.outbox import Outbox, Release


def record(flow, size=100):
    return Record(flow=flow, offset=0, data=bytes(size))


RELEASE = Release(2, (Rule(index=0, id="a", regex="a"),))


async def test_order_is_kept():
    """What is put first is taken first; what is put back comes before all."""
    outbox = Outbox(10_000)
    for item in (record(1), RELEASE, record(2)):
        assert outbox.put(item)
    first = await outbox.take(1)
    outbox.put_back([record(8), first])

    taken = [await outbox.take(1) for _ in range(4)]

    assert [record(8), record(1), RELEASE, record(2)] == taken


async def test_records_are_bounded_in_bytes():
    """A record that does not fit is refused; releases and stops always fit; room comes back."""
    outbox = Outbox(1000)

    assert [True, True, True, False] == [outbox.put(record(n)) for n in range(4)]
    assert outbox.put(RELEASE)
    assert outbox.put(Stop())
    await outbox.take(1)
    assert outbox.put(record(9))
    assert not outbox.put(record(9))


async def test_empty_queue_waits_only_so_long():
    """The taker is woken by a put, and gets nothing when the time is up."""
    outbox = Outbox(1000)
    assert await outbox.take(0.01) is None

    asyncio.get_running_loop().call_later(0.01, outbox.put, record(1))

    assert record(1) == await outbox.take(5)


async def test_withdrawn_records_give_their_room_back():
    """A flow's records can be taken out of the middle, and releases without the records."""
    outbox = Outbox(1000)
    for item in (record(1), RELEASE, record(2), record(1)):
        outbox.put(item)

    assert 2 == len(outbox.withdraw(1))
    outbox.withdraw_releases()

    assert 1 == len(outbox)
    assert [True, True, False] == [outbox.put(record(n)) for n in range(3)]


async def test_clear_tells_what_was_lost():
    """Emptying the queue returns its records only."""
    outbox = Outbox(1000)
    for item in (record(1), RELEASE, Stop(), record(2)):
        outbox.put(item)

    assert (record(1), record(2)) == outbox.clear()
    assert 0 == len(outbox)


async def test_lanes_take_turns():
    """A lane with many records delays the one of another by a single record."""
    outbox = Outbox(10_000)
    for flow, lane in ((1, 7), (2, 7), (3, 7), (4, 8), (5, 8), (6, 9)):
        outbox.put(Record(flow=flow, offset=0, data=b"x", lane=lane))

    assert [1, 4, 6, 2, 5, 3] == [(await outbox.take(1)).flow for _ in range(6)]


async def test_turns_end_at_a_release():
    """Whatever its lane, what was put before a release is taken before it."""
    outbox = Outbox(10_000)
    for flow, lane in ((1, 7), (2, 7), (3, 8)):
        outbox.put(Record(flow=flow, offset=0, data=b"x", lane=lane))
    outbox.put(RELEASE)
    outbox.put(Record(flow=4, offset=0, data=b"x", lane=8))

    taken = [await outbox.take(1) for _ in range(5)]
    assert [1, 3, 2, RELEASE, 4] == [getattr(item, "flow", item) for item in taken]
    assert 0 == len(outbox)


async def test_held_records_can_be_withdrawn():
    """Those of other flows stay, in their order; the room comes back."""
    outbox = Outbox(1000)
    for flow in range(3):
        outbox.put(Record(flow=flow, offset=0, data=bytes(100), held=flow == 1))
    outbox.withdraw_held()

    assert outbox.put(record(9))
    assert [0, 2, 9] == [(await outbox.take(1)).flow for _ in range(3)]
