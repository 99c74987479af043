"""Python's search for garbage, put off while a large set is made.

A set is a million small values that all stay: looking for garbage among them doubles the time.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Final

_SEARCH_EVERY: Final = 64
_calls = count()


def settle() -> None:
    """Look for garbage no more among what is there: it is here to stay.

    A search through a whole set takes 50 to 250 ms, in which no other thread runs: neither one
    that closes new devices nor one that hands matches on. A set is freed all the same when
    nothing refers to it, as it holds no rings. Garbage that is there now stays until one of
    the next calls looks for it.
    """
    if next(_calls) % _SEARCH_EVERY == 0:
        gc.unfreeze()
        gc.collect()
    gc.freeze()


@contextmanager
def paused() -> Iterator[None]:
    """No garbage is looked for within; of several at one time the first one ends it for all."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
