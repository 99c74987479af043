"""The one file of a release: a tar (POSIX ustar) in the only form that is accepted.

    root/N.json      roots of the trust, N ascending; may be missing
    release.json     metadata
    packs/NAME.yaml  by name

Regular files only, in this order, each name once, no owner, no time, zero padding, two
zero blocks at the end and nothing behind them. A header must equal, byte for byte, the one
that is written here for its name and size; so nothing in the file goes unread, and no
reader is needed that knows links, devices, sparse files or extensions.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from dlp.errors import ReleaseError
from dlp.releases.metadata import PACKS, pack_of, path_of

MAX_SIZE: Final = 16 << 20
ROOTS: Final = 64
METADATA: Final = "release.json"

_BLOCK = 512
_ROOT = re.compile(r"root/([1-9][0-9]{0,8})\.json")
_END = bytes(2 * _BLOCK)
_KINDS = {
    b"1": "a link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"5": "a directory",
    b"6": "a pipe",
}


@dataclass(frozen=True, slots=True)
class Archive:
    """The files of a release. `packs`: by name, without path."""

    roots: tuple[bytes, ...]
    release: bytes
    packs: Mapping[str, bytes] = field(repr=False)


def write(roots: Sequence[bytes], release: bytes, packs: Mapping[str, bytes]) -> bytes:
    """The archive's bytes; `roots` from version 1 on."""
    files = [(f"root/{number}.json", root) for number, root in enumerate(roots, 1)]
    files.append((METADATA, release))
    files.extend((path_of(name), packs[name]) for name in sorted(packs))
    parts = []
    for name, data in files:
        parts += [_header(name, len(data)), data, bytes(-len(data) % _BLOCK)]
    return b"".join([*parts, _END])


def read(raw: bytes, *, max_size: int = MAX_SIZE) -> Archive:
    """Read an archive strictly.

    Raises:
        ReleaseError: too large, cut short, or in any way other than `write` makes it.
    """
    if len(raw) > max_size:
        raise ReleaseError(f"the archive is larger than {max_size >> 20} MiB", reason="too_large")
    roots: dict[int, bytes] = {}
    release: bytes | None = None
    packs: dict[str, bytes] = {}
    order: list[tuple[int, int, str]] = []
    for name, data in _files(raw):
        root = _ROOT.fullmatch(name)
        pack = pack_of(name)
        if root:
            roots[int(root[1])] = data
            order.append((0, int(root[1]), name))
        elif name == METADATA:
            release = data
            order.append((1, 0, name))
        elif pack is not None:
            packs[pack] = data
            order.append((2, 0, name))
        else:
            raise _unlike("it holds a file that no release has")
        if len(order) > 1 and order[-1] <= order[-2]:
            raise _unlike("a file is there twice or out of order")
        if len(roots) > ROOTS or len(packs) > PACKS:
            raise _unlike("it holds too many files")
    if release is None:
        raise _unlike(f"it lacks {METADATA}")
    return Archive(tuple(roots.values()), release, packs)


def _files(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file. Raises ReleaseError."""
    at = 0
    while True:
        block = raw[at : at + _BLOCK]
        if len(block) < _BLOCK:
            raise _truncated() if at or _begins(block) else _unlike("it is something else")
        if not any(block):
            break
        name, size = _told(block)
        if block != _header(name, size):
            raise _unlike("a header is not as dlp writes it")
        start, end = at + _BLOCK, at + _BLOCK + size
        at = end + -size % _BLOCK
        if at > len(raw):
            raise _truncated()
        if any(raw[end:at]):
            raise _unlike("there are bytes between two files")
        yield name, raw[start:end]
    rest = raw[at:]
    if rest != _END:
        if len(rest) < len(_END):
            raise _truncated()
        raise _unlike("there are bytes behind its end")


def _begins(block: bytes) -> bool:
    """Whether the first bytes of a file could be those of an archive."""
    names = (b"root/", METADATA.encode())
    return any(block[: len(name)] == name[: len(block)] for name in names)


def _told(block: bytes) -> tuple[str, int]:
    """Name and size that a header tells."""
    kind = block[156:157]
    if kind != b"0":
        raise _unlike(f"it holds {_KINDS.get(kind, 'something that is no file')}")
    name = block[:100].split(b"\0", 1)[0]
    digits = block[124:135]
    if not re.fullmatch(rb"[0-7]{11}", digits) or not re.fullmatch(rb"[a-z0-9./-]+", name):
        raise _unlike("a header is not as dlp writes it")
    return name.decode("ascii"), int(digits, 8)


def _header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry.tobuf(tarfile.USTAR_FORMAT, "ascii")


def _truncated() -> ReleaseError:
    return ReleaseError(
        "the archive is cut short", reason="truncated", remedy="upload it again, whole"
    )


def _unlike(why: str) -> ReleaseError:
    return ReleaseError(
        f"this is no archive of a release: {why}",
        reason="malformed",
        remedy="`dlp release build` makes one",
    )
