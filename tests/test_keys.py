"""The digests' key: made once, for one user only."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dlp.errors import StoreError
from dlp.keys import LENGTH, NAME, load_or_create


def test_created(tmp_path: Path):
    """Directory 0700, file 0600, 32 bytes, the same ever after, whatever the umask."""
    state = tmp_path / "a" / "state"
    before = os.umask(0)
    try:
        key = load_or_create(state)
    finally:
        os.umask(before)

    assert LENGTH == len(key)
    assert 0o700 == stat.S_IMODE(state.stat().st_mode)
    assert 0o600 == stat.S_IMODE((state / NAME).stat().st_mode)
    assert key == load_or_create(state)
    assert [NAME] == [file.name for file in state.iterdir()]
    assert key != load_or_create(tmp_path / "other")


def test_race(tmp_path: Path):
    """Of many that create it at once, all get the same key."""
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(lambda _: load_or_create(tmp_path / "state"), range(64)))

    assert 1 == len(keys)
    assert [NAME] == [file.name for file in (tmp_path / "state").iterdir()]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_open_file(tmp_path: Path, mode):
    """A key that others may have read is refused, and stays as it is."""
    load_or_create(tmp_path)
    (tmp_path / NAME).chmod(mode)

    with pytest.raises(StoreError, match=f"mode {mode:04o}.*chmod 0600"):
        load_or_create(tmp_path)
    assert mode == stat.S_IMODE((tmp_path / NAME).stat().st_mode)


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_open_directory(tmp_path: Path, mode):
    """So is a directory that others may enter."""
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(mode)

    with pytest.raises(StoreError, match="chmod 0700"):
        load_or_create(state)
    assert [] == list(state.iterdir())


@pytest.mark.parametrize("length", [0, 31, 33])
def test_wrong_length(tmp_path: Path, length):
    """A file of another length is no key, and is not replaced."""
    file = tmp_path / NAME
    file.write_bytes(b"x" * length)
    file.chmod(0o600)

    with pytest.raises(StoreError, match="does not hold 32 bytes"):
        load_or_create(tmp_path)
    assert length == len(file.read_bytes())


def test_no_file(tmp_path: Path):
    """Links, pipes and directories in its place are refused without following or waiting."""
    (tmp_path / "target").write_bytes(b"x" * 32)
    (tmp_path / NAME).symlink_to("target")
    with pytest.raises(StoreError):
        load_or_create(tmp_path)
    (tmp_path / NAME).unlink()
    os.mkfifo(tmp_path / NAME, 0o600)
    with pytest.raises(StoreError, match="not a regular file"):
        load_or_create(tmp_path)


def test_no_directory(tmp_path: Path):
    """A state directory that cannot be made is told with a remedy."""
    (tmp_path / "file").touch()

    with pytest.raises(StoreError, match="state_dir"):
        load_or_create(tmp_path / "file" / "state")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_foreign_owner(tmp_path: Path):
    """What another user owns, that user can change."""
    load_or_create(tmp_path)
    os.chown(tmp_path / NAME, 4321, -1)
    with pytest.raises(StoreError, match="another user"):
        load_or_create(tmp_path)
    os.chown(tmp_path, 4321, -1)
    with pytest.raises(StoreError, match="another user"):
        load_or_create(tmp_path)
