"""Network namespaces for the bench: made, wired, entered, removed.

All of them are called dlpbench-…; nothing outside of them is touched. A run that was killed
leaves its namespaces behind: `cleared` removes them at the next start.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

PREFIX = "dlpbench-"

_RUN = Path("/run/netns")
_LOCK = Path("/run/lock/dlpbench.lock")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class BenchError(Exception):
    """The bench cannot go on; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Link:
    """Two namespaces and the addresses of the veth pair between them."""

    sender: str
    receiver: str
    sender_address: str
    receiver_address: str
    device: str = "eth0"


@contextmanager
def cleared() -> Iterator[None]:
    """Keeps other benches out and leaves no namespace of ours, before or after."""
    with _LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BenchError("another bench is running on this machine: wait for it") from None
        _remove_all()
        try:
            yield
        finally:
            _remove_all()


def run(*command: str, namespace: str = "", data: str | None = None) -> str:
    """Standard output of a command, run inside a namespace where one is named.

    Raises:
        BenchError: the command failed; the message has its last words.
    """
    # nsenter and not `ip netns exec`, which remounts /sys and hides bpffs.
    prefix = entering(namespace) if namespace else []
    done = subprocess.run(
        [*prefix, *command], input=data, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def entering(namespace: str) -> list[str]:
    """Beginning of a command line that runs the rest inside a namespace."""
    return ["nsenter", f"--net={_RUN / namespace}"]


@contextmanager
def namespace(name: str) -> Iterator[str]:
    """A namespace with its loopback up, called PREFIX + name."""
    full = PREFIX + name
    run("ip", "netns", "add", full)
    try:
        run("ip", "-n", full, "link", "set", "lo", "up")
        yield full
    finally:
        remove(full)


@contextmanager
def pair(name: str, number: int) -> Iterator[Link]:
    """A sender's and a receiver's namespace with a veth pair between; `number` picks addresses."""
    with ExitStack() as stack:
        sender = stack.enter_context(namespace(f"{name}-tx"))
        receiver = stack.enter_context(namespace(f"{name}-rx"))
        yield wire(sender, receiver, number)


def wire(sender: str, receiver: str, number: int, *, device: str = "eth0") -> Link:
    """Connects two namespaces; on the receiver's side the device is always called eth0."""
    link = Link(sender, receiver, f"10.77.{number}.1", f"10.77.{number}.2", device)
    run("ip", "link", "add", device, "netns", sender, "type", "veth",
        "peer", "name", "eth0", "netns", receiver)  # fmt: skip
    for end, name, address in (
        (sender, device, link.sender_address),
        (receiver, "eth0", link.receiver_address),
    ):
        run("ip", "-n", end, "address", "add", f"{address}/24", "dev", name)
        run("ip", "-n", end, "link", "set", name, "up")
    return link


def remove(full: str) -> None:
    """Removes a namespace of ours if it is there."""
    if not full.startswith(PREFIX):
        raise BenchError(f"namespace {full} is not the bench's")
    if (_RUN / full).exists():
        run("ip", "netns", "delete", full)


@contextmanager
def inside(full: str) -> Iterator[None]:
    """This thread stands in the namespace: what it opens now belongs there."""
    with (
        Path("/proc/thread-self/ns/net").open("rb") as home,
        (_RUN / full).open("rb") as away,
    ):
        _enter(away.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def _enter(fd: int) -> None:
    if _libc.setns(fd, _CLONE_NEWNET):
        raise BenchError(f"setns: {os.strerror(ctypes.get_errno())}")


def _remove_all() -> None:
    for entry in sorted(_RUN.glob(f"{PREFIX}*")):
        remove(entry.name)
