"""Cgroups for tests: a tree below the root of version 2, and processes that send from it.

All names begin with `dlptest-` and the process's id; processes are ended by their id.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from dlp.workloads.cgroup import find_cgroup2
from tests.netlab import PATIENCE, PORT, SINK4, require_root, until

_NUMBERS = itertools.count()

# Enters namespaces by path as it is told, sends a datagram as it is told, and says what came of it.
_SENDER = f"""
import ctypes, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
print("ready", flush=True)
for line in sys.stdin:
    word, _, rest = line.strip().partition(" ")
    if word == "enter":
        fd = os.open(rest, os.O_RDONLY)
        print("ok" if libc.setns(fd, 0x40000000) == 0 else "failed", flush=True)
        os.close(fd)
        continue
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
            made.sendto(b"hello", ("{SINK4}", {PORT}))
        print("sent", flush=True)
    except OSError as error:
        print(error.errno, flush=True)
"""


class Sender:
    """A process in a cgroup, in the test's network namespace until it enters another."""

    def __init__(self, directory: Path, netns: str = "") -> None:
        self.process = subprocess.Popen(
            [
                "/bin/sh",
                "-c",
                'echo $$ > "$0/cgroup.procs" && exec "$@"',
                str(directory),
                sys.executable,
                "-c",
                _SENDER,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == "ready"
        if netns:
            self.enter(netns)

    def enter(self, netns: str) -> None:
        """Go over to another network namespace."""
        assert self._ask(f"enter /run/netns/{netns}") == "ok"

    def sends(self) -> bool:
        """Whether a datagram passes the cgroup; it must be EPERM that keeps it."""
        answer = self._ask("send")
        assert answer in {"sent", "1"}, answer
        return answer == "sent"

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def _ask(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


class CgroupTree:
    """A cgroup of a test, what is made below it, and the processes in it."""

    def __init__(self) -> None:
        require_root()
        self.root = find_cgroup2()
        self.path = f"/dlptest-{os.getpid()}-{next(_NUMBERS)}"
        self.directory = self.root / self.path.lstrip("/")
        self._senders: list[Sender] = []

    def make(self, name: str) -> Path:
        """A cgroup below the tree's own; its directory."""
        made = self.directory / name
        made.mkdir(parents=True)
        return made

    def sender(self, name: str, netns: str = "") -> Sender:
        """A process in a cgroup below the tree's own, which is made if need be."""
        directory = self.directory / name
        directory.mkdir(parents=True, exist_ok=True)
        made = Sender(directory, netns)
        self._senders.append(made)
        return made

    def remove(self, name: str) -> None:
        """Remove a cgroup, once the kernel has let go of its processes."""

        def gone() -> bool:
            with contextlib.suppress(OSError):
                (self.directory / name).rmdir()
            return not (self.directory / name).exists()

        until(gone)

    def __enter__(self) -> Self:
        self.directory.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        for sender in self._senders:
            sender.end()
        names = sorted(self.directory.rglob("*/"), reverse=True)
        for path in [*names, self.directory]:
            if path.is_dir():
                self.remove(str(path.relative_to(self.directory)))


@pytest.fixture
def cgroups() -> Iterator[CgroupTree]:
    """The cgroups of one test."""
    with CgroupTree() as made:
        yield made
