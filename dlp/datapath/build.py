"""Compile bpf/ with bcc: a process of its own that ends when done.

The one module that imports bcc. It runs as `python -m dlp.datapath.build`, because a
compiler in the daemon would cost it 100 MB for good. Nothing is loaded into the kernel
here but the maps that bcc makes while it compiles, which go with the process.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dlp.datapath import headers, source
from dlp.datapath.objects import KernelObject, MapSpec, ProgramSpec
from dlp.datapath.pins import MAPS, PROGRAMS
from dlp.errors import DlpError, KernelError, MissingDependency

CFLAGS = ["-Wall", "-Werror", "-Wno-unused-function", "-Wno-address-of-packed-member"]
_LDDW = 0x18
_PSEUDO_MAP_FD = 1
_WIDTH = 8
_LOG_LINES = 12


def build(text: str) -> KernelObject:
    """Compile a joined source.

    Raises:
        MissingDependency: bcc or kernel headers are not there.
        KernelError: it does not compile; with the end of the compiler's words.
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
    started = time.monotonic()
    with _captured_stderr() as words:
        try:
            module = BPF(text=text.encode(), cflags=CFLAGS)
        except Exception as error:
            raise KernelError(f"bpf/ does not compile:\n{words()}") from error
    # Not module[name]: that builds Python classes, and knows no signed char.
    fds = {name: lib.bpf_table_fd(module.module, name.encode()) for name in MAPS}
    by_fd = {fd: name for name, fd in fds.items()}
    return KernelObject(
        digest=source.digest(text),
        state=source.state_digest(text),
        headers=tree.origin,
        compile_s=round(time.monotonic() - started, 3),
        programs={name: _program(module.dump_func(name.encode()), by_fd) for name in PROGRAMS},
        maps={name: _map(lib, module.module, name.encode()) for name in MAPS},
    )


def _map(lib: Any, module: Any, name: bytes) -> MapSpec:
    return MapSpec(
        type=lib.bpf_table_type(module, name),
        key_size=lib.bpf_table_key_size(module, name),
        value_size=lib.bpf_table_leaf_size(module, name),
        max_entries=lib.bpf_table_max_entries(module, name),
        flags=lib.bpf_table_flags(module, name),
    )


def _program(code: bytes, maps: dict[int, str]) -> ProgramSpec:
    """The instructions with, for each load of a map's descriptor, the map's name."""
    found = {}
    for index in range(len(code) // _WIDTH):
        at = index * _WIDTH
        if code[at] == _LDDW and code[at + 1] >> 4 == _PSEUDO_MAP_FD:
            found[index] = maps[int.from_bytes(code[at + 4 : at + 8], "little")]
    return ProgramSpec(code.hex(), found)


@contextlib.contextmanager
def _captured_stderr() -> Iterator[Callable[[], str]]:
    """The compiler writes to descriptor 2; keep that, to say the end of it."""
    with tempfile.TemporaryFile() as file:
        saved = os.dup(2)
        os.dup2(file.fileno(), 2)

        def words() -> str:
            file.seek(0)
            lines = file.read().decode(errors="replace").splitlines()
            return "\n".join(line[:240] for line in lines[-_LOG_LINES:])

        try:
            yield words
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def main() -> int:
    """Compile one file; a failure is told as JSON on standard output."""
    parser = argparse.ArgumentParser(prog="python -m dlp.datapath.build", description=__doc__)
    parser.add_argument("source", type=Path, help="joined source")
    parser.add_argument("object", type=Path, help="file to write")
    arguments = parser.parse_args()
    try:
        build(arguments.source.read_text()).write(arguments.object)
    except DlpError as error:
        told = {"error": type(error).__name__, "message": error.message, "remedy": error.remedy}
        json.dump(told, sys.stdout)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
