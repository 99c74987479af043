"""BPF links of TCX (kernel 6.6 on), by bpf(2): made first in the chain, pinned, updated.

A link outlives the process that made it as long as it is pinned. Neither the removal of clsact
nor another's filter takes it off, and it moves along with its device. Who holds CAP_BPF and
CAP_NET_ADMIN can put a program before ours (`order` tells), and with CAP_SYS_ADMIN cut a link
off its device (its index is 0 then).

libbpf 1.1 knows nothing of TCX, so the calls are made here; include/uapi/linux/bpf.h has their
structs. A device's index counts in the namespace that the calling thread is in.
"""

from __future__ import annotations

import contextlib
import ctypes as ct
import enum
import errno
import functools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dlp.datapath import libbpf
from dlp.datapath.grace import expedited
from dlp.datapath.pins import BPFFS, is_bpffs
from dlp.errors import KernelError

LINKS = BPFFS / "dlp/links"
_NAME = re.compile(r"\d+-\d+-(?:in|e)gress-(\d+)")
_BPFFS_REMEDY = "the BPF file system must be mounted and writable: see `mount -t bpf`"
_SYS_BPF = 321  # amd64
_PROG_BY_ID, _OBJ_GET_INFO, _PROG_QUERY = 13, 15, 16
_LINK_CREATE, _LINK_UPDATE, _LINK_BY_ID, _LINK_NEXT_ID, _LINK_DETACH = 28, 29, 30, 31, 34
_BEFORE = 1 << 3  # BPF_F_BEFORE: with no other named, before all
_LOOPBACK = 1
_CHAIN = 64  # BPF_MPROG_MAX
_LINK_TYPE_TCX = 11

_libc = ct.CDLL(None, use_errno=True)


class Hook(enum.IntEnum):
    """enum bpf_attach_type."""

    INGRESS = 46
    EGRESS = 47


class _Create(ct.Structure):
    _fields_ = [
        ("program", ct.c_uint32),
        ("index", ct.c_uint32),
        ("hook", ct.c_uint32),
        ("flags", ct.c_uint32),
        ("relative", ct.c_uint32),
        ("pad", ct.c_uint32),
        ("revision", ct.c_uint64),
    ]


class _Update(ct.Structure):
    _fields_ = [
        ("link", ct.c_uint32),
        ("program", ct.c_uint32),
        ("flags", ct.c_uint32),
        ("old", ct.c_uint32),
    ]


class _Query(ct.Structure):
    _fields_ = [
        ("index", ct.c_uint32),
        ("hook", ct.c_uint32),
        ("query_flags", ct.c_uint32),
        ("attach_flags", ct.c_uint32),
        ("programs", ct.c_uint64),
        ("count", ct.c_uint32),
        ("pad", ct.c_uint32),
        ("program_flags", ct.c_uint64),
        ("links", ct.c_uint64),
        ("link_flags", ct.c_uint64),
        ("revision", ct.c_uint64),
    ]


class _Info(ct.Structure):
    _fields_ = [("fd", ct.c_uint32), ("length", ct.c_uint32), ("info", ct.c_uint64)]


class _LinkInfo(ct.Structure):
    """The head of struct bpf_link_info, up to that of TCX."""

    _fields_ = [
        ("type", ct.c_uint32),
        ("id", ct.c_uint32),
        ("program", ct.c_uint32),
        ("pad", ct.c_uint32),
        ("index", ct.c_uint32),
        ("hook", ct.c_uint32),
        ("rest", ct.c_uint8 * 64),
    ]


@dataclass(frozen=True, slots=True)
class Link:
    """What the kernel says of a link; `index` of its device is 0 once it hangs on none."""

    id: int
    program: int
    index: int
    hook: int


@dataclass(frozen=True, slots=True)
class InChain:
    """Ids of a program on a device and of its link; the latter is 0 where it has none."""

    program: int
    link: int


class NoDeviceError(KernelError):
    """The device is gone."""


