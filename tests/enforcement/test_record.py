"""What was attached where, on disk."""

import json

import pytest

from dlp.datapath.attach import Attached
from dlp.enforcement import record
from dlp.enforcement.record import Entry

ENTRIES = (
    Entry("web", 11, (Attached(device="eth0", index=2, made_qdisc=True),)),
    Entry("empty", 12, ()),
)


@pytest.fixture
def path(tmp_path):
    """Where a record has been written."""
    found = tmp_path / "run" / "attached.json"
    record.write(found, ENTRIES)
    return found


def test_round_trip(path):
    """What is read is what was written."""

    assert ENTRIES == record.read(path)


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
    raw[0]["attached"][0]["link"] = 5
    path.write_text(json.dumps(raw))

    assert () == record.read(path)
