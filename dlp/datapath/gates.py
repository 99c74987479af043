"""Programs on the egress of cgroups: BPF links (kernel 5.7), pinned to outlive the daemon.

A link ends with its cgroup; the pin that is left then holds nothing.
"""

from __future__ import annotations

import ctypes as ct
import os
from pathlib import Path

from dlp.datapath import libbpf
from dlp.errors import DlpError, KernelError

PINS = Path("/sys/fs/bpf/dlp/links")

_SYS_BPF = 321  # amd64
_LINK_CREATE, _LINK_UPDATE = 28, 29
_EGRESS = 1  # BPF_CGROUP_INET_EGRESS
_PREFIX = "gate-"

_libc = ct.CDLL(None, use_errno=True)


class _Create(ct.Structure):
    _fields_ = [
        ("program", ct.c_uint32),
        ("cgroup", ct.c_uint32),
        ("hook", ct.c_uint32),
        ("flags", ct.c_uint32),
    ]


class _Update(ct.Structure):
    _fields_ = [
        ("link", ct.c_uint32),
        ("program", ct.c_uint32),
        ("flags", ct.c_uint32),
        ("old", ct.c_uint32),
    ]


def pin_of(number: int, pins: Path = PINS) -> Path:
    """Where the gate of the cgroup with that id is pinned."""
    return pins / f"{_PREFIX}{number}"


def put(program: int, directory: Path, pin: Path) -> None:
    """Have the program asked for what leaves that cgroup.

    Takes the place of the program whose link is pinned there, without a packet between.

    Raises:
        KernelError: the cgroup is gone, or the kernel refuses.
    """
    if _replace(program, pin):
        return
    try:
        cgroup = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError(
            f"{directory} cannot be gated: {error.strerror}",
            remedy="the gate is put when the cgroup is made",
        ) from error
    try:
        link = _bpf(
            _LINK_CREATE, _Create(program, cgroup, _EGRESS, 0), f"{directory} cannot be gated"
        )
    finally:
        os.close(cgroup)
    try:
        pin.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        libbpf.pin(link, pin)
    except OSError as error:
        raise KernelError(
            f"{pin} cannot be made: {error.strerror}", remedy="see `dlp doctor`"
        ) from error
    finally:
        os.close(link)


def pinned(pins: Path = PINS) -> dict[int, Path]:
    """Pins of gates by the id of their cgroup."""
    try:
        names = [each.name for each in pins.iterdir()]
    except FileNotFoundError:
        return {}
    ids = [name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX)]
    return {int(number): pin_of(int(number), pins) for number in ids if number.isdigit()}


def remove_all(pins: Path = PINS) -> int:
    """Take every gate off; returns how many there were."""
    found = pinned(pins)
    for pin in found.values():
        pin.unlink(missing_ok=True)
    return len(found)


def _replace(program: int, pin: Path) -> bool:
    """Whether there was a live link to update; a dead one's pin is removed."""
    if not pin.exists():
        return False
    try:
        link = libbpf.open_pin(pin)
        try:
            _bpf(_LINK_UPDATE, _Update(link, program, 0, 0), f"updating {pin}")
        finally:
            os.close(link)
    except DlpError:
        pin.unlink(missing_ok=True)
        return False
    return True


def _bpf(command: int, attributes: ct.Structure, doing: str) -> int:
    size = ct.sizeof(attributes)
    result = int(_libc.syscall(_SYS_BPF, command, ct.byref(attributes), size))
    if result < 0:
        reason = os.strerror(ct.get_errno())
        raise KernelError(
            f"{doing}: {reason}",
            remedy="`bpftool cgroup tree` shows what else is attached there",
        )
    return result
