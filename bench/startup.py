"""How long the daemon takes to protect, and what it keeps in memory.

Daemons run with bpffs, /run/dlp, state directory and namespaces of their own, so that neither a
gateway in service nor its pins are touched.
"""

from __future__ import annotations

import re
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench import namespaces
from bench.namespaces import PREFIX, BenchError
from dlp.datapath import links
from dlp.datapath.links import Hook
from dlp.signatures.cache import SYSTEM

WORKLOADS = 10
IMAGES = SYSTEM  # where daemons keep compiled sets
_NEWCOMER = "late"
_PATIENCE_S = 60.0
_POLL_S = 0.0002
_RTM_NEWLINK, _RTM_NEWTFILTER = 16, 44
_GROUP_LINK, _GROUP_TC = 1 << 0, 1 << 3
_CONFIG = """\
version: 1
state_dir: {directory}/state
api: {{unix: {directory}/api.sock}}
signatures: [pci, pii, secrets]
workloads: {{netns: [{netns}]}}
policies:
  - name: default
    match: {{}}
    rules:
      - {{signatures: ["*"], action: alert}}
"""


@dataclass(frozen=True, slots=True)
class Startup:
    """One round.

    Attributes:
        cold_s: start to `ready` with nothing pinned: compile, load, attach.
        warm_s: the same after a SIGKILL: pins are adopted.
        attach_ms: from a device's appearance in a new listed namespace to its classifier.
        appear_ms: from before `ip netns add` to the same moment.
        rss_mb, pss_mb: of the daemon; `family_pss_mb`: with its children.
    """

    cold_s: float
    warm_s: float
    attach_ms: float
    appear_ms: float
    rss_mb: float
    pss_mb: float
    family_pss_mb: float


def measure(directory: Path) -> Startup:
    """Starts, kills and starts the daemon again; `directory` is empty and the caller's."""
    with ExitStack() as stack:
        names = [f"{PREFIX}w{number}" for number in range(WORKLOADS)]
        peer = stack.enter_context(namespaces.namespace("peer"))
        for number, name in enumerate(names):
            stack.enter_context(namespaces.namespace(name.removeprefix(PREFIX)))
            _workload(name, peer, number)
        newcomer = PREFIX + _NEWCOMER
        stack.callback(namespaces.remove, newcomer)
        config = directory / "dlp.yaml"
        config.write_text(_CONFIG.format(directory=directory, netns=", ".join([*names, newcomer])))
        home = stack.enter_context(private_state())
        with daemon(home, config) as (process, cold):
            process.kill()
        with daemon(home, config) as (process, warm):
            attach, appear = _attached(newcomer, peer)
            time.sleep(1)  # what is read at a start is given back
            family = [process.pid, *_children(process.pid)]
            memory = {pid: _memory(pid) for pid in family}
            process.send_signal(signal.SIGTERM)
            process.wait(_PATIENCE_S)
        rss, pss = memory[process.pid]
        everyone = sum(each for _, each in memory.values())
        return Startup(cold, warm, attach * 1e3, appear * 1e3, rss, pss, everyone)


def _workload(name: str, peer: str, number: int) -> None:
    namespaces.run("ip", "link", "add", "eth0", "netns", name, "type", "veth",
                   "peer", "name", f"peer{number}", "netns", peer)  # fmt: skip
    namespaces.run("ip", "-n", name, "link", "set", "eth0", "up")
    namespaces.run("ip", "-n", peer, "link", "set", f"peer{number}", "up")


@contextmanager
def private_state(*, images: bool = False) -> Iterator[int]:
    """Process id of a mount namespace whose /sys/fs/bpf and /run/dlp are its own and empty.

    Slave propagation: namespaces that are added later still appear in its /run/netns.

    Args:
        images: the directory of compiled sets is its own and empty, too.
    """
    kept = f" && mkdir -p {IMAGES} && mount -t tmpfs -o mode=700 none {IMAGES}" if images else ""
    script = (
        "mkdir -p /run/dlp && mount -t tmpfs none /run/dlp && mount -t bpf bpf /sys/fs/bpf"
        f"{kept} && echo mounted && exec sleep infinity"
    )
    command = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            if not holder.stdout or holder.stdout.readline() != "mounted\n":
                raise BenchError("cannot mount a bpffs: is this root on a kernel with bpf?")
            yield holder.pid
        finally:
            holder.kill()


