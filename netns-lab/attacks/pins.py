"""What the gateway keeps in the kernel, looked for from inside: files, ids, filters.

Whatever can be opened would be used; then the value is sent as it is. Anything found is a fault,
told by the exit status.
"""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

from attacks.connection import leak, leak_in_halves
from attacks.inner import libc, new_namespace, run
from attacks.target import Impossible, Target

SYS_BPF = 321
OBJ_GET, PROG_GET_NEXT_ID, MAP_GET_NEXT_ID, MAP_GET_FD_BY_ID, LINK_GET_NEXT_ID = 7, 11, 12, 14, 31
CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x20000
PLACES = ("/sys/fs/bpf/dlp", "/run/dlp")


def bpf(command: int, attributes: bytes) -> int:
    """The system call; -1 where it is refused."""
    buffer = ctypes.create_string_buffer(attributes.ljust(72, b"\0"))
    return int(libc.syscall(SYS_BPF, command, buffer, 72))


def pinned() -> list[str]:
    """Files of the gateway that can be seen here."""
    return [
        str(path)
        for place in PLACES
        if os.access(place, os.R_OK | os.X_OK)
        for path in Path(place).rglob("*")
    ]


def openable(paths: list[str]) -> list[str]:
    """Those that the system call opens."""
    found = []
    for path in paths:
        name = ctypes.create_string_buffer(path.encode())
        if bpf(OBJ_GET, struct.pack("=QII", ctypes.addressof(name), 0, 0)) >= 0:
            found.append(path)
    return found


def own_mount() -> list[str]:
    """What a bpffs of one's own shows; a child looks, in namespaces of its own."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if libc.unshare(CLONE_NEWNS):
                new_namespace()
                libc.unshare(CLONE_NEWUSER | CLONE_NEWNS)
            if libc.mount(b"bpf", b"/mnt", b"bpf", 0, None) == 0:
                os.write(
                    writing, "\n".join([path.name for path in Path("/mnt").iterdir()]).encode()
                )
        except Impossible:
            pass
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as answer:
        return answer.read().split()


def in_sight() -> list[str]:
    """Places of the gateway that are there, whether or not they can be looked into."""
    return [place for place in PLACES if os.path.lexists(place)]


def main(target: Target) -> None:
    """Look, then send.

    Raises:
        RuntimeError: something can be reached; or all is out of sight, so that nothing is proved.
    """
    if target.args.get("in_sight") and not in_sight():
        raise RuntimeError("nothing of the gateway's is in sight")
    found = openable(pinned()) + own_mount()
    for command in (PROG_GET_NEXT_ID, MAP_GET_NEXT_ID, LINK_GET_NEXT_ID):
        if bpf(command, struct.pack("=II", 0, 0)) >= 0:
            found.append(f"ids by bpf({command})")
    if bpf(MAP_GET_FD_BY_ID, struct.pack("=III", 1, 0, 0)) >= 0:
        found.append("a map by its id")
    run("tc", "filter", "show", "dev", target.device, "egress", check=False)
    leak(target)
    leak_in_halves(target)
    if found:
        raise RuntimeError(f"reachable from inside: {', '.join(found[:5])}")
