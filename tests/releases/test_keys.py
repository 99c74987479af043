"""Key pairs in files."""

from __future__ import annotations

import json
import stat

import pytest

from dlp.errors import Place, ReleaseError, UsageError
from dlp.releases import keys


@pytest.fixture
def pair(tmp_path):
    return keys.create(tmp_path, "alice")


def test_pair(tmp_path, pair):
    """A pair comes back out of its files; only its owner may read the private half."""
    private, public = tmp_path / "alice.key", tmp_path / "alice.pub"

    assert pair.public == keys.read_private(private).public == keys.read_public(public)
    assert 0o600 == stat.S_IMODE(private.stat().st_mode)
    assert pair.public.value not in private.read_text()


def test_never_over(tmp_path, pair):
    """A key that is there is never written over, nor is half a pair left behind."""
    with pytest.raises(UsageError):
        keys.create(tmp_path, "alice")
    (tmp_path / "bob.pub").write_text("x")
    with pytest.raises(UsageError):
        keys.create(tmp_path, "bob")

    assert pair.public == keys.read_private(tmp_path / "alice.key").public
    assert not (tmp_path / "bob.key").exists()


@pytest.mark.parametrize("name", ["", "../x", ".hidden", "a b", "a" * 65])
def test_names(tmp_path, name):
    """A name cannot lead out of the directory."""
    with pytest.raises(UsageError):
        keys.create(tmp_path, name)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_open_to_others(tmp_path, pair, mode):
    """A private key that others may read is refused."""
    (tmp_path / "alice.key").chmod(mode)

    with pytest.raises(ReleaseError, match="open to other users"):
        keys.read_private(tmp_path / "alice.key")


def test_passphrase(tmp_path):
    """A key under a passphrase opens with that one only."""
    made = keys.create(tmp_path, "bob", passphrase=b"correct horse")
    path = tmp_path / "bob.key"

    assert "ENCRYPTED" in path.read_text()
    assert made.public == keys.read_private(path, passphrase=b"correct horse").public
    for wrong in (b"", b"battery"):
        with pytest.raises(ReleaseError) as caught:
            keys.read_private(path, passphrase=wrong)
        assert "passphrase" == caught.value.reason


def test_no_passphrase(tmp_path, pair):
    """A passphrase for a key that has none is an error, not ignored."""
    with pytest.raises(ReleaseError, match="has no passphrase"):
        keys.read_private(tmp_path / "alice.key", passphrase=b"x")


def test_no_key(tmp_path):
    """What is no key says so without quoting itself."""
    (tmp_path / "x.key").write_text("hunter2")
    (tmp_path / "x.key").chmod(0o600)
    with pytest.raises(ReleaseError) as caught:
        keys.read_private(tmp_path / "x.key")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ReleaseError):
        keys.read_private(tmp_path / "missing.key")
    with pytest.raises(ReleaseError):
        keys.read_public(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"keyid": "0" * 64},
        {"keytype": "rsa"},
        {"scheme": "x"},
        {"keyval": {"public": "00"}},
        {"keyval": {"public": "AB" * 32}},
        {"keyval": {}},
        {"keyval": None},
    ],
)
def test_public_keys(pair, change):
    """A public key of another kind, or under an id that is not its digest, is refused."""
    shown = json.loads(pair.public.document()) | change

    with pytest.raises(ReleaseError):
        keys.parse_public(json.dumps(shown).encode(), Place(None))


def test_no_leak(pair):
    """A private key does not show itself."""
    secret = pair.signer.private_bytes.decode().splitlines()[1]

    assert secret not in repr(pair)
