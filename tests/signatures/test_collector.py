"""The search for garbage, put off."""

from __future__ import annotations

import gc
import itertools
import weakref

import pytest

from dlp.enforcement.loaded import prepare
from dlp.signatures import collector
from dlp.signatures.collector import paused, settle


def test_put_off():
    """Within it is off, also where it is asked for twice; afterwards it is as it was."""
    assert gc.isenabled()
    with paused():
        with paused():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()

    gc.disable()
    try:
        with paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_after_an_error():
    """It is looked for again, whatever happened within."""
    with pytest.raises(ZeroDivisionError), paused():
        raise ZeroDivisionError
    assert gc.isenabled()


@pytest.fixture
def thawed():
    yield
    gc.unfreeze()


class Node:
    """Part of a ring, so that only a search finds that it is garbage."""


@pytest.mark.usefixtures("thawed")
def test_settled():
    """What there is is not looked through again, what comes is."""
    kept = Node()
    settle()
    come = Node()
    come.itself, gone = come, weakref.ref(come)
    del come
    gc.collect()

    assert gone() is None
    assert all(one is not kept for one in gc.get_objects())


@pytest.mark.usefixtures("thawed")
def test_set_is_freed(tmp_path):
    """One that is replaced leaves nothing behind that only a search would find."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "version: 1\nsignatures: [pci]\nworkloads: {netns: [web]}\n"
        "policies: [{name: all, match: {}, rules: [{signatures: ['*'], action: hold}]}]\n"
    )
    gc.collect()
    with paused():
        loaded = prepare(policy)
        settle()
        before = gc.get_freeze_count()
        del loaded

        assert before - gc.get_freeze_count() > 1000
        assert gc.collect() == 0


@pytest.mark.usefixtures("thawed")
def test_garbage_does_not_stay(monkeypatch):
    """What was garbage when a set settled is found before long, however often sets change."""
    monkeypatch.setattr(collector, "_calls", itertools.count(1))
    ring = Node()
    ring.itself, gone = ring, weakref.ref(ring)
    del ring
    settle()
    gc.collect()
    kept = gone() is not None
    for _ in range(64):
        settle()

    assert kept
    assert gone() is None
