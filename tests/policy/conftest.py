"""Configurations made of values, without a file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dlp.config import Config, Policy


@pytest.fixture(scope="session")
def config_of() -> Callable[..., Config]:
    """A configuration of the policies given."""

    def build(*policies: Policy) -> Config:
        return Config(file=Path("dlp.yaml"), signatures=("pci",), policies=policies)

    return build
