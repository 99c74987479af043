"""A value at its segment's very end, and a next byte that would make it none, but never leaves.

The segment waits for the byte behind it. That is a digit: the number is too long for a card, the
segment may leave. The next segment, which the digit opens, holds a decoy that any policy stops:
the stream ends behind the value. `apart`: the next segment is longer than TCP takes to send both as
one the second time. Nobody knows then at the first segment that the second will be stopped.
"""

from __future__ import annotations

import time

from attacks.connection import drained, give_up
from attacks.target import Target, refused

DECOY = b"5 and 4111 1111 1111 1111 too"
MORE = b", and so on" * 200
PAUSES = (0.0, 0.002, 0.02)


def main(target: Target) -> None:
    """With some pauses between the two."""
    first = target.payload[: target.payload.index(target.secret) + len(target.secret)]
    second = DECOY + (MORE if target.args.get("apart") else b"") + b"\n"
    for pause in PAUSES:
        made = target.tcp()
        try:
            with refused():
                made.sendall(b"hello\n")
                drained(made)
                made.sendall(first)
                time.sleep(pause)
                made.sendall(second)
            drained(made, 1.5)
        finally:
            give_up(made)