@contextmanager
def daemon(home: int, config: Path) -> Iterator[tuple[subprocess.Popen[str], float]]:
    """A running daemon and the seconds it took to be ready."""
    log = config.with_suffix(".log")
    command = ["nsenter", f"--mount=/proc/{home}/ns/mnt", "--", sys.executable, "-m", "dlp"]
    # One that is listed and not there yet: the daemon waits for it for no time at all.
    arguments = ["run", "--config", str(config), "--wait", "0"]
    start = time.monotonic()
    with (
        log.open("a") as errors,
        subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            _await_ready(process, log)
            yield process, time.monotonic() - start
        finally:
            process.kill()


def _await_ready(process: subprocess.Popen[str], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while (
        process.stdout
        and select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))[0]
    ):
        line = process.stdout.readline()
        if line.startswith("ready"):
            return
        if not line:
            break
    last = log.read_text().strip().splitlines()[-1:] or ["it said nothing"]
    raise BenchError(f"the daemon did not become ready: {last[0]}")


def _attached(name: str, peer: str) -> tuple[float, float]:
    """Seconds to a classifier in a new namespace: since its device, and since before it was."""
    begin = time.monotonic()
    namespaces.run("ip", "netns", "add", name)
    with namespaces.inside(name):
        watch = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    with watch, ThreadPoolExecutor(1) as beside:
        watch.bind((0, _GROUP_LINK | _GROUP_TC))
        watch.settimeout(_PATIENCE_S)
        seen = beside.submit(_device_and_program, watch, name)
        _workload(name, peer, WORKLOADS)
        device, attached = seen.result()
    return attached - device, attached - begin


def _device_and_program(watch: socket.socket, name: str) -> tuple[float, float]:
    """When the first device and the first program on it were there (CLOCK_MONOTONIC, seconds).

    Of a device the kernel tells; of a link of TCX it does not, so that is looked for.
    """
    device = 0.0
    while True:
        kinds = _kinds(watch.recv(1 << 16))
        now = time.monotonic()
        if _RTM_NEWLINK in kinds:
            device = device or now
        if _RTM_NEWTFILTER in kinds:
            return device or now, now
        if device and links.supported():
            return device, _linked(name)


def _linked(name: str) -> float:
    """When the namespace's eth0 had a link on its egress."""
    end = time.monotonic() + _PATIENCE_S
    with namespaces.inside(name):
        index = socket.if_nametoindex("eth0")
        while not links.order(index, Hook.EGRESS):
            if time.monotonic() > end:
                raise BenchError(f"{name} got no classifier in {_PATIENCE_S:.0f} s")
            time.sleep(_POLL_S)
        return time.monotonic()


def _kinds(message: bytes) -> set[int]:
    """Types of the netlink messages in a datagram."""
    kinds, offset = set(), 0
    while offset + 16 <= len(message):
        length, kind = struct.unpack_from("<IH", message, offset)
        kinds.add(kind)
        offset += max(16, (length + 3) & ~3)
    return kinds


def _children(pid: int) -> Sequence[int]:
    """All descendants of a process."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            found += [child, *_children(child)]
    return found


def _memory(pid: int) -> tuple[float, float]:
    """Resident and proportional set size of a process in MB (10^6 bytes); 0 where it has gone."""
    with suppress(FileNotFoundError, ProcessLookupError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        sizes = dict(re.findall(r"^(Rss|Pss):\s+(\d+) kB", text, re.MULTILINE))
        return int(sizes["Rss"]) * 1024 / 1e6, int(sizes["Pss"]) * 1024 / 1e6
    return 0.0, 0.0