def _bpf(command: int, attributes: ct.Structure, doing: str) -> int:
    size = ct.sizeof(attributes)
    result = int(_libc.syscall(_SYS_BPF, command, ct.byref(attributes), size))
    if result >= 0:
        return result
    number = ct.get_errno()
    kind = NoDeviceError if number == errno.ENODEV else KernelError
    raise kind(f"{doing}: {os.strerror(number)}")


@functools.cache
def supported() -> bool:
    """Whether this kernel has TCX."""
    try:
        order(_LOOPBACK, Hook.EGRESS)
    except KernelError:
        return False
    return True


def create(program: int, index: int, hook: Hook) -> int:
    """Put a program first on a device; the descriptor of its link.

    Raises:
        KernelError: the device is gone, the program is on it already, or it is no classifier.
    """
    attributes = _Create(program=program, index=index, hook=hook, flags=_BEFORE)
    with expedited():
        return _bpf(_LINK_CREATE, attributes, "creating a link")


def release(fd: int) -> None:
    """Close the descriptor of a link; one that is pinned nowhere leaves its device."""
    with expedited():
        os.close(fd)


def update(link: int, program: int) -> None:
    """Put another program in the place of the link's, without a packet between the two.

    Raises:
        KernelError: the link hangs on no device.
    """
    _bpf(_LINK_UPDATE, _Update(link=link, program=program), "updating a link")


def detach(link: int) -> None:
    """Cut the link off its device, whoever else holds it; no error where it hangs on none."""
    attributes = (ct.c_uint32 * 1)(link)
    with expedited():
        failed = _libc.syscall(_SYS_BPF, _LINK_DETACH, ct.byref(attributes), 4) < 0
        number = ct.get_errno()
    if failed and number != errno.ENOLINK:
        raise KernelError(f"detaching a link: {os.strerror(number)}")


def info(link: int) -> Link:
    """What the kernel says of a link.

    Raises:
        KernelError: it is no link of TCX.
    """
    found = _LinkInfo()
    attributes = _Info(fd=link, length=ct.sizeof(found), info=ct.addressof(found))
    _bpf(_OBJ_GET_INFO, attributes, "reading a link")
    if found.type != _LINK_TYPE_TCX:
        raise KernelError("reading a link: it is not one of TCX")
    return Link(found.id, found.program, found.index, found.hook)


def order(index: int, hook: Hook) -> tuple[InChain, ...]:
    """What is on a device, in the order in which it is asked.

    Raises:
        NoDeviceError: it is gone.
        KernelError: this kernel has no TCX.
    """
    programs, found = (ct.c_uint32 * _CHAIN)(), (ct.c_uint32 * _CHAIN)()
    attributes = _Query(
        index=index,
        hook=hook,
        programs=ct.addressof(programs),
        count=_CHAIN,
        links=ct.addressof(found),
    )
    _bpf(_PROG_QUERY, attributes, "asking for the programs of a device")
    return tuple(InChain(programs[at], found[at]) for at in range(attributes.count))


def everywhere(hook: Hook) -> Iterator[tuple[int, str]]:
    """Ids of all links on a hook, whoever made them, and the names of their programs."""
    number = ct.c_uint32(0)
    while True:
        found = (ct.c_uint32 * 3)(number.value, 0, 0)
        if _libc.syscall(_SYS_BPF, _LINK_NEXT_ID, ct.byref(found), ct.sizeof(found)) < 0:
            return
        number = ct.c_uint32(found[1])
        fd = _by_id(number.value)
        if fd is None:
            continue
        try:
            link = info(fd)
            if link.hook == hook and link.index:
                yield number.value, program_name(link.program)
        except KernelError:
            pass  # of another type
        finally:
            os.close(fd)


def cut(number: int) -> bool:
    """Cut a link off its device by its id; False where it is gone."""
    fd = _by_id(number)
    if fd is None:
        return False
    try:
        detach(fd)
    finally:
        os.close(fd)
    return True


def _by_id(number: int, command: int = _LINK_BY_ID) -> int | None:
    attributes = (ct.c_uint32 * 3)(number, 0, 0)
    fd = int(_libc.syscall(_SYS_BPF, command, ct.byref(attributes), ct.sizeof(attributes)))
    return fd if fd >= 0 else None


