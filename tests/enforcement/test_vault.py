"""The files of releases."""

from __future__ import annotations

import errno
import stat

import pytest

from dlp.enforcement.vault import Vault
from dlp.errors import ReleaseError, StoreError


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "state" / "releases"


@pytest.fixture
def vault(directory):
    return Vault(directory)


async def chunks(*parts):
    for part in parts:
        yield part


async def test_receive(vault, directory):
    """An upload comes back whole; its file is gone."""
    assert b"abcdef" == await vault.receive(chunks(b"abc", b"", b"def"), 6)
    with pytest.raises(ReleaseError):
        await vault.receive(chunks(b"abc", b"defg"), 6)

    assert [] == list(directory.iterdir())


def test_archives(vault, directory):
    """An archive is read as it was kept; nobody else can read it."""
    vault.keep(7, b"abc")

    assert b"abc" == vault.read(7)
    assert 0o600 == stat.S_IMODE((directory / "7.dlp").stat().st_mode)
    assert 0o700 == stat.S_IMODE(directory.stat().st_mode)
    with pytest.raises(ReleaseError):
        vault.read(8)


def test_keep_only(vault, directory):
    """Other archives go, and nothing else; none at all is no error."""
    vault.keep_only({7})
    for version in (7, 17, 77):
        vault.keep(version, b"abc")
    vault.keep_override("own", b"x")
    vault.keep_only({7, 8})

    assert [True, False, False] == [vault.has(version) for version in (7, 17, 77)]
    assert ["7.dlp", "development"] == sorted(path.name for path in directory.iterdir())


def test_whole_or_not(vault, directory, monkeypatch):
    """Where the disk is full, what was there is there, and nothing half written."""
    vault.keep(7, b"before")

    def full(*_):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("os.write", full)
    with pytest.raises(StoreError):
        vault.keep(7, b"after")
    assert b"before" == vault.read(7)
    assert ["7.dlp"] == [path.name for path in directory.iterdir()]


def test_root(vault, directory):
    """A newer root is remembered for the trust that led to it, and for no other."""
    assert b"one" == vault.root(b"one")
    vault.keep_root(b"one", b"two")

    assert (b"two", b"other") == (vault.root(b"one"), vault.root(b"other"))
    (directory / "root.of").unlink()
    assert b"one" == vault.root(b"one")


def test_overrides(vault):
    """Overrides are kept by name until they are forgotten."""
    vault.keep_override("own", b"x")
    vault.keep_override("a.b.c", b"y")
    assert {"a.b.c": b"y", "own": b"x"} == vault.overrides()

    vault.forget_override("own")
    vault.forget_override("own")
    assert ["a.b.c"] == list(vault.overrides())
    vault.forget_overrides()
    assert {} == vault.overrides()


def test_sweep(vault, directory):
    """What a killed process had begun is removed; all else stays."""
    vault.keep(7, b"abc")
    (directory / "incoming-0123").write_bytes(b"x")
    vault.sweep()

    assert ["7.dlp"] == [path.name for path in directory.iterdir()]
