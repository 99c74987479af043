"""When a classifier counts as put back."""

import pytest

from bench.tampering import _restored
from dlp.datapath.links import InChain

OURS, FOREIGN, NEW = InChain(1, 10), InChain(2, 20), InChain(3, 30)


@pytest.mark.parametrize(
    ("order", "expected"),
    [((FOREIGN, OURS), False), ((), False), ((NEW, FOREIGN), True), ((NEW,), True)],
)
def test_restored(order, expected):
    """What the tampering put first, or nothing at all, is not restored; another link is."""
    assert expected is _restored(order, FOREIGN.link)
