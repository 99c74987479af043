"""The release store."""

from __future__ import annotations

import dataclasses
import sqlite3

import pytest

from dlp.errors import StoreError
from dlp.releases.canary import Canary
from dlp.releases.life import State
from dlp.service import ReleaseStep
from dlp.store.verdicts import VerdictStore
from tests.api.fake import make_release


def step(version=7, **changes):
    values = {"time": 5.0, "version": version, "who": "x", "what": "upload"}
    return ReleaseStep(**(values | {"before": "", "after": "uploaded"} | changes))


@pytest.fixture
async def store(tmp_path):
    async with await VerdictStore.open(tmp_path / "verdicts.db") as opened:
        yield opened.releases


async def test_round_trip(store):
    """A release comes back as it was, also its canary, and to another process."""
    plain = make_release(7)
    canary = make_release(
        8, state=State.CANARY, canary=Canary(netns=("w*",), percent=5), went_live=3.5, before=7
    )
    await store.record([plain, canary], [step(7), step(8)])

    assert [canary, plain] == await store.all()
    assert plain == await store.get(7)
    assert None is await store.get(9)


async def test_steps(store):
    """Steps are kept for good, the latest first; a release's own, or all."""
    await store.record([make_release(7)], [step(7), step(7, what="verify")])
    await store.record([], [step(0, what="upload", after="rejected", reason="expired")])

    assert ["verify", "upload"] == [one.what for one in await store.steps(7)]
    assert [0, 7, 7] == [one.version for one in await store.steps()]
    assert [3, 2, 1] == [one.id for one in await store.steps()]


async def test_all_or_nothing(store):
    """A state without its step, or a step without its state, is never stored."""
    wrong = dataclasses.replace(make_release(8), size=2**80)
    with pytest.raises(StoreError):
        await store.record([make_release(7), wrong], [step(7)])

    assert ([], []) == (await store.all(), await store.steps())


async def test_unknown_state(tmp_path):
    """A state that a later gateway wrote is an error that says so."""
    path = tmp_path / "verdicts.db"
    async with await VerdictStore.open(path) as opened:
        await opened.releases.record([make_release(7)], [])
    with sqlite3.connect(path) as later:
        later.execute("UPDATE signature_release SET state = 'frozen'")
    later.close()
    async with await VerdictStore.open(path) as opened:
        with pytest.raises(StoreError, match="release 7"):
            await opened.releases.all()
