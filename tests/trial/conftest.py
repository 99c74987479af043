"""Engines over the built-in packs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dlp.signatures.image import KernelImage
from dlp.signatures.pack import Pack, builtin_names, load_packs
from dlp.trial.engine import Engine
from dlp.trial.modelled import ModelEngine
from tests.images import IMAGES


@pytest.fixture(scope="session")
def packs() -> tuple[Pack, ...]:
    """All packs that ship with the gateway."""
    return load_packs(builtin_names(), Path())


@pytest.fixture(scope="session")
def image(packs: tuple[Pack, ...]) -> KernelImage:
    """Their image."""
    return IMAGES.image(packs)


@pytest.fixture(scope="session")
def kernel(image: KernelImage) -> Iterator[Engine]:
    """The programs of this checkout, loaded for this run."""
    from dlp.trial.kernel import KernelEngine

    if os.geteuid() != 0:
        pytest.fail("the kernel tier loads programs: run it as root", pytrace=False)
    engine = KernelEngine(image)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def modelled(image: KernelImage) -> Engine:
    """The model of them."""
    return ModelEngine(image)


@pytest.fixture(params=[pytest.param("kernel", marks=pytest.mark.kernel), "modelled"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Either."""
    return request.getfixturevalue(request.param)
