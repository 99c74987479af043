"""Compiled kernel programs as a file: instructions, and the maps they name.

What bcc makes of bpf/ is kept under the digest of the sources, so that a machine
compiles once and a later start needs neither bcc nor headers. Values only; the compiler
is in build, the kernel in loader.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CACHE = Path("/var/cache/dlp/objects")


@dataclass(frozen=True, slots=True)
class MapSpec:
    """As bpf_map_create takes it; sizes in bytes."""

    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int


@dataclass(frozen=True, slots=True)
class ProgramSpec:
    """`code`: instructions, hex, 8 bytes each. `maps`: instruction index to map name."""

    code: str
    maps: dict[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelObject:
    """A build.

    Attributes:
        digest: of the sources; names the build.
        state: digest of the layout of what flows remember; builds that agree in it can
            hand their flows on.
        headers: where the kernel headers came from.
        compile_s: seconds.
    """

    digest: str
    state: str
    headers: str
    compile_s: float
    programs: dict[str, ProgramSpec]
    maps: dict[str, MapSpec]

    def write(self, path: Path) -> None:
        """Whole or not at all; readable and writable by the owner only."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(dataclasses.asdict(self)))
        partial.chmod(0o600)
        partial.replace(path)


def program_spec(raw: dict[str, Any]) -> ProgramSpec:
    """From what JSON makes of one."""
    return ProgramSpec(raw["code"], {int(at): name for at, name in raw["maps"].items()})


def read(path: Path) -> KernelObject | None:
    """The object, or None where there is none that can be used.

    A file that others could have written is none: it would run in the kernel.
    """
    try:
        found = path.stat()
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            return None
        raw = json.loads(path.read_text())
        raw["programs"] = {name: program_spec(one) for name, one in raw["programs"].items()}
        raw["maps"] = {name: MapSpec(**spec) for name, spec in raw["maps"].items()}
        return KernelObject(**raw)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
