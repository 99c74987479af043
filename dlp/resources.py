"""Where the files beside the code lie: the C sources and the signature packs.

A checkout has them in its root; a wheel carries them under `dlp/_data`. Callers must not know
which of the two they run from.
"""

from __future__ import annotations

from pathlib import Path

from dlp.errors import DlpError

_PACKAGE = Path(__file__).resolve().parent


def bpf_dir() -> Path:
    """Directory of the C sources. Raises DlpError if this installation lacks them."""
    return _find("bpf")


def signatures_dir() -> Path:
    """Directory of the packs that ship with the gateway. Raises DlpError as above."""
    return _find("signatures")


def _find(name: str, package: Path = _PACKAGE) -> Path:
    # The wheel's copy first: beside an installed package, `../bpf` would be anybody's.
    for candidate in (package / "_data" / name, package.parent / name):
        if candidate.is_dir():
            return candidate
    raise DlpError(
        f"this installation lacks its directory {name}/",
        remedy="install the wheel again, or run from a complete checkout",
    )
