"""What a release says of itself."""

from __future__ import annotations

import json

import pytest

from dlp.errors import ReleaseError
from dlp.releases import metadata
from dlp.releases.metadata import create, pack_files, pack_of, parse, path_of
from tests.releases.conftest import LATER


def raw(**changes):
    found = json.loads(create({"own": b"x"}, version=3, expires=LATER).to_bytes())
    found["signed"].update(changes)
    return json.dumps(found, sort_keys=True, separators=(",", ":")).encode()


def test_round_trip():
    """Version, expiry and packs come back."""
    found = parse(create({"b": b"xy", "a": b""}, version=3, expires=LATER).to_bytes())

    assert (3, LATER) == (found.signed.version, found.signed.expires)
    assert [("a", 0), ("b", 2)] == [(one.name, one.length) for one in pack_files(found)]


@pytest.mark.parametrize("version", [0, -1, 2**31])
def test_versions(version):
    """A version is a positive number that a database holds."""
    with pytest.raises(ReleaseError):
        create({"a": b""}, version=version, expires=LATER)
    with pytest.raises(ReleaseError):
        parse(raw(version=version))


def test_count():
    """A release holds packs, and not too many."""
    for packs in ({}, {f"p{number}": b"" for number in range(metadata.PACKS + 1)}):
        with pytest.raises(ReleaseError):
            create(packs, version=1, expires=LATER)
    with pytest.raises(ReleaseError):
        parse(raw(targets={}))


@pytest.mark.parametrize(
    "targets",
    [
        {"../x": {"hashes": {"sha256": "00"}, "length": 1}},
        {"packs/a.yaml": {"hashes": {"md5": "00"}, "length": 1}},
        {"packs/a.yaml": {"hashes": {"sha256": "00", "md5": "00"}, "length": 1}},
        {"packs/a.yaml": {"hashes": {"sha256": "00"}, "length": -1}},
        {"packs/a.yaml": {"hashes": {"sha256": "00"}, "length": 1, "custom": {}}},
        [],
    ],
)
def test_hostile(targets):
    """Other paths, other digests, other keys: refused."""
    with pytest.raises(ReleaseError):
        parse(raw(targets=targets))


def test_no_delegation():
    """A release that hands its right to sign on is refused."""
    with pytest.raises(ReleaseError):
        parse(raw(delegations={"keys": {}, "roles": []}))


def test_paths():
    """Names and paths are each other's inverse."""
    assert "pii-us" == pack_of(path_of("pii-us"))
    assert None is pack_of("packs/../x.yaml")
