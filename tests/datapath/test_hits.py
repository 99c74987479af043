"""Readings of the counters, compared."""

from dlp.datapath.abi import Reason
from dlp.datapath.hits import candidates_per_mb


def reading(**given: tuple[int, int]) -> dict[Reason, tuple[int, int]]:
    return {reason: given.get(reason.label, (0, 0)) for reason in Reason}


def test_candidates_per_mb():
    """Candidates of all lanes over the megabytes inspected meanwhile; none without bytes."""
    before = reading(inspected=(3, 1_000_000), bloom_candidate=(50, 0))
    after = reading(
        inspected=(9, 3_000_000),
        bloom_candidate=(60, 0),
        digit_candidate=(6, 0),
        shape_candidate=(4, 0),
    )

    assert 10.0 == candidates_per_mb(after, before)
    assert 70 / 3 == candidates_per_mb(after)
    assert 0.0 == candidates_per_mb(before, before)