def program_name(number: int) -> str:
    """Of the program with that id; empty where it is gone."""
    fd = _by_id(number, _PROG_BY_ID)
    if fd is None:
        return ""
    try:
        return libbpf.program_info(fd).name
    finally:
        os.close(fd)


class Pins:
    """Links pinned in a directory of bpffs, each under NAMESPACE-INDEX-HOOK-ID.

    Others' pins may lie beside them. The id tells links apart for good; the rest says where one
    was made, and its device may have been moved since. Not safe for use by several threads.
    """

    def __init__(self, directory: Path = LINKS) -> None:
        self.directory = directory
        self._names: dict[int, str] = {}
        with contextlib.suppress(OSError):
            for path in directory.iterdir():
                found = _NAME.fullmatch(path.name)
                if found:
                    self._names[int(found[1])] = path.name

    def __contains__(self, link: int) -> bool:
        return link in self._names

    def __iter__(self) -> Iterator[int]:
        return iter(tuple(self._names))

    @property
    def usable(self) -> bool:
        """Whether a link can be pinned now."""
        try:
            self.prepare()
        except KernelError:
            return False
        return True

    def prepare(self) -> None:
        """See to it that a link can be pinned, before one is made.

        Raises:
            KernelError: the directory cannot be made or written in.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise KernelError(
                f"{self.directory} cannot be made: {error.strerror}", remedy=_BPFFS_REMEDY
            ) from error
        if not is_bpffs(self.directory):
            raise KernelError(f"{self.directory} lies in no BPF file system", remedy=_BPFFS_REMEDY)
        if not os.access(self.directory, os.W_OK):
            raise KernelError(f"{self.directory} cannot be written in", remedy=_BPFFS_REMEDY)

    def add(self, fd: int, place: str) -> int:
        """Pin a link; its id.

        Raises:
            KernelError: it cannot be pinned, so that it ends with its descriptor.
        """
        number = info(fd).id
        name = f"{place}-{number}"
        try:
            libbpf.pin(fd, self.directory / name)
        except KernelError as error:
            raise KernelError(error.message, remedy=_BPFFS_REMEDY) from error
        self._names[number] = name
        return number

    def open(self, number: int) -> int | None:
        """A descriptor of a pinned link; None where the pin is gone or is another's."""
        name = self._names.get(number)
        if name is None:
            return None
        try:
            fd = libbpf.open_pin(self.directory / name)
        except KernelError:
            return None
        try:
            if info(fd).id == number:
                return fd
        except KernelError:
            pass
        os.close(fd)
        return None

    def info(self, number: int) -> Link | None:
        """What the kernel says of a pinned link; None where the pin is gone."""
        fd = self.open(number)
        if fd is None:
            return None
        try:
            return info(fd)
        finally:
            os.close(fd)

    def update(self, number: int, program: int) -> None:
        """See `update`. Raises KernelError: the pin is gone, or the link hangs on no device."""
        fd = self.open(number)
        if fd is None:
            raise KernelError("updating a link: its pin is gone")
        try:
            update(fd, program)
        finally:
            os.close(fd)

    def detach(self, number: int) -> bool:
        """Take a link off its device and unpin it; False where it was not there."""
        fd = self.open(number)
        if fd is not None:
            try:
                detach(fd)
            finally:
                os.close(fd)
        self._forget(number)
        return fd is not None

    def sweep(self) -> list[int]:
        """Unpin links whose device is gone; their ids."""
        swept = []
        for number in self:
            found = self.info(number)
            if found is None or not found.index:
                self._forget(number)
                swept.append(number)
        return swept

    def hook(self, number: int) -> Hook:
        """Where a pinned link was put."""
        return Hook.EGRESS if "-egress-" in self._names[number] else Hook.INGRESS

    def _forget(self, number: int) -> None:
        name = self._names.pop(number, None)
        if name is not None:
            with contextlib.suppress(OSError):
                (self.directory / name).unlink()
