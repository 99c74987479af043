"""Where the kernel side lives on disk: pins in bpffs, and the manifest beside them.

Paths and their life cycle, no BPF calls but the mount. Pins make enforcement outlive
the daemon; the manifest lets a new daemon adopt them without a compiler.
"""

from __future__ import annotations

import contextlib
import ctypes as ct
import dataclasses
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from dlp.datapath.objects import ProgramSpec, program_spec
from dlp.errors import KernelError, PrivilegeError

BPFFS = Path("/sys/fs/bpf")
RUN = Path("/run/dlp")
_BPFFS_MAGIC = 0xCAFE4A11

PROGRAMS = (
    "entry",
    "empty",
    "classify",
    "scan2",
    "scan3",
    "scan6",
    "grams",
    "digits",
    "groups",
    "shape",
    "near",
    "check",
    "judge",
    "hold",
    "guard",
    "gate",
)
# Loaded anew for each namespace, device or cgroup.
COPIED = ("entry", "guard", "gate")
# What flows remember; an upgrade hands it on where the layout is the same.
STATE = frozenset(
    {
        "flows",
        "sockets",
        "seen",
        "windows",
        "words",
        "blocked",
        "counters",
        "workloads",
        "guards",
        "admitted",
    }
)

MAPS = (
    "buffers",
    "scratches",
    "counters",
    "settings",
    "constants",
    "blooms",
    "classes",
    "lanes",
    "gram_starts",
    "anchors",
    "shapes",
    "signatures",
    "sums",
    "keywords",
    "starts",
    "nears",
    "policies",
    "rules",
    "rule_pages",
    "exceptions",
    "workloads",
    "words",
    "blocked",
    "guards",
    "buckets",
    "admitted",
    "sockets",
    "flows",
    "datagrams",
    "copies",
    "seen",
    "shadow_seen",
    "windows",
    "hits",
    "programs",
    "events",
    "shadow_events",
    "shadow_payloads",
    "payloads",
    "holds",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a build left behind.

    Attributes:
        digest: of the sources; names the build.
        state: digest of the layout of what flows remember.
        headers: where the kernel headers came from.
        compile_s, load_s: seconds.
        flows_from: the build whose flows were taken over; empty for none.
        verified: instructions the verifier went through, by program.
        copied: programs of which copies are loaded, with a constant put in: see COPIED.
    """

    digest: str
    state: str
    headers: str
    compile_s: float
    load_s: float
    verified: dict[str, int]
    flows_from: str
    copied: dict[str, ProgramSpec]


@dataclass(frozen=True, slots=True)
class Layout:
    """A directory of pins and the manifest that belongs to it."""

    pins: Path
    manifest: Path

    def map(self, name: str) -> Path:
        return self.pins / f"map_{name}"

    def program(self, name: str) -> Path:
        return self.pins / f"program_{name}"

    def write(self, manifest: Manifest) -> None:
        """Write the manifest whole or not at all."""
        self.manifest.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        partial = self.manifest.with_suffix(".partial")
        partial.write_text(json.dumps(dataclasses.asdict(manifest)))
        partial.replace(self.manifest)

    def read(self) -> Manifest | None:
        """The manifest, or None where it or a pin is missing or unreadable."""
        try:
            raw = json.loads(self.manifest.read_text())
            raw["copied"] = {name: program_spec(one) for name, one in raw["copied"].items()}
            manifest = Manifest(**raw)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
        expected = [self.map(name) for name in MAPS] + [self.program(name) for name in PROGRAMS]
        return manifest if all(path.exists() for path in expected) else None

    def set_aside(self) -> Layout | None:
        """Make room under this name, and let what is pinned live on under another.

        Classifiers that are attached need it until they are replaced. Returns where it is now,
        if all of what flows remember is there.
        """
        aside = Layout(self.pins.with_name(f"{self.pins.name}-aside"), self.manifest)
        if self.pins.is_dir():
            aside.remove()
            self.pins.rename(aside.pins)
        self.manifest.unlink(missing_ok=True)
        return aside if all(aside.map(name).exists() for name in STATE) else None

    def remove(self) -> None:
        """Unpin everything; what is attached stays alive until it is detached."""
        if self.pins.is_dir():
            for path in self.pins.iterdir():
                path.unlink(missing_ok=True)
            self.pins.rmdir()
        self.manifest.unlink(missing_ok=True)


def ensure_bpffs(mount: Path = BPFFS) -> None:
    """Mount bpffs where it is not mounted yet.

    Raises:
        PrivilegeError, KernelError: it cannot be mounted.
    """
    if is_bpffs(mount):
        return
    libc = ct.CDLL(None, use_errno=True)
    if libc.mount(b"bpf", os.fsencode(mount), b"bpf", 0, None) == 0:
        return
    reason = os.strerror(ct.get_errno())
    if os.geteuid() != 0:
        raise PrivilegeError(f"{mount} is not a BPF file system", remedy="run as root")
    raise KernelError(
        f"{mount} is not a BPF file system and cannot be mounted: {reason}",
        remedy=f"mount -t bpf bpf {mount}",
    )


def is_bpffs(path: Path) -> bool:
    """Whether `path` lies in a mounted BPF file system."""
    libc = ct.CDLL(None, use_errno=True)
    buffer = (ct.c_long * 32)()
    return libc.statfs(os.fsencode(path), buffer) == 0 and buffer[0] == _BPFFS_MAGIC


def remove_tree(directory: Path) -> None:
    """Remove a directory of pins and whatever lies below it."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(directory)
