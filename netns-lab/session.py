"""One lab on this machine: who owns it, its private directory, its sinks, and its end.

The owner holds a lock as long as it lives, so that a crashed lab is told from a running one.
What is on the machine is written down before it is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from recorder import Arrivals
from topology import BRIDGE, CONTAINER_DEVICE, LabError, Layout, Topology

RUN = Path("/run")
HERE = Path(__file__).parent
READY_TIMEOUT = 10.0
# Where the gateway keeps what must survive it. Mounts of the machine still come in, such as
# namespaces made later; these two stay inside.
GATEWAY_RUN = RUN / "dlp"
OWN_MOUNTS = (
    f"mount -t bpf bpf /sys/fs/bpf && mount -t tmpfs -o mode=700 tmpfs {GATEWAY_RUN}"
    " && echo ready && exec sleep infinity"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sink:
    """A server program of the internet. Names are unique; `kind` and `protocol` as in sinks.py."""

    name: str
    kind: str
    address: str
    port: int
    protocol: int = 0


class Session:
    """The lab from `begin` to `end`.

    Attributes:
        topology: its namespaces.
        directory: private (0700): certificates, payloads, policy file, gateway's state.
        streams: what arrived at the sinks.
    """

    def __init__(self, layout: Layout | None = None) -> None:
        self.topology = Topology(layout)
        self._run = RUN / self.topology.layout.prefix
        self._lock: IO[str] | None = None
        self._sinks: asyncio.subprocess.Process | None = None
        self._mounts: asyncio.subprocess.Process | None = None
        self.directory = Path()

    @property
    def streams(self) -> Path:
        return self.directory / "streams"

    def begin(self) -> None:
        """Take the lab over, clean up after a crash, build the namespaces.

        Raises:
            LabError: another lab runs or was left standing on purpose; or as `Topology.up`.
        """
        if os.geteuid() != 0:
            raise LabError("the lab makes network namespaces: run it as root")
        self._take_over()
        state = self.state()
        if state.get("kept"):
            raise LabError("a lab was left standing here: take it down first (make lab-down)")
        if state or self.topology.exists():
            self._remove()
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.topology.layout.prefix}-"))
        try:
            self.write_state(directory=str(self.directory), kept=False)
            self.streams.mkdir()
            self.topology.up()
        except BaseException:
            self._remove()
            self._release()
            raise

    def take_down(self) -> bool:
        """Remove a lab that nobody runs; whether there was one.

        Raises:
            LabError: it is running.
        """
        self._take_over()
        state = self.state()
        there = bool(state) or self.topology.exists()
        self._remove()
        self._release()
        return there

    def end(self, *, keep: bool = False) -> None:
        """Remove everything, or leave it standing and say so in the state file."""
        if keep:
            self.write_state(kept=True)
        else:
            self._remove()
            self._release()

    def state(self) -> dict[str, Any]:
        """What a lab wrote down about itself; empty if there is none."""
        try:
            found: dict[str, Any] = json.loads((self._run / "state.json").read_text())
        except (OSError, ValueError):
            return {}
        return found

    def write_state(self, **changes: object) -> None:
        """Change entries of the state file, in one step."""
        text = json.dumps(self.state() | changes)
        draft = self._run / "state.json.new"
        draft.write_text(text)
        draft.rename(self._run / "state.json")

    def _take_over(self) -> None:
        self._run.mkdir(mode=0o700, exist_ok=True)
        lock = (self._run / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip()
            lock.close()
            raise LabError(
                f"a lab is running (process {owner}): wait for it, or stop it with Ctrl-C there"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _remove(self) -> None:
        self.topology.down()
        for directory in Path(tempfile.gettempdir()).glob(f"{self.topology.layout.prefix}-*"):
            if directory.lstat().st_uid == 0:  # we hold the lock: it is nobody else's
                shutil.rmtree(directory, ignore_errors=True)
        if self.state().get("made") == str(GATEWAY_RUN):
            with contextlib.suppress(OSError):
                GATEWAY_RUN.rmdir()
        (self._run / "state.json").unlink(missing_ok=True)

    def _release(self) -> None:
        for name in ("state.json", "state.json.new", "lock"):
            (self._run / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._run.rmdir()

    async def start_sinks(self, sinks: list[Sink], *, stay: bool = False) -> None:
        """Start the servers; they end with this process, or with `stay` when the lab does.

        Raises:
            LabError: they did not come up.
        """
        plan = {
            "directory": str(self.streams),
            "device": CONTAINER_DEVICE,
            "certificate": str(make_certificate(self.directory)),
            "bridge": {"netns": self.topology.layout.host, "device": BRIDGE},
            "sinks": [asdict(sink) for sink in sinks],
            "stay": stay,
        }
        argv = [sys.executable, str(HERE / "sinks.py")]
        self._sinks = await self._service("sinks", argv, netns=self.topology.layout.internet)
        assert self._sinks.stdin is not None  # noqa: S101 - narrows for mypy
        self._sinks.stdin.write(json.dumps(plan).encode() + b"\n")
        await self._until_ready("sinks", self._sinks)

    async def own_mounts(self) -> None:
        """Make a mount namespace for the gateway under test: its own bpffs, its own /run/dlp.

        What it leaves there is apart from a gateway that guards this machine, and gone for certain
        once the lab's processes are.

        Raises:
            LabError: it cannot be made.
        """
        if not GATEWAY_RUN.exists():
            self.write_state(made=str(GATEWAY_RUN))
            GATEWAY_RUN.mkdir(mode=0o700)
        argv = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", OWN_MOUNTS]
        self._mounts = await self._service("mounts", argv)
        await self._until_ready("mounts", self._mounts)

    def in_own_mounts(self, argv: list[str]) -> list[str]:
        """`argv` as it runs there, in a cgroup of the lab."""
        return self.topology.service_command("gateway", self.with_own_mounts(argv))

    @property
    def has_own_mounts(self) -> bool:
        """Whether there is a gateway with mounts of its own."""
        return self._mounts is not None

    def with_own_mounts(self, argv: list[str]) -> list[str]:
        """`argv` with the gateway's mounts in sight; as it is where there is no gateway."""
        if self._mounts is None:
            return argv
        return ["nsenter", f"--mount=/proc/{self._mounts.pid}/ns/mnt", "--", *argv]

    async def _service(
        self, name: str, argv: list[str], *, netns: str = ""
    ) -> asyncio.subprocess.Process:
        with (self.directory / f"{name}.log").open("wb") as errors:
            return await asyncio.create_subprocess_exec(
                *self.topology.service_command(name, argv, netns=netns),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )

    async def _until_ready(self, name: str, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101 - narrows for mypy
        try:
            line = await asyncio.wait_for(process.stdout.readline(), READY_TIMEOUT)
        except TimeoutError:
            line = b""
        if line != b"ready\n":
            log = (self.directory / f"{name}.log").read_text().strip().splitlines()
            raise LabError(f"the {name} did not come up: {log[-1] if log else 'no message'}")

    def arrivals(self) -> Arrivals:
        """A reader of what the sinks record."""
        return Arrivals(self.streams)


def make_certificate(directory: Path) -> Path:
    """A certificate for the TLS sink, signed by itself, with its key in one file.

    Raises:
        LabError: openssl is missing or refused.
    """
    key, certificate = directory / "tls.key", directory / "tls.pem"
    command = ["openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=lab sink"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise LabError("openssl cannot make a certificate: apt-get install openssl") from error
    with certificate.open("ab") as out:
        out.write(key.read_bytes())
    return certificate
