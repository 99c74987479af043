"""Kernel images: fetched from the configured Debian sources, kept unpacked in a cache.

Only the archive's own packages are used, so that what is tested is what Debian 12 runs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

# The plain flavour: the cloud flavour lacks 9p, through which the guest sees its root.
PACKAGES = {
    "6.1": re.compile(r"linux-image-6\.1\.0-\d+-amd64"),
    "6.12": re.compile(r"linux-image-6\.12\.\d+\+deb12-amd64"),
}


class ImageError(Exception):
    """A kernel could not be had; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Image:
    """An unpacked kernel package. `series` is 6.1 or 6.12, `release` what uname -r will say."""

    series: str
    release: str
    root: Path

    @property
    def vmlinuz(self) -> Path:
        """The compressed kernel."""
        return self.root / f"boot/vmlinuz-{self.release}"

    @property
    def modules(self) -> Path:
        """lib/modules/RELEASE of the package, with modules.dep made."""
        return self.root / "lib/modules" / self.release


def get(series: str, cache: Path) -> Image:
    """Return the newest image of a series: the cached one, else fetch it. Raises ImageError."""
    for root in sorted(cache.glob(f"linux-image-{series}.*"), key=_numbers, reverse=True):
        return _image(series, root)
    package = _newest(series)
    if package is None:
        _run("apt-get", "-q", "update")
        package = _newest(series)
    if package is None:
        raise ImageError(
            f"no Debian package of kernel {series} in the configured sources; "
            "add bookworm-security (or bookworm-backports) to them"
        )
    return _image(series, _fetch(package, cache))


def _newest(series: str) -> str | None:
    names = _run("apt-cache", "pkgnames", f"linux-image-{series}.").split()
    return max((n for n in names if PACKAGES[series].fullmatch(n)), key=_numbers, default=None)


def _numbers(name: str | Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", Path(name).name)]


def _fetch(package: str, cache: Path) -> Path:
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / package
    with tempfile.TemporaryDirectory(prefix=".new-", dir=cache) as directory:
        draft = Path(directory)
        # Without the sandbox user, who may not enter a checkout under /root.
        _run("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package, cwd=draft)
        (archive,) = draft.glob("*.deb")
        root = draft / "root"
        _run("dpkg-deb", "--extract", str(archive), str(root))
        # Where the archive has merged /usr the modules moved; all else expects the old place.
        if (root / "usr/lib/modules").is_dir() and not (root / "lib").exists():
            shutil.move(root / "usr/lib", root / "lib")
        release = package.removeprefix("linux-image-")
        _run("depmod", "--basedir", str(root), release)
        if not target.exists():
            root.rename(target)
    return target


def _image(series: str, root: Path) -> Image:
    return Image(series, root.name.removeprefix("linux-image-"), root)


def _run(*command: str, cwd: Path | None = None) -> str:
    try:
        return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout
    except subprocess.CalledProcessError as error:
        raise ImageError(f"{' '.join(command)}: {error.stderr.strip()}") from error
