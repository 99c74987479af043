"""When a classifier counts as put back."""

import pytest

from bench.tampering import _restored
from dlp.datapath.links import InChain

OURS, FOREIGN, NEW = InChain(1, 10), InChain(2, 20), InChain(3, 30)


@pytest.mark.parametrize(
    ("before", "changed", "now", "expected"),
    [
        ((OURS,), (FOREIGN, OURS), (FOREIGN, OURS), False),
        ((OURS,), (FOREIGN, OURS), (NEW, FOREIGN), True),
        ((OURS,), (), (), False),
        ((OURS,), (), (NEW,), True),
        ((OURS,), (OURS,), (OURS,), True),
    ],
)
def test_restored(before, changed, now, expected):
    """A foreign program first, or none at all, is not restored; ours first is."""
    assert expected is _restored(before, changed, now)
