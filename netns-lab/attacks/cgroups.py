"""A socket and its process in different cgroups, one of which has a laxer policy.

`way`: `migrate` a connection made here, its process moved to the laxer cgroup; `pass` one made
here and sent to a process there, which writes to it.
"""

from __future__ import annotations

import array
import os
import socket
from pathlib import Path

from attacks.connection import drained, give_up
from attacks.target import Impossible, Target, refused


def cgroup() -> Path:
    """Of the calling process, in the mount of version 2."""
    own = next(
        line.split("::", 1)[1]
        for line in Path("/proc/self/cgroup").read_text().splitlines()
        if line.startswith("0::")
    )
    mounts = (line.split(" ") for line in Path("/proc/mounts").read_text().splitlines())
    root = next((target for _, target, kind, *_ in mounts if kind == "cgroup2"), "")
    return Path(root + own)


def move_to(there: Path) -> None:
    """The calling process, to another cgroup."""
    try:
        there.mkdir(exist_ok=True)
        (there / "cgroup.procs").write_text("0")
    except OSError as error:
        raise Impossible(f"{there.name}: {error.strerror}") from error


def main(target: Target) -> None:
    """Connect, change the cgroup, send."""
    lax = cgroup() / target.args["lax"]
    made = target.tcp()
    try:
        if target.args["way"] == "migrate":
            move_to(lax)
            with refused():
                made.sendall(target.payload)
        else:
            handed_over(made, lax, target.payload)
        drained(made)
    finally:
        give_up(made)


def handed_over(made: socket.socket, lax: Path, payload: bytes) -> None:
    """Have a process of the other cgroup write to the connection."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    child = os.fork()
    if child == 0:
        try:
            move_to(lax)
            _, [(_, _, data)], *_ = theirs.recvmsg(1, socket.CMSG_SPACE(4))
            got = socket.socket(fileno=array.array("i", data)[0])
            got.sendall(payload)
        finally:
            os._exit(0)
    socket.send_fds(ours, [b"x"], [made.fileno()])
    os.waitpid(child, 0)
