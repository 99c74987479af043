"""Commands, and network namespaces that an attacker makes inside a workload."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from attacks.target import Impossible, Target

CLONE_NEWNET, CLONE_NEWUSER = 0x40000000, 0x10000000
ANSWER, DONE = 4096, "done"

libc = ctypes.CDLL(None, use_errno=True)


def run(*argv: str, check: bool = True) -> str:
    """A command's output.

    Raises:
        Impossible: it is not there, or it failed and `check` is set.
    """
    try:
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise Impossible(f"{argv[0]} is not installed") from error
    if check and done.returncode:
        raise Impossible(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


def addresses(device: str) -> list[str]:
    """Global addresses of a device with their prefix lengths."""
    [found] = json.loads(run("ip", "-j", "addr", "show", "dev", device))
    return [
        f"{entry['local']}/{entry['prefixlen']}"
        for entry in found["addr_info"]
        if entry["scope"] == "global"
    ]


def configure(target: Target, device: str, known: list[str]) -> None:
    """Give a device these addresses, set it up, and route everything over it."""
    for address in known:
        run("ip", "addr", "replace", address, "dev", device, *(["nodad"] if ":" in address else []))
    run("ip", "link", "set", device, "up")
    for router in target.gateways.values():
        default = "::/0" if ":" in router else "default"
        run("ip", "route", "replace", default, "via", router, "dev", device)


def new_namespace() -> None:
    """Move the calling process to a network namespace of its own.

    Without CAP_SYS_ADMIN it takes a user namespace too, in which it may do all.

    Raises:
        Impossible: neither is allowed.
    """
    if libc.unshare(CLONE_NEWNET) == 0:
        return
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET):
        raise Impossible(f"no namespace of its own: {os.strerror(ctypes.get_errno())}")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


class Inner:
    """A process in a namespace of its own that does one piece of work after the other."""

    def __init__(self, work: tuple[Callable[[], object], ...]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            try:
                _serve(theirs, work)
            finally:
                os._exit(0)
        theirs.close()
        self._ours = ours
        self._answer()

    @classmethod
    @contextlib.contextmanager
    def with_work(cls, *work: Callable[[], object]) -> Iterator[Inner]:
        """One that lives as long as the block.

        Raises:
            Impossible: no namespace can be made.
        """
        made = cls(work)
        try:
            yield made
        finally:
            made._ours.close()
            os.waitpid(made.pid, 0)

    def next(self) -> None:
        """Have the next piece of work done.

        Raises:
            Impossible: as the work did.
        """
        self._ours.send(b"next")
        self._answer()

    def _answer(self) -> None:
        answer = self._ours.recv(ANSWER).decode()
        if answer != DONE:
            raise Impossible(answer or "the inner process ended")


def _serve(orders: socket.socket, work: tuple[Callable[[], object], ...]) -> None:
    try:
        new_namespace()
        orders.send(DONE.encode())
        for each in work:
            if not orders.recv(ANSWER):
                return
            each()
            orders.send(DONE.encode())
        orders.recv(ANSWER)  # the namespace lives as long as its process
    except (Impossible, OSError) as error:
        orders.send(str(error).encode())
