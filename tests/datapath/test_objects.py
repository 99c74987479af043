"""Compiled programs as a file."""

import json

import pytest

from dlp.datapath import objects
from dlp.datapath.objects import KernelObject, MapSpec, ProgramSpec

OBJECT = KernelObject(
    digest="0123456789abcdef",
    state="fedcba9876543210",
    headers="assembled",
    compile_s=2.5,
    programs={"entry": ProgramSpec("18" * 16, {0: "flows", 7: "programs"})},
    maps={"flows": MapSpec(9, 56, 240, 65536, 0)},
)


@pytest.fixture
def path(tmp_path):
    """Where an object has been written."""
    found = tmp_path / "cache" / "object.json"
    OBJECT.write(found)
    return found


def test_round_trip(path):
    """What is read is what was written, numbers as numbers."""

    assert OBJECT == objects.read(path)


def test_private(path):
    """Its contents run in the kernel: nobody else may write them, or the directory."""

    assert 0o600 == path.stat().st_mode & 0o777
    assert 0o700 == path.parent.stat().st_mode & 0o777


def test_written_whole(path):
    """No partial file stays beside it, and a second write replaces it."""
    OBJECT.write(path)

    assert [path] == list(path.parent.iterdir())


def test_missing(tmp_path):
    """No file is no object."""

    assert objects.read(tmp_path / "missing") is None


@pytest.mark.parametrize("size", [0, 1, 50, -1])
def test_truncated(path, size: int):
    """A file that was cut short is none."""
    path.write_bytes(path.read_bytes()[:size])

    assert objects.read(path) is None


@pytest.mark.parametrize(
    "raw", [None, [], {}, {"programs": {}, "maps": []}, {"programs": {"entry": 1}, "maps": {}}]
)
def test_other_shape(path, raw):
    """JSON of another shape is no object, and no error."""
    path.write_text(json.dumps(raw))

    assert objects.read(path) is None


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_writable_by_others(path, mode: int):
    """What others could have written is not loaded into the kernel."""
    path.chmod(mode)

    assert objects.read(path) is None


def test_of_another_user(path, monkeypatch):
    """What belongs to another is not loaded either."""
    monkeypatch.setattr("os.geteuid", lambda: 12345)

    assert objects.read(path) is None
