"""What was attached where, on disk."""

import asyncio
import json
import os

import pytest

from dlp.datapath.attach import Attached, Placed, Way
from dlp.enforcement import record
from dlp.enforcement.record import Entry

GUARD = Placed(device="veth7", index=9, netns=13, way=Way.TCX, link=41)
ENTRIES = (
    Entry("web", 11, (Attached(device="eth0", index=2, made_qdisc=True),)),
    Entry(
        "api",
        14,
        (Attached(device="eth0", index=2, way=Way.TCX, link=40, guard=GUARD),),
        2.5,
        {"tcp_rto_min_us": 200_000, "tcp_frto": 1},
    ),
    Entry("empty", 12, ()),
)
# As the first version wrote it.
FIRST = """[{"name": "web", "inode": 11, "attached": [
    {"device": "eth0", "index": 2, "made_qdisc": true, "gso_max_size": 65536}]}]"""


@pytest.fixture
def path(tmp_path):
    """Where a record has been written."""
    found = tmp_path / "run" / "attached.json"
    record.write(found, ENTRIES)
    return found


def test_round_trip(path):
    """What is read is what was written."""

    assert ENTRIES == record.read(path)


def test_ways_are_ways(path):
    """What is read can be told apart by identity, as what was written."""
    (api,) = record.read(path)[1].attached

    assert api.way is Way.TCX
    assert api.guard is not None
    assert api.guard.way is Way.TCX


def test_of_the_first_version(path):
    """An upgrade knows what the version before attached, and that it was by clsact."""
    path.write_text(FIRST)
    attached = Attached(device="eth0", index=2, made_qdisc=True, gso_max_size=65536)

    assert (Entry("web", 11, (attached,)),) == record.read(path)


@pytest.mark.parametrize(("floor", "tcp"), [(200_000, {"tcp_rto_min_us": 200_000}), (None, {})])
def test_of_a_version_with_one_setting(path, floor, tcp):
    """What it wrote of the floor of TCP's timeout is put back by this one."""
    raw = json.loads(path.read_text())
    for item in raw:
        del item["tcp"]
        item["rto_us"] = floor
    path.write_text(json.dumps(raw))

    assert [tcp] * len(ENTRIES) == [one.tcp for one in record.read(path)]


@pytest.mark.parametrize("tcp", ["7", "null", "[]", '{"tcp_frto": "many"}', '{"tcp_frto": null}'])
def test_harmed_settings(path, tcp: str):
    """Nor are settings half read."""
    raw = json.loads(path.read_text())
    raw[1]["tcp"] = json.loads(tcp)
    path.write_text(json.dumps(raw))

    assert () == record.read(path)


def test_replaced_whole(path):
    """A second record takes the first's place, and no partial file stays."""
    record.write(path, ENTRIES[:1])

    assert ENTRIES[:1] == record.read(path)
    assert [path] == list(path.parent.iterdir())


def test_private(path):
    """Nobody but the owner writes in its directory; the API's socket there is for others too."""

    assert 0o755 == path.parent.stat().st_mode & 0o777


def test_missing(tmp_path):
    """No record means that nothing is attached."""

    assert () == record.read(tmp_path / "missing.json")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "{}x",
        "[1]",
        '[{"name": "x"}]',
        "7",
        "null",
        '[{"name":1,"inode":2,"attached":[{}]}]',
    ],
)
def test_harmed(path, text: str):
    """What cannot be read is nothing, and no error: the gateway must start."""
    path.write_text(text)

    assert () == record.read(path)


def test_of_another_version(path):
    """A field that is not known makes the record unreadable, not half read."""
    raw = json.loads(path.read_text())
    raw[0]["attached"][0]["colour"] = 5
    path.write_text(json.dumps(raw))

    assert () == record.read(path)


@pytest.mark.parametrize("guard", ["7", '{"device": "x"}', '{"way": "none"}'])
def test_harmed_guard(path, guard: str):
    """Nor is a guard half read."""
    raw = json.loads(path.read_text())
    raw[1]["attached"][0]["guard"] = json.loads(guard)
    path.write_text(json.dumps(raw))

    assert () == record.read(path)


def test_age(path, tmp_path):
    """Seconds since it was written; nothing of one that is not there."""
    os.utime(path, (0, path.stat().st_mtime - 30))

    assert 30 <= record.age(path) < 40
    assert 0 == record.age(tmp_path / "missing.json")


async def test_keeper(tmp_path):
    """Many changes in a moment are two writings: one at once, and one of how it ended."""
    entries = [ENTRIES[0]]
    path = tmp_path / "attached.json"
    keeper = record.Keeper(path, lambda: entries)
    keeper.changed()
    first = record.read(path)
    entries.append(ENTRIES[2])
    keeper.changed()
    entries.append(ENTRIES[1])
    keeper.changed()
    second = record.read(path)
    async with asyncio.timeout(5):
        while record.read(path) == second:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.01)

    assert first == second == (ENTRIES[0],)
    assert (ENTRIES[0], ENTRIES[2], ENTRIES[1]) == record.read(path)


async def test_keeper_at_the_end(tmp_path):
    """What was not written yet is written when it is closed."""
    entries = [ENTRIES[0]]
    path = tmp_path / "attached.json"
    keeper = record.Keeper(path, lambda: entries)
    keeper.changed()
    entries.append(ENTRIES[1])
    keeper.changed()
    keeper.close()

    assert tuple(entries) == record.read(path)
