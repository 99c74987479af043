"""What `dlp doctor` looks at. Nothing here changes the host but the cache of headers."""

from __future__ import annotations

import ctypes
import enum
import importlib.util
import os
import platform
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dlp.datapath import headers
from dlp.errors import DlpError
from dlp.workloads.cgroup import find_cgroup2

OLDEST_KERNEL = (6, 1)

# linux/capability.h
_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21, "CAP_BPF": 39}
_TRY_S = 10


class State(enum.StrEnum):
    """`warn`: the gateway runs, with the drawback that is told."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Row:
    """One check; `remedy` is empty where there is nothing to do."""

    name: str
    state: State
    found: str
    remedy: str = ""


def run_all() -> tuple[Row, ...]:
    """Every check, in the order in which one would mend them."""
    checks: tuple[Callable[[], Row], ...] = (
        privileges,
        kernel,
        bpffs,
        jit,
        preemption,
        cgroup2,
        bcc,
        libbpf,
        header_tree,
        clsact,
    )
    return tuple(check() for check in checks)


def privileges(status: Path = Path("/proc/self/status")) -> Row:
    """Root, with the capabilities that loading and attaching need."""
    name = "privileges"
    if os.geteuid() != 0:
        return Row(name, State.FAIL, "not root", "run as root")
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status.read_text(), re.MULTILINE)
    held = int(found[1], 16) if found else 0
    missing = [name for name, bit in _CAPABILITIES.items() if not held >> bit & 1]
    if missing:
        return Row(name, State.FAIL, f"root without {', '.join(missing)}", "add the capabilities")
    return Row(name, State.OK, "root")


def kernel(release: str = "") -> Row:
    """The running kernel's version."""
    release = release or platform.release()
    numbers = re.match(r"(\d+)\.(\d+)", release)
    if numbers and (int(numbers[1]), int(numbers[2])) >= OLDEST_KERNEL:
        return Row("kernel", State.OK, release)
    return Row("kernel", State.FAIL, release, "boot Linux 6.1 or later")


def bpffs(mounts: Path = Path("/proc/self/mounts")) -> Row:
    """Where programs and maps are pinned."""
    for line in mounts.read_text().splitlines():
        _, where, kind, *_ = line.split(" ")
        if (where, kind) == ("/sys/fs/bpf", "bpf"):
            return Row("bpffs", State.OK, where)
    return Row("bpffs", State.FAIL, "not mounted", "mount -t bpf bpf /sys/fs/bpf")


def jit(switch: Path = Path("/proc/sys/net/core/bpf_jit_enable")) -> Row:
    """Interpreted programs scan some ten times slower."""
    name = "BPF JIT"
    try:
        enabled = switch.read_text().strip() != "0"
    except OSError as error:
        # The file belongs to the first network namespace and to root.
        return Row(name, State.WARN, f"unknown: {error.strerror}", "run in the host's namespace")
    if enabled:
        return Row(name, State.OK, "on")
    return Row(name, State.WARN, "off: slow", "sysctl net.core.bpf_jit_enable=1")


def preemption(version: str = "", realtime: Path = Path("/sys/kernel/realtime")) -> Row:
    """The programs' scratch space per processor relies on not being preempted."""
    name = "preemption"
    if "PREEMPT_RT" in (version or platform.version()) or realtime.exists():
        remedy = "boot a kernel without PREEMPT_RT: packets may be judged wrongly"
        return Row(name, State.WARN, "PREEMPT_RT", remedy)
    return Row(name, State.OK, "not PREEMPT_RT")


def cgroup2() -> Row:
    """What names containers within a namespace."""
    try:
        return Row("cgroup v2", State.OK, str(find_cgroup2()))
    except DlpError as error:
        return Row("cgroup v2", State.WARN, error.message, error.remedy)


def bcc() -> Row:
    """The compiler's Python binding, without importing it (130 MB)."""
    remedy = "apt-get install python3-bpfcc, and use a venv with --system-site-packages"
    spec = importlib.util.find_spec("bcc")
    if spec is None or not spec.submodule_search_locations:
        return Row("bcc", State.FAIL, "not found", remedy)
    where = Path(next(iter(spec.submodule_search_locations)))
    if not (where / "libbcc.py").is_file():
        # PyPI has a lattice library of that name.
        return Row("bcc", State.FAIL, f"another package named bcc in {where}", remedy)
    return Row("bcc", State.OK, str(where))


def libbpf(library: str = "libbpf.so.1") -> Row:
    """The library through which pins are opened."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return Row("libbpf", State.FAIL, f"{library} not found", "apt-get install libbpf1")
    return Row("libbpf", State.OK, library)


def header_tree() -> Row:
    """The kernel headers that bcc compiles against."""
    try:
        tree = headers.find()
    except DlpError as error:
        return Row("kernel headers", State.FAIL, error.message, error.remedy)
    place = f"{tree.origin}: {tree.path}" if tree.path else tree.origin
    return Row("kernel headers", State.OK, place)


def clsact() -> Row:
    """Whether a classifier can be attached, tried in a namespace that vanishes with the try."""
    name = "tc clsact"
    command = ["unshare", "--net", "tc", "qdisc", "add", "dev", "lo", "clsact"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TRY_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return Row(name, State.WARN, "not tried: unshare is missing", "apt-get install util-linux")
    if done.returncode == 0:
        return Row(name, State.OK, "attaches")
    if "failed to execute tc" in done.stderr:
        return Row(name, State.WARN, "not tried: tc is missing", "apt-get install iproute2")
    if os.geteuid() != 0:
        return Row(name, State.FAIL, "not root", "run as root")
    return Row(name, State.FAIL, "refused by the kernel", "modprobe sch_ingress cls_bpf")
