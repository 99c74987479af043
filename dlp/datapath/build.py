"""Compile bpf/ with bcc, load it and pin it: a process of its own that ends when done.

The one module that imports bcc. It runs as `python -m dlp.datapath.build`, because a
compiler in the daemon would cost it 100 MB for good. What it leaves: programs and maps
pinned in a directory of bpffs, and a manifest that lets the daemon go on without bcc.
"""

from __future__ import annotations

import argparse
import ctypes as ct
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from dlp.datapath import headers, libbpf, source
from dlp.datapath.abi import Slot
from dlp.datapath.pins import MAPS, PROGRAMS, Layout, Manifest
from dlp.errors import DlpError, KernelError, MissingDependency

CFLAGS = ["-Wall", "-Werror", "-Wno-unused-function", "-Wno-address-of-packed-member"]
_LDDW = 0x18
_PSEUDO_MAP_FD = 1
_WIDTH = 8
_LOG_LINES = 12


def build(bpf: Path, layout: Layout, *, text: str | None = None) -> Manifest:
    """Compile, load, pin and write the manifest.

    Args:
        bpf: directory of the sources.
        layout: where to pin; the directory is made, and removed again on failure.
        text: source to use instead of the one in `bpf` (mutation tests).

    Raises:
        MissingDependency: bcc or kernel headers are not there.
        KernelError: it does not compile, or the kernel refuses it; with the end of the
            compiler's or verifier's words.
    """
    tree = headers.find()
    headers.use(tree)
    try:
        from bcc import BPF, lib  # noqa: PLC0415 - only this process pays for it
    except ImportError as error:
        raise MissingDependency(
            "the BCC bindings for Python are missing",
            remedy="apt-get install python3-bpfcc; the venv needs --system-site-packages",
        ) from error

    text = text if text is not None else source.joined(bpf)
    started = time.monotonic()
    with _captured_stderr() as log:
        try:
            module = BPF(text=text.encode(), cflags=CFLAGS)
        except Exception as error:
            raise KernelError(f"bpf/ does not compile:\n{log()}") from error
        compiled = time.monotonic()
        loaded: dict[str, Any] = {}
        for name in PROGRAMS:
            try:
                loaded[name] = module.load_func(name.encode(), BPF.SCHED_CLS)
            except Exception as error:
                raise KernelError(
                    f"the kernel refuses program {name}:\n{log()}",
                    remedy="kernels from 6.1 on are supported; see `dlp doctor`",
                ) from error
    # Not module[name]: that builds Python classes, and knows no signed char.
    fds = {name: lib.bpf_table_fd(module.module, name.encode()) for name in MAPS}
    slots = libbpf.Map("programs", fds["programs"], ct.c_uint32, ct.c_uint32)
    for slot in Slot:
        slots.update(ct.c_uint32(slot), ct.c_uint32(loaded[slot.name.lower()].fd))
    done = time.monotonic()

    instructions = module.dump_func(b"entry")
    manifest = Manifest(
        digest=source.digest(text),
        headers=tree.origin,
        compile_s=round(compiled - started, 3),
        load_s=round(done - compiled, 3),
        verified={
            name: libbpf.program_info(function.fd).verified_instructions
            for name, function in loaded.items()
        },
        entry=instructions.hex(),
        relocations=_relocations(instructions, {fd: name for name, fd in fds.items()}),
    )
    layout.pins.mkdir(parents=True, exist_ok=True)
    try:
        for name, function in loaded.items():
            libbpf.pin(function.fd, layout.program(name))
        for name, fd in fds.items():
            libbpf.pin(fd, layout.map(name))
        layout.write(manifest)
    except BaseException:
        layout.remove()
        raise
    return manifest


def _relocations(instructions: bytes, maps: dict[int, str]) -> dict[int, str]:
    """Instruction index to map name, for each load of a map's descriptor."""
    found = {}
    for index in range(len(instructions) // _WIDTH):
        at = index * _WIDTH
        if instructions[at] == _LDDW and instructions[at + 1] >> 4 == _PSEUDO_MAP_FD:
            fd = int.from_bytes(instructions[at + 4 : at + 8], "little")
            found[index] = maps[fd]
    return found


class _captured_stderr:  # noqa: N801 - used as a function
    """bcc and the verifier write to descriptor 2; keep that to say the end of it."""

    def __enter__(self) -> Any:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._saved = os.dup(2)
        os.dup2(self._file.fileno(), 2)

        def words() -> str:
            self._file.seek(0)
            lines = self._file.read().decode(errors="replace").splitlines()
            return "\n".join(line[:240] for line in lines[-_LOG_LINES:])

        return words

    def __exit__(self, *_: object) -> None:
        os.dup2(self._saved, 2)
        os.close(self._saved)
        self._file.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dlp.datapath.build", description=__doc__)
    parser.add_argument("--bpf", type=Path, required=True, help="directory of the C sources")
    parser.add_argument("--pins", type=Path, required=True, help="directory of bpffs to pin in")
    parser.add_argument("--manifest", type=Path, required=True, help="file to write")
    parser.add_argument("--text", type=Path, help="joined source to use instead")
    arguments = parser.parse_args()
    try:
        manifest = build(
            arguments.bpf,
            Layout(arguments.pins, arguments.manifest),
            text=arguments.text.read_text() if arguments.text else None,
        )
    except DlpError as error:
        json.dump(
            {"error": type(error).__name__, "message": error.message, "remedy": error.remedy},
            sys.stdout,
        )
        return error.exit_code
    json.dump({"digest": manifest.digest}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
