"""What is to run when the gateway starts."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime, timedelta

import pytest

from dlp.config import load
from dlp.enforcement.restored import read, read_trust, restore
from dlp.enforcement.vault import Vault
from dlp.errors import ConflictError, ReleaseError
from dlp.releases.canary import Canary
from dlp.releases.life import State
from dlp.store.verdicts import VerdictStore
from tests.api.fake import make_release
from tests.releases.conftest import PACK, Makes

THEN = datetime.now(UTC) + timedelta(days=9)


@pytest.fixture(scope="module")
def makes():
    made = Makes()
    made.root.signed.expires = THEN.replace(microsecond=0)
    made.root.sign(made.keys[0].signer)
    return made


@pytest.fixture
def config(tmp_path, makes):
    (tmp_path / "base.yaml").write_text(PACK.replace("own", "base"))
    (tmp_path / "root.json").write_bytes(makes.root_bytes)
    (tmp_path / "dlp.yaml").write_text(
        f"version: 1\nstate_dir: {tmp_path}/state\nsignatures: [./base.yaml]\n"
        "releases: {trust: root.json}\npolicies: [{name: a, rules: []}]\n"
    )
    return load(tmp_path / "dlp.yaml")


@pytest.fixture
async def store(config):
    async with await VerdictStore.open(config.verdicts_file) as opened:
        yield opened.releases


@pytest.fixture
def vault(config):
    return Vault(config.releases_dir)


def archive(makes, version, expires=THEN):
    return makes.release(version, {"own": PACK.encode()}, expires=expires)


async def test_nothing(config, store, vault):
    """Where no release is live, the policy file's packs run."""
    found = await restore(config, store, vault)

    assert (0, ["base"], ()) == (
        found.sets.release,
        [one.name for one in found.sets.packs],
        found.notes,
    )


async def test_live_and_canary(config, store, vault, makes):
    """What was live is live again, and its canary beside it."""
    for version in (7, 8):
        vault.keep(version, archive(makes, version))
    canary = Canary(netns=("web",))
    await store.record(
        [make_release(7, state=State.LIVE), make_release(8, state=State.CANARY, canary=canary)], []
    )

    found = await restore(config, store, vault)
    assert (7, 8, canary, ()) == (
        found.sets.release,
        found.sets.beside.version,
        found.sets.beside.canary,
        found.notes,
    )
    assert {"release 7", "the trust"} == set(found.expires)


async def test_expired(config, store, vault, makes):
    """One that has expired meanwhile runs; its end is handed on for the health."""
    vault.keep(7, archive(makes, 7, datetime(2020, 1, 1, tzinfo=UTC)))
    await store.record([make_release(7, state=State.LIVE)], [])

    found = await restore(config, store, vault)
    assert 7 == found.sets.release
    assert found.expires["release 7"] < time.time()


async def test_lost(config, store, vault):
    """One whose archive is gone is rejected and told of, never dropped silently."""
    await store.record([make_release(7, state=State.LIVE, before=0)], [])

    found = await restore(config, store, vault)
    assert (0, 1) == (found.sets.release, len(found.notes))
    assert State.REJECTED is (await store.get(7)).state
    assert "restore" == (await store.steps(7))[0].what


async def test_no_trust(config, store, vault, makes):
    """Without a trust nothing that was signed is believed."""
    vault.keep(7, archive(makes, 7))
    await store.record([make_release(7, state=State.LIVE)], [])
    blind = dataclasses.replace(config, releases=dataclasses.replace(config.releases, trust=None))

    found = await restore(blind, store, vault)
    assert (0, 1) == (found.sets.release, len(found.notes))
    with pytest.raises(ConflictError):
        read_trust(blind)


def test_read(config, vault, makes):
    """What is read is verified; another version's archive is not it."""
    vault.keep(7, archive(makes, 7))
    vault.keep(8, archive(makes, 7))

    assert 7 == read(vault, makes.root_bytes, 7).version
    with pytest.raises(ReleaseError, match="holds release 7"):
        read(vault, makes.root_bytes, 8)
