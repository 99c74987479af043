"""A value at its segment's very end, and a next byte that would make it none, but never leaves.

The segment waits for the byte behind it. That is a digit: the number is too long for a card, the
segment may leave. The next segment, which the digit opens, holds a decoy that any policy stops:
the stream ends behind the value.
"""

from __future__ import annotations

import time

from attacks.connection import drained, give_up
from attacks.target import Target, refused

# Longer than a segment takes, or TCP would send both as one the second time.
DECOY = b"5 and 4111 1111 1111 1111 too" + b", and so on" * 200 + b"\n"
PAUSES = (0.0, 0.002, 0.02)


def main(target: Target) -> None:
    """With some pauses between the two."""
    first = target.payload[: target.payload.index(target.secret) + len(target.secret)]
    for pause in PAUSES:
        made = target.tcp()
        try:
            with refused():
                made.sendall(b"hello\n")
                drained(made)
                made.sendall(first)
                time.sleep(pause)
                made.sendall(DECOY)
            drained(made, 1.5)
        finally:
            give_up(made)
