"""Fixtures of the namespace tier: `pytest_plugins = ["tests.netlab_fixture"]`.

`lab` makes namespaces; `live` is a datapath under which a card number is dropped.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dlp.datapath.datapath import Datapath
from dlp.datapath.links import Pins
from dlp.datapath.pins import BPFFS, Layout
from dlp.model import Action
from dlp.policy import KernelPolicies
from dlp.signatures.compiler import compile_packs
from dlp.signatures.image import KernelImage
from dlp.signatures.pack import load_packs
from tests.kernelpath import policy
from tests.netlab import Lab, require_root


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Namespaces of one test."""
    with Lab() as made:
        yield made


@pytest.fixture(scope="session")
def cards() -> KernelImage:
    """Card numbers alone."""
    return compile_packs(load_packs(("pci",), Path.cwd()))


@pytest.fixture(scope="session")
def live_layout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:
    """Where this run's datapath is pinned; removed at the end."""
    require_root()
    made = Layout(BPFFS / f"dlp-test-{os.getpid()}", tmp_path_factory.mktemp("live") / "live.json")
    yield made
    made.remove()


@pytest.fixture(scope="session")
def live_path(live_layout: Layout) -> Iterator[Datapath]:
    """The datapath; what is loaded into it is the tests' business."""
    with Datapath.open(live_layout) as opened:
        yield opened


@pytest.fixture
def live(live_path: Datapath, cards: KernelImage) -> Datapath:
    """Policy 1, which is the strictest too, drops cards; 2 alerts, 3 mirrors. Nothing is bound."""
    rows = tuple(policy(cards, action) for action in (Action.DROP, Action.ALERT, Action.MIRROR))
    live_path.load(
        cards,
        KernelPolicies(policies=(rows[0], *rows), next_expiry=None),
        hmac_key=b"live",
        release=1,
        bindings={},
    )
    live_path.beat()
    return live_path


@pytest.fixture
def links_path() -> Iterator[Path]:
    """Where one test's links are pinned; none outlives it."""
    made = BPFFS / f"dlp-test-links-{os.getpid()}"
    yield made
    pins = Pins(made)
    for link in pins:
        pins.detach(link)
    with contextlib.suppress(FileNotFoundError):
        made.rmdir()
