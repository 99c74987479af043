"""Load a compiled object into the kernel and pin it.

Maps that hold what flows remember are taken over from an older build whose layout is
the same, so that an upgrade forgets no flow.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ctypes import c_uint32

from dlp.datapath import libbpf
from dlp.datapath.abi import Slot
from dlp.datapath.objects import KernelObject, MapSpec, ProgramSpec
from dlp.datapath.pins import COPIED, STATE, Layout, Manifest
from dlp.errors import KernelError

_WIDTH = 8


def load(
    built: KernelObject,
    layout: Layout,
    *,
    older: Iterable[Layout] = (),
    aside: Layout | None = None,
) -> Manifest:
    """Create or take over the maps, load the programs, pin all, write the manifest.

    Args:
        older: layouts of other builds; the first whose state fits hands its flows on.
        aside: pins of this same build whose manifest is lost; they do where no other fits, so
            that a guard goes on to know the tokens that it checks.

    Raises:
        KernelError: the kernel refuses a map or a program, with the end of the
            verifier's words; nothing stays pinned.
    """
    started = time.monotonic()
    donor = _donor(built, older) or aside
    with contextlib.ExitStack() as stack:
        maps: dict[str, int] = {}
        for name, spec in built.maps.items():
            maps[name] = _map(name, spec, donor if name in STATE else None)
            stack.callback(os.close, maps[name])
        programs = dict(_load_programs(built.programs, maps))
        for fd in programs.values():
            stack.callback(os.close, fd)
        slots = libbpf.Map("programs", maps["programs"], c_uint32, c_uint32)
        for slot in Slot:
            slots.update(c_uint32(slot), c_uint32(programs[slot.name.lower()]))
        manifest = Manifest(
            digest=built.digest,
            state=built.state,
            headers=built.headers,
            compile_s=built.compile_s,
            load_s=round(time.monotonic() - started, 3),
            verified={
                name: libbpf.program_info(fd).verified_instructions for name, fd in programs.items()
            },
            flows_from=donor.pins.name if donor else "",
            copied={name: built.programs[name] for name in COPIED},
        )
        _pin(layout, programs, maps, manifest)
    return manifest


def relocated(program: ProgramSpec, maps: dict[str, int]) -> bytearray:
    """The instructions with the maps' descriptors put in."""
    code = bytearray.fromhex(program.code)
    for index, name in program.maps.items():
        at = index * _WIDTH
        code[at + 4 : at + 8] = maps[name].to_bytes(4, "little")
    return code


def _donor(built: KernelObject, older: Iterable[Layout]) -> Layout | None:
    for layout in older:
        manifest = layout.read()
        if manifest is not None and manifest.state == built.state:
            return layout
    return None


def _map(name: str, spec: MapSpec, donor: Layout | None) -> int:
    if donor is not None:
        return libbpf.open_pin(donor.map(name))
    return libbpf.create_map(name, spec)


def _load_programs(
    programs: dict[str, ProgramSpec], maps: dict[str, int]
) -> Iterator[tuple[str, int]]:
    """Load all, on two processors: the verifier takes its time and needs no lock of ours."""

    def one(name: str) -> int:
        code = bytes(relocated(programs[name], maps))
        return libbpf.load_program(name, code, kind=libbpf.KINDS.get(name))

    with ThreadPoolExecutor(2, thread_name_prefix="verify") as pool:
        pending = {name: pool.submit(one, name) for name in programs}
    failed = [name for name, future in pending.items() if future.exception() is not None]
    for name, future in pending.items():
        if name not in failed:
            if failed:
                os.close(future.result())
            else:
                yield name, future.result()
    if failed:
        error = pending[failed[0]].exception()
        raise KernelError(
            f"the kernel refuses program {failed[0]}: {error}",
            remedy="kernels from 6.1 on are supported; see `dlp doctor`",
        ) from error


def _pin(
    layout: Layout, programs: dict[str, int], maps: dict[str, int], manifest: Manifest
) -> None:
    try:
        layout.pins.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KernelError(
            f"{layout.pins} cannot be made: {error.strerror}",
            remedy="the BPF file system must be writable: mount -o remount,rw /sys/fs/bpf",
        ) from error
    try:
        for name, fd in programs.items():
            libbpf.pin(fd, layout.program(name))
        for name, fd in maps.items():
            libbpf.pin(fd, layout.map(name))
        layout.write(manifest)
    except BaseException:
        layout.remove()
        raise
