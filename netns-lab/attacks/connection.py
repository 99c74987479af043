"""Sending the value over TCP and giving up in time, for attacks that are not about packets."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import termios
import time

from attacks.target import Target, refused

PATIENCE = 1.0  # seconds: some retransmissions, then the attacker gives up
POLL = 0.005
PACE = 0.02  # seconds between two parts, so that each is a segment


def leak(target: Target, *, message: bytes = b"", patience: float = PATIENCE) -> bool:
    """Send a message (usually the payload) over a new connection; whether it was taken in time."""
    return leak_parts(target, message or target.payload, patience=patience)


def leak_in_halves(target: Target, *, patience: float = PATIENCE) -> bool:
    """As `leak`, in two segments with the cut inside the value."""
    return leak_parts(target, *halves(target), patience=patience)


def halves(target: Target) -> tuple[bytes, bytes]:
    """The payload, cut inside the value."""
    cut = target.payload.index(target.secret) + len(target.secret) // 2
    return target.payload[:cut], target.payload[cut:]


def leak_parts(target: Target, *parts: bytes, patience: float = PATIENCE) -> bool:
    """Send parts with a pause between them; whether all was acknowledged in time."""
    try:
        made = target.tcp(timeout=patience)
    except OSError:
        return False
    try:
        for number, part in enumerate(parts):
            if number:
                time.sleep(PACE)
            made.sendall(part)
        return drained(made, patience)
    except OSError:
        return False
    finally:
        give_up(made)


def drained(made: socket.socket, patience: float = PATIENCE) -> bool:
    """Wait until the peer has acknowledged everything; whether it did in time."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            return False
        if unacknowledged(made) == 0:
            return True
        time.sleep(POLL)
    return False


def unacknowledged(made: socket.socket) -> int:
    """Bytes of a TCP socket that the peer has not acknowledged (SIOCOUTQ)."""
    with contextlib.suppress(OSError):
        answer = fcntl.ioctl(made.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
        return int(struct.unpack("i", answer)[0])
    return 0


def give_up(made: socket.socket) -> None:
    """Close at once; what is queued is thrown away."""
    with refused():
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    made.close()
