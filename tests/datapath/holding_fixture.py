"""Fixtures of flows that wait: `pytest_plugins = [..., "tests.datapath.holding_fixture"]`.

`holding` is the classifier on devices of each kind, `under` loads a policy, `flow` is a stream
under the usual one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dlp.policy import PolicyFlag
from dlp.signatures.image import KernelImage
from tests.datapath.holding import RULES, WAITS, Holding, Stream
from tests.kernelpath import ALPHA, BRAVO, LONG, Bench, compiled, policy


@pytest.fixture(scope="module")
def holding(bench: Bench) -> Iterator[Holding]:
    """Devices of each kind, and an inspector that never seems down."""
    made = Holding(bench)
    made.live()
    yield made
    made.close()


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> KernelImage:
    """The signatures that RULES are for."""
    return compiled(tmp_path_factory.mktemp("hold"), ALPHA, LONG, BRAVO)


@pytest.fixture
def under(bench: Bench, holding: Holding, three: KernelImage) -> Callable[..., None]:
    """Load a policy of these settings."""

    def load(flags: PolicyFlag = WAITS, signatures: KernelImage = three, **settings: Any) -> None:
        rows = policy(signatures, flags=flags, **{"rules": RULES, **settings})
        bench.load(signatures, rows)
        holding.live()

    return load


@pytest.fixture
def flow(holding: Holding, under: Callable[..., None]) -> Stream:
    """A stream under the usual policy: nothing times out."""
    under()
    return holding.stream()
