"""What `dlp doctor` looks at."""

import importlib.util
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from dlp.cli import checks
from dlp.cli.checks import State
from dlp.errors import MissingDependency, MissingHeaders

ALL = "000001ffffffffff"


def test_privileges(tmp_path: Path, monkeypatch):
    """Root with its capabilities, root without some, and not root."""
    status = tmp_path / "status"
    monkeypatch.setattr("os.geteuid", lambda: 0)

    status.write_text(f"Name:\tx\nCapEff:\t{ALL}\n")
    assert State.OK is checks.privileges(status).state
    status.write_text("CapEff:\t0000000000001000\n")
    row = checks.privileges(status)
    assert (State.FAIL, "root without CAP_SYS_ADMIN, CAP_BPF") == (row.state, row.found)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "run as root" == checks.privileges(status).remedy


@pytest.mark.parametrize(
    ("release", "state"),
    [
        ("6.1.0-56-amd64", State.OK),
        ("6.18.44", State.OK),
        ("10.0", State.OK),
        ("6.0.9", State.FAIL),
        ("5.15.0", State.FAIL),
        ("odd", State.FAIL),
    ],
)
def test_kernel(release, state):
    """6.1 is the oldest; 6.18 is later than 6.9."""

    assert state is checks.kernel(release).state


def test_bpffs(tmp_path: Path):
    """Mounted where pins are expected, or the command that mounts it."""
    mounts = tmp_path / "mounts"

    mounts.write_text("proc /proc proc rw 0 0\nbpf /sys/fs/bpf bpf rw 0 0\n")
    assert State.OK is checks.bpffs(mounts).state
    mounts.write_text("bpf /elsewhere bpf rw 0 0\n")
    assert (State.FAIL, "mount -t bpf bpf /sys/fs/bpf") == (
        checks.bpffs(mounts).state,
        checks.bpffs(mounts).remedy,
    )


def test_jit(tmp_path: Path):
    """On, off, or not to be read."""
    switch = tmp_path / "jit"

    assert State.WARN is checks.jit(switch).state
    switch.write_text("0\n")
    assert State.WARN is checks.jit(switch).state
    switch.write_text("1\n")
    assert State.OK is checks.jit(switch).state


def test_preemption(tmp_path: Path):
    """PREEMPT_RT is warned of, by the version's text or by the kernel's file."""
    realtime = tmp_path / "realtime"

    assert State.OK is checks.preemption("#1 SMP PREEMPT_DYNAMIC", realtime).state
    assert State.WARN is checks.preemption("#1 SMP PREEMPT_RT", realtime).state
    realtime.touch()
    assert State.WARN is checks.preemption("#1 SMP", realtime).state


def test_cgroup2(monkeypatch):
    """Where it is mounted, or what its absence costs."""
    monkeypatch.setattr(checks, "find_cgroup2", lambda: Path("/c"))
    assert (State.OK, "/c") == (checks.cgroup2().state, checks.cgroup2().found)

    def missing() -> Path:
        raise MissingDependency("not mounted", remedy="mount it")

    monkeypatch.setattr(checks, "find_cgroup2", missing)
    assert (State.WARN, "mount it") == (checks.cgroup2().state, checks.cgroup2().remedy)


def test_bcc(tmp_path: Path, monkeypatch):
    """The real one is told from PyPI's package of that name, without importing either."""

    def found(where: Path | None):
        spec = where and SimpleNamespace(submodule_search_locations=[str(where)])
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
        return checks.bcc()

    assert (State.FAIL, "not found") == (found(None).state, found(None).found)
    assert "another package" in found(tmp_path).found
    (tmp_path / "libbcc.py").touch()
    assert State.OK is found(tmp_path).state


def test_libbpf():
    """A library that cannot be loaded names its package."""
    row = checks.libbpf("libnothing.so.9")

    assert (State.FAIL, "apt-get install libbpf1") == (row.state, row.remedy)


def test_header_tree(monkeypatch):
    """The tree is named, or the way to one."""

    def missing() -> None:
        raise MissingHeaders("none", remedy="install some")

    monkeypatch.setattr(checks.headers, "find", missing)
    assert (State.FAIL, "install some") == (checks.header_tree().state, checks.header_tree().remedy)
    tree = SimpleNamespace(path=Path("/t"), origin="assembled", release="6.1")
    monkeypatch.setattr(checks.headers, "find", lambda: tree)
    assert "assembled: /t" == checks.header_tree().found


@pytest.mark.parametrize(
    ("code", "stderr", "uid", "state"),
    [
        (0, "", 0, State.OK),
        (2, "Error: Specified qdisc kind is unknown.", 0, State.FAIL),
        (1, "unshare: unshare failed: Operation not permitted", 1000, State.FAIL),
        (127, "unshare: failed to execute tc: No such file or directory", 0, State.WARN),
    ],
)
def test_clsact(monkeypatch, code, stderr, uid, state):
    """What the kernel says is told from a tool that is missing."""
    done = subprocess.CompletedProcess([], code, "", stderr)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    monkeypatch.setattr("os.geteuid", lambda: uid)

    row = checks.clsact()
    assert state is row.state
    assert bool(row.remedy) == (state is not State.OK)


def test_clsact_without_unshare(monkeypatch):
    """A missing tool is no failure of the host."""

    def missing(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", missing)

    assert State.WARN is checks.clsact().state
