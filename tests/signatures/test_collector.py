"""Work without the garbage collector."""

import gc

import pytest

from dlp.signatures.collector import without_collector


def test_back_as_it_was():
    """It is off meanwhile, and then as before, whatever happened."""
    for before in (gc.enable, gc.disable):
        before()
        was = gc.isenabled()
        try:
            with without_collector():
                assert not gc.isenabled()
            with pytest.raises(ZeroDivisionError), without_collector():
                raise ZeroDivisionError
            assert was is gc.isenabled()
        finally:
            gc.enable()
