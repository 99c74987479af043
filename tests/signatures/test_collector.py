"""The search for garbage, put off."""

from __future__ import annotations

import gc

import pytest

from dlp.signatures.collector import paused


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
