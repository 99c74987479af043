"""Compiled sets kept in a directory under the digest of what they were made of.

A file is named by the packs, by the options and by the compiler's own sources, and begins with
the digest of its content. One that is damaged, or that others could have written, is as good as
none: it is made anew. A directory that cannot be written to costs time, nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

from dlp.model import Subject
from dlp.signatures import imagefile
from dlp.signatures.collector import paused
from dlp.signatures.compiler import compile_packs
from dlp.signatures.image import KernelImage
from dlp.signatures.pack import Pack
from dlp.signatures.subjects import subjects

SYSTEM = Path("/var/cache/dlp/images")
FORMAT: Final = b"dlp-cache 1 "
KEPT: Final = 32  # files in the directory, the latest

_T = TypeVar("_T")
_PARTIAL: Final = ".partial-"
_NOT_COMPILED: Final = {"place", "lines"}


def usual_directory() -> Path:
    """Root's, or that of the user who asks."""
    # root ignores XDG_CACHE_HOME: sudo may pass on that of a user, who could then write there.
    if os.geteuid() == 0:
        return SYSTEM
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dlp" / "images"


class Cache:
    """Compiles as `compile_packs` does, or takes what it made before.

    Args:
        directory: made where it is missing, mode 0700; None to keep nothing.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def image(
        self, packs: Sequence[Pack], *, stride: int | None = None, held: Collection[str] = ()
    ) -> KernelImage:
        """The image of these packs. Raises PackError as `compile_packs`."""
        return self._kept(
            "image",
            [*_told(packs), repr(stride), *sorted(held)],
            lambda: compile_packs(packs, stride=stride, held=held),
            imagefile.dumps,
            imagefile.loads,
        )

    def found(
        self, packs: Sequence[Pack], *, stride: int | None = None, held: Collection[str] = ()
    ) -> KernelImage | None:
        """The image of these packs as it was kept; None where it has to be compiled."""
        file = self._file("image", [*_told(packs), repr(stride), *sorted(held)])
        return _taken(file, imagefile.loads) if file else None

    def found_subjects(self, packs: Sequence[Pack]) -> tuple[Subject, ...] | None:
        """What policies know of these packs as it was kept; None where it has to be made."""
        file = self._file("subjects", [*_told(packs)])
        return _taken(file, _subjects) if file else None

    def subjects(self, packs: Sequence[Pack]) -> tuple[Subject, ...]:
        """What policies know of these packs. Raises PackError as `subjects.subjects`."""
        return self._kept("subjects", [*_told(packs)], lambda: subjects(packs), _listed, _subjects)

    def _kept(
        self,
        kind: str,
        made_of: list[str],
        make: Callable[[], _T],
        dumps: Callable[[_T], str],
        loads: Callable[[str], _T],
    ) -> _T:
        file = self._file(kind, made_of)
        if file is None:
            return make()
        taken = _taken(file, loads)
        if taken is not None:
            return taken
        made = make()
        with contextlib.suppress(OSError):
            _write(file, dumps(made))
        return made

    def _file(self, kind: str, made_of: list[str]) -> Path | None:
        if self._directory is None:
            return None
        key = hashlib.sha256("\0".join([_compiler(), *made_of]).encode()).hexdigest()
        return self._directory / f"{kind}-{key}"


def _taken(file: Path, loads: Callable[[str], _T]) -> _T | None:
    text = _read(file)
    if text is None:
        return None
    try:
        with paused():
            return loads(text)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None  # of another hand, whatever its digest says


def _told(packs: Sequence[Pack]) -> Iterator[str]:
    """All of a set that goes into what is made of it; where it stands in a file does not."""
    for pack in packs:
        for one in pack.signatures:
            yield repr(
                [getattr(one, each.name) for each in fields(one) if each.name not in _NOT_COMPILED]
            )


@cache
def _compiler() -> str:
    """Digest of this room's sources and of Python, whose parser reads the expressions."""
    digest = hashlib.sha256(sys.version.encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _read(file: Path) -> str | None:
    """The content, or None where there is none that can be used."""
    try:
        with file.open("rb") as stream:
            found = os.fstat(stream.fileno())
            if found.st_uid != os.geteuid() or found.st_mode & 0o022:
                return None
            header, _, body = stream.read().partition(b"\n")
    except OSError:
        return None
    if header != FORMAT + hashlib.sha256(body).hexdigest().encode():
        return None
    return body.decode("ascii", "replace")


def _write(file: Path, text: str) -> None:
    """Whole or not at all; for the owner only. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    body = text.encode("ascii")
    handle, partial = tempfile.mkstemp(dir=file.parent, prefix=_PARTIAL)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(FORMAT + hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        Path(partial).replace(file)
    except OSError:
        Path(partial).unlink(missing_ok=True)
        raise
    kept = [one for one in file.parent.iterdir() if not one.name.startswith(_PARTIAL)]
    for old in sorted(kept, key=lambda one: one.stat().st_mtime, reverse=True)[KEPT:]:
        old.unlink(missing_ok=True)


def _listed(found: tuple[Subject, ...]) -> str:
    return json.dumps([[getattr(one, each.name) for each in fields(one)] for one in found])


def _subjects(text: str) -> tuple[Subject, ...]:
    return tuple(map(_subject, json.loads(text)))


def _subject(raw: list[Any]) -> Subject:
    values: dict[str, Any] = {
        each.name: tuple(value) if isinstance(value, list) else value
        for each, value in zip(fields(Subject), raw, strict=True)
    }
    return Subject(**values)
