"""Fixtures of real traffic: `pytest_plugins = ["tests.datapath.egress_fixture"]`.

`pair` is a workload and its sink, `egress` the classifier and the guard between them, `strict` the
policy that most tests begin with: it drops the one signature of `alpha` and refuses what it can.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dlp.signatures.image import KernelImage
from tests.datapath.egress import STRICT, Egress
from tests.kernelpath import ALPHA, SLOT, Bench, compiled, policy
from tests.netlab import Lab, Pair, sh


@pytest.fixture(scope="module")
def alpha(tmp_path_factory: pytest.TempPathFactory) -> KernelImage:
    """One signature."""
    return compiled(tmp_path_factory.mktemp("alpha"), ALPHA)


@pytest.fixture(scope="module")
def roads() -> Iterator[Lab]:
    """Namespaces of a module's tests."""
    with Lab() as made:
        yield made


@pytest.fixture(scope="module")
def pair(roads: Lab) -> Pair:
    """Two namespaces; one send is one segment, nothing is gathered meanwhile."""
    made = roads.pair()
    for netns in (made.inner, made.outer):
        sh(f"nsenter --net=/run/netns/{netns} sysctl -qw net.ipv4.tcp_autocorking=0")
    return made


@pytest.fixture(scope="module")
def egress(bench: Bench, pair: Pair) -> Iterator[Egress]:
    """With a guard."""
    made = Egress(bench, pair)
    yield made
    bench.datapath.clear_guard(SLOT)


@pytest.fixture
def strict(bench: Bench, alpha: KernelImage, egress: Egress) -> Egress:
    """Under the strict policy."""
    bench.load(alpha, policy(alpha, flags=STRICT))
    return egress
