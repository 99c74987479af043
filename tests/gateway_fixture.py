"""Fixtures of tests that run a gateway: a place for it, and a workload with its sink."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gatewaylab import OWN, Host, Mounts
from tests.netlab import Lab, Pair, require_root


@pytest.fixture(scope="module")
def mounts() -> Iterator[Mounts]:
    """Shared, so that programs are loaded once; nothing of it outlives the module."""
    require_root()
    with Mounts() as made:
        yield made


@pytest.fixture
def host(tmp_path: Path, mounts: Mounts) -> Iterator[Host]:
    """A place for one gateway, which has ended when the test has."""
    (tmp_path / "own.yaml").write_text(OWN.lstrip())
    made = Host(tmp_path, mounts)
    yield made
    made.end()


@pytest.fixture
def pair(lab: Lab) -> Pair:
    """A workload and a sink."""
    return lab.pair()


@pytest.fixture
def web(host: Host, pair: Pair) -> Pair:
    """The workload, listed in the policy file."""
    host.write(netns=(pair.inner,))
    return pair
