"""The built-in packs and their image, compiled once."""

from pathlib import Path

import pytest

from dlp.signatures.compiler import compile_packs
from dlp.signatures.image import KernelImage
from dlp.signatures.pack import Pack, builtin_names, load_packs


@pytest.fixture(scope="session")
def packs() -> tuple[Pack, ...]:
    """All packs that ship with the gateway."""
    return load_packs(builtin_names(), Path())


@pytest.fixture(scope="session")
def image(packs: tuple[Pack, ...]) -> KernelImage:
    """Their image."""
    return compile_packs(packs)
