"""The fixture `bench`, for modules that say `pytest_plugins = ["tests.kernelpath_fixture"]`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from dlp.datapath.datapath import Datapath
from dlp.policy import KernelPolicies
from dlp.signatures.image import KernelImage
from tests.kernelpath import HMAC_KEY, NETNS, Bench


@pytest.fixture(scope="module")
def bench(datapath: Datapath, image: KernelImage, _rigs: dict[Any, Any]) -> Iterator[Bench]:
    """The session's datapath for own sets; the rigs' set is put back at the module's end."""
    made = Bench(datapath)
    yield made
    made.drain()
    os.close(made.entry)
    datapath.unbind(NETNS, 0)
    policies = tuple(choice.policy(image) for choice in _rigs)
    datapath.load(
        image,
        KernelPolicies(policies=(policies[0], *policies), next_expiry=None),
        hmac_key=HMAC_KEY,
        release=1,
    )
