"""The search for garbage, put off."""

from __future__ import annotations

import gc
import weakref

import pytest

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


def ring() -> weakref.ref[Node]:
    one = Node()
    one.itself = one
    return weakref.ref(one)


@pytest.mark.usefixtures("thawed")
def test_settled():
    """What there is is not looked through again; what was garbage by then is gone."""
    kept, garbage = Node(), ring()
    settle()

    assert garbage() is None
    assert all(one is not kept for one in gc.get_objects())


@pytest.mark.usefixtures("thawed")
def test_settled_anew():
    """What was here to stay and has become garbage since goes with the next call."""
    kept = Node()
    kept.itself, seen = kept, weakref.ref(kept)
    settle()
    del kept
    gc.collect()
    before = seen() is not None
    settle()

    assert before
    assert seen() is None
