"""Runs one attack script with the privileges of its row, inside a workload.

`python attacker.py` with a JSON document on standard input: `script`, `caps`, `target`. Exit
status 0: tried; 77: cannot be tried here, with the reason on standard output; else a fault.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import struct
import sys

from attacks.target import Impossible, Target

IMPOSSIBLE = 77
NOBODY = 65534
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
CAPABILITY_VERSION_3 = 0x20080522
LAST_CAPABILITY = 40  # CHECKPOINT_RESTORE; a number the kernel lacks is refused and harmless
NET_ADMIN, NET_RAW = 12, 13
# What Docker gives to a container that asks for nothing (moby, oci/caps/defaults.go).
DOCKER = frozenset({0, 1, 3, 4, 5, 6, 7, 8, 10, NET_RAW, 18, 27, 29, 31})
SETS = {"none": frozenset[int](), "docker": DOCKER, "net_admin": DOCKER | {NET_ADMIN}}


def restrict(kept: frozenset[int]) -> None:
    """Give up all capabilities but these, for good: programs started later lack them too.

    Raises:
        OSError: the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    for number in range(64):
        if number not in kept and libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0):
            if number <= LAST_CAPABILITY:
                raise OSError(ctypes.get_errno(), f"capability {number} cannot be given up")
            break
    if not kept:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    mask = sum(1 << number for number in kept)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = struct.pack("=Ii", CAPABILITY_VERSION_3, 0)
    # Twice effective, permitted, inheritable: the low 32 capabilities, then the others.
    data = struct.pack("=6I", low, low, 0, high, high, 0)
    if libc.capset(header, data):
        raise OSError(ctypes.get_errno(), "capabilities cannot be set")


def main() -> int:
    """Take the order, give up privileges, attack."""
    order = json.loads(sys.stdin.buffer.read())
    script = importlib.import_module(f"attacks.{order['script']}")
    target = Target.of(order["target"])
    restrict(SETS[order["caps"]])
    try:
        script.main(target)
    except Impossible as reason:
        print(reason, flush=True)
        return IMPOSSIBLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
