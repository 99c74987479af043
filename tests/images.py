"""Compiled sets of the tests, kept in the checkout: an emulated machine takes minutes for one.

Under the digest of the packs and of the compiler's sources (dlp.signatures.cache), so that a change
of either compiles anew. `make test` leaves them to the guests of `make test-kernels`.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from dlp import signatures
from dlp.signatures.cache import Cache

DIRECTORY = Path(__file__).resolve().parents[1] / ".cache" / "images"
IMAGES = Cache(DIRECTORY)


def remembered(name: str, made_of: Iterable[Path], make: Callable[[], list[str]]) -> list[str]:
    """Words that `make` finds out from files and from the compiler, once for each content."""
    digest = hashlib.sha256()
    for path in (*sorted(Path(signatures.__file__).parent.glob("*.py")), *made_of):
        digest.update(path.read_bytes())
    file = DIRECTORY / f"{name}-{digest.hexdigest()}"
    try:
        return file.read_text().split()
    except OSError:
        made = make()
    DIRECTORY.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = file.with_suffix(f".{os.getpid()}")
    partial.write_text("\n".join(made))
    partial.replace(file)
    return made
