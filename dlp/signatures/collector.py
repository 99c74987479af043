"""Python's search for garbage, put off while a large set is made.

A set is a million small values that all stay: looking for garbage among them doubles the time.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


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
