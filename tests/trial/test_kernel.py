"""The programs as an engine: they stand apart, and leave nothing behind."""

from pathlib import Path

import pytest

from dlp.datapath.pins import BPFFS
from dlp.errors import PrivilegeError
from dlp.trial.engine import Stream
from dlp.trial.kernel import KernelEngine
from tests.trial.texts import CARD, number_of


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.kernel
def test_nothing_is_left(image):
    """No pin and no descriptor stays; what was pinned before stays."""
    before, descriptors = set(BPFFS.iterdir()), open_descriptors()
    engine = KernelEngine(image)
    engine.judge(number_of(image, "pci.card.visa"), [[CARD]])
    engine.close()

    assert before == set(BPFFS.iterdir())
    assert descriptors == open_descriptors()


@pytest.mark.kernel
def test_cost(kernel):
    """Time a byte, and what the kernel counted: a card is one candidate at least, and a match."""
    cost = kernel.cost([Stream((b"text " * 500 + CARD + b" text",))])

    assert 0 < cost.ns_per_byte < 10_000
    assert 1 == cost.matches
    assert cost.candidates >= 1
    assert cost.groups >= 1


def test_without_privileges(image, monkeypatch):
    """Who is not root is told so, with the remedy."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    with pytest.raises(PrivilegeError, match="run it as root"):
        KernelEngine(image)
