"""Kernel headers for bcc, also on a host that has none for the kernel it runs.

bcc looks in /lib/modules/$(uname -r)/{build,source} and, failing that, unpacks the kernel's own
archive under /tmp. The first is missing wherever the kernel was not built by the distribution, the
second is a place where others may write (CVE-2024-2314). So we look first, and name a tree of our
own through BCC_KERNEL_SOURCE where bcc would not find one.

Any release of the headers serves, because the C sources use UAPI structs only, and those grow at
their ends. This module never writes outside its cache directory, /lib/modules least of all.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dlp.errors import MissingHeaders

# What bcc reads before the first line of ours: configuration, then the macros that query it.
_GENERATED = Path("include/generated/autoconf.h")
_SHARED = Path("include/linux/kconfig.h")
_VARIABLE = "BCC_KERNEL_SOURCE"
_ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class HeaderTree:
    """Headers that bcc can compile against.

    `path` is None where bcc finds them by itself. `origin` says in words where they come from,
    `release` which kernel they belong to ("" if unknown): not always the one that runs.
    """

    path: Path | None
    origin: str
    release: str


def find(
    *, root: Path = _ROOT, cache: Path | None = None, release: str | None = None
) -> HeaderTree:
    """Return the tree to compile against, assembling it if need be (some 10 ms, once).

    In this order: what the operator set in BCC_KERNEL_SOURCE; the running kernel's own; its
    archive in /sys/kernel; the oldest that is installed for any kernel, since bcc parses them with
    the clang it was built with, and newer headers use attributes that an old clang does not know.

    Raises MissingHeaders if there are none, or none that are complete.
    """
    release = release or platform.release()
    cache = cache or _cache_dir()
    if chosen := os.environ.get(_VARIABLE):
        return _from_operator(Path(chosen))
    modules = root / "lib/modules" / release
    if _is_file(modules / "build" / _GENERATED) and (
        _is_file(modules / "source" / _SHARED) or _is_file(modules / "build" / _SHARED)
    ):
        return HeaderTree(None, "the running kernel's headers", release)
    archive = root / "sys/kernel/kheaders.tar.xz"
    if _is_file(archive):
        path = _once(cache, f"kheaders {release} {platform.version()}", _unpack(archive))
        return HeaderTree(path, "the running kernel's archive of headers", release)
    for build in _installed(root):
        if tree := _from_package(build, root, cache):
            return tree
    raise MissingHeaders(
        f"no kernel headers, neither for the running kernel {release} nor for another",
        remedy="apt-get install linux-headers-amd64",
    )


def use(tree: HeaderTree) -> None:
    """Hand the tree to every later compilation by bcc in this process and its children."""
    if tree.path is not None:
        os.environ[_VARIABLE] = str(tree.path)
    else:
        # Set but empty, it would send bcc to a directory without a name.
        os.environ.pop(_VARIABLE, None)


def _from_operator(path: Path) -> HeaderTree:
    if not (_is_file(path / _GENERATED) and _is_file(path / _SHARED)):
        raise MissingHeaders(
            f"{_VARIABLE} names {path}, which is no complete tree of kernel headers",
            remedy=f"unset {_VARIABLE}, or name a tree that has {_GENERATED} and {_SHARED}",
        )
    return HeaderTree(path, f"{_VARIABLE} in the environment", _release_of(path))


def _from_package(build: Path, root: Path, cache: Path) -> HeaderTree | None:
    """Return the tree of one installed package, or None if half of it is missing."""
    release = _release_of(build)
    if _is_file(build / _SHARED):
        return HeaderTree(build, str(build), release)
    common = _common_half(build, root)
    if common is None or not _is_file(common / _SHARED):
        return None
    # Times too: an update may keep the name and bring other files.
    times = [(build / _GENERATED).stat().st_mtime_ns, (common / _SHARED).stat().st_mtime_ns]
    path = _once(cache, f"{build} {common} {times}", _merge(build, common))
    return HeaderTree(path, f"assembled from {build.name} and {common.name}", release)


def _installed(root: Path) -> Iterator[Path]:
    """Yield header directories, oldest release first."""
    patterns = ("usr/src/linux-headers-*", "usr/src/kernels/*", "lib/modules/*/build")
    found = [path for pattern in patterns for path in root.glob(pattern)]
    builds = {path.resolve() for path in found if _is_file(path / _GENERATED)}
    return iter(sorted(builds, key=lambda path: _ordering(_release_of(path) or path.name)))


def _common_half(build: Path, root: Path) -> Path | None:
    """Return the half that Debian shares between flavours: the build half's Makefile names it."""
    try:
        makefile = (build / "Makefile").read_text(errors="replace")
    except OSError:
        return None
    named = re.search(r"^include /(\S+)/Makefile$", makefile, re.MULTILINE)
    return root / named[1] if named else None


def _release_of(tree: Path) -> str:
    try:
        text = (tree / "include/generated/utsrelease.h").read_text()
    except OSError:
        return ""
    named = re.search(r'UTS_RELEASE "([^"]+)"', text)
    return named[1] if named else ""


def _ordering(release: str) -> tuple[tuple[int, ...], str]:
    numbers = re.match(r"\D*(\d+(?:\.\d+)*)(?:-(\d+))?", release)
    if numbers is None:
        return (), release
    return (*map(int, numbers[1].split(".")), int(numbers[2] or 0)), release


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


# ------------------------------------------------------------------------------------ the cache


def _cache_dir() -> Path:
    # root ignores XDG_CACHE_HOME: sudo may pass on that of a user, who could then write there.
    if os.geteuid() == 0:
        return Path("/var/cache/dlp/headers")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "dlp/headers"


def _once(cache: Path, key: str, fill: Callable[[Path], None]) -> Path:
    """Return the cache's directory for `key`, filled before it appears under its name."""
    path = cache / hashlib.sha256(key.encode()).hexdigest()[:16]
    if path.is_dir():
        return path
    try:
        cache.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".new-", dir=cache))
    except OSError as error:
        raise MissingHeaders(
            f"the cache of kernel headers {cache} is not writable: {error.strerror}",
            remedy=f"make it writable, or name a complete tree in {_VARIABLE}",
        ) from error
    try:
        fill(draft)
        draft.chmod(0o755)
        draft.rename(path)
    except (OSError, tarfile.TarError) as error:
        shutil.rmtree(draft, ignore_errors=True)
        if not path.is_dir():  # else another process was faster, with the same content
            raise MissingHeaders(
                f"kernel headers could not be assembled in {cache}: {error}",
                remedy=f"free space there, or name a complete tree in {_VARIABLE}",
            ) from error
    return path


def _merge(*halves: Path) -> Callable[[Path], None]:
    """Fill a directory with links to what is in the halves; directories of both are merged."""

    def fill(target: Path, parts: tuple[Path, ...] = halves) -> None:
        entries: dict[str, list[Path]] = {}
        for part in parts:
            for entry in part.iterdir():
                entries.setdefault(entry.name, []).append(entry)
        for name, sources in entries.items():
            if len(sources) > 1 and all(source.is_dir() for source in sources):
                (target / name).mkdir()
                fill(target / name, tuple(sources))
            else:
                (target / name).symlink_to(sources[0])

    return fill


def _unpack(archive: Path) -> Callable[[Path], None]:
    def fill(target: Path) -> None:
        with tarfile.open(archive, "r:xz") as bundle:
            bundle.extractall(target)  # noqa: S202 - the kernel itself wrote it

    return fill
