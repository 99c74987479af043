"""A gateway as it is run, apart from one that may guard this machine.

Pins and records lie in fixed places: the gateway under test runs in a mount namespace with a bpffs
and a /run/dlp of its own. Both are gone once the process that holds the namespace is.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Self

import dlp
from tests.netlab import PATIENCE, until

RUN = Path("/run/dlp")
ROOT = Path(dlp.__file__).parent.parent
_HOLD = (
    f"mount -t bpf bpf /sys/fs/bpf && mount -t tmpfs -o mode=700 tmpfs {RUN}"
    " && echo ready && exec cat"
)
# A test run that is killed leaves no gateway behind.
_DIE_WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")
DROP = '  - {name: default, rules: [{signatures: ["*"], action: drop}]}'
OWN = r"""
pack: own
version: 1
description: For tests.
signatures:
  - id: own.key.long
    name: Long key
    severity: high
    description: Longer than the kernel decides.
    category: secret
    regex: 'LONGKEY-[A-Za-z0-9]{5,300}(?![A-Za-z0-9])'
    mask: {head: 4}
    must_match: ["LONGKEY-abcd1234"]
    must_not_match: ["LONGKEY-abc"]
"""


class Mounts:
    """A mount namespace with a bpffs and a /run/dlp of its own."""

    def __init__(self) -> None:
        self._made = not RUN.exists()
        RUN.mkdir(mode=0o700, exist_ok=True)
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "slave", "sh", "-c", _HOLD],
            stdin=subprocess.PIPE,  # its end ends the process
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout
        assert self._holder.stdout.readline() == "ready\n"

    def command(self, *arguments: str) -> list[str]:
        """A command line that runs inside."""
        return ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "--", *arguments]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.kill()
        self._holder.communicate()
        if self._made:
            with contextlib.suppress(OSError):
                RUN.rmdir()


class Host:
    """A place for one gateway: its policy file and its state."""

    def __init__(self, directory: Path, mounts: Mounts) -> None:
        self.directory = directory
        self.config = directory / "dlp.yaml"
        self.socket = directory / "api.sock"
        self.command = mounts.command
        self._gateways: list[Gateway] = []

    def write(
        self,
        policies: str = DROP,
        *,
        signatures: str = "pci",
        netns: tuple[str, ...] = (),
        tcp: int = 0,
    ) -> None:
        """Write the policy file."""
        listen = f', tcp: "127.0.0.1:{tcp}"' if tcp else ""
        self.config.write_text(
            f"version: 1\nstate_dir: {self.directory}/state\n"
            f"api: {{unix: {self.socket}{listen}}}\nsignatures: [{signatures}]\n"
            f"workloads: {{netns: [{', '.join(netns)}]}}\npolicies:\n{policies}\n"
        )

    def environment(self, **more: str) -> dict[str, str]:
        """The gateway's: this checkout's package, whatever is installed."""
        return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **more}

    def dlp(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the gateway to its end."""
        return subprocess.run(
            self.command(sys.executable, "-m", "dlp", *arguments),
            check=False,
            capture_output=True,
            text=True,
            timeout=6 * PATIENCE,
            env=self.environment(),
        )

    def start(self, *options: str, **environment: str) -> Gateway:
        """Start the gateway; it need not be ready yet."""
        made = Gateway(self, options, environment)
        self._gateways.append(made)
        return made

    def ready(self, *options: str) -> Gateway:
        """Start the gateway and wait until it says `ready`."""
        made = self.start(*options)
        made.wait_ready()
        return made

    def inside(self, path: str) -> list[str]:
        """Names in a directory as the gateway sees it; empty where there is none."""
        done = subprocess.run(
            self.command("ls", "-A", path), check=False, capture_output=True, text=True
        )
        return done.stdout.split()

    def read(self, path: str) -> str:
        """A file as the gateway sees it."""
        done = subprocess.run(self.command("cat", path), check=True, capture_output=True, text=True)
        return done.stdout

    def time_of(self, path: str) -> str:
        """When a file there was last written."""
        command = self.command("stat", "-c", "%y", path)
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def end(self) -> None:
        """End all that was started; what was pinned goes with the mounts."""
        for gateway in self._gateways:
            gateway.end()


class Gateway:
    """One process of `dlp run`."""

    def __init__(self, host: Host, options: tuple[str, ...], environment: dict[str, str]) -> None:
        self._host = host
        self.log = host.directory / f"gateway-{time.monotonic_ns()}.log"
        self.said: list[str] = []
        self.began = time.monotonic()
        self.ready_s = 0.0
        run = (sys.executable, "-m", "dlp", "run")
        with self.log.open("wb") as errors:
            self.process = subprocess.Popen(
                host.command(*_DIE_WITH_US, *run, "--config", str(host.config), *options),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=host.environment(**environment),
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.ready_s = self.ready_s or time.monotonic() - self.began
            self.said.append(line.strip())

    def errors(self) -> str:
        """What it wrote on standard error so far."""
        return self.log.read_text()

    def is_ready(self) -> bool:
        return "ready" in self.said

    def wait_ready(self) -> None:
        """Raises AssertionError where it ends instead."""

        def done() -> bool:
            assert self.process.poll() is None, self.errors()
            return self.is_ready()

        until(done, patience=6 * PATIENCE)

    def kill(self) -> None:
        """SIGKILL: it can put nothing in order."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def hang_up(self) -> None:
        """SIGHUP: read the configuration again."""
        self.process.send_signal(signal.SIGHUP)

    def end(self) -> None:
        """However it is, it is gone after this."""
        if self.process.poll() is None:
            self.kill()
        self._reader.join(PATIENCE)
        assert self.process.stdout
        self.process.stdout.close()

    def api(self, path: str, method: str = "GET", body: Any = None) -> Any:
        """An answer of the API over the unix socket; `body` is sent as JSON."""
        connection = _UnixConnection(self._host.socket)
        data = None if body is None else json.dumps(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            connection.request(method, f"/api/v1{path}", data, headers)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def verdicts(self) -> list[dict[str, Any]]:
        """All stored verdicts, oldest first."""
        found = self.api("/verdicts?limit=500")["items"]
        return sorted(found, key=lambda one: one["id"])

    def incidents(self, kind: str) -> list[dict[str, Any]]:
        """All stored incidents of a kind, oldest first."""
        found = self.api(f"/incidents?limit=500&kind={kind}")["items"]
        return sorted(found, key=lambda one: one["id"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("gateway", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(str(self._path))
