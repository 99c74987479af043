"""Whether a set proposes more than it may."""

from __future__ import annotations

import pytest

from dlp.enforcement.candidates import MB, WATCHED_S, CandidateWatch, Sample


def fed(rate, *, seconds=10, start=0.0, candidates=0, size=0, watch=None):
    """A watch that has seen a MB a second with so many candidates in each."""
    made = watch or CandidateWatch()
    for second in range(seconds + 1):
        made.sample(Sample(start + second, candidates + rate * second, size + MB * second))
    return made


@pytest.mark.parametrize(
    ("before", "after", "most", "found"),
    [
        (5000, 9000, None, False),
        (5000, 11000, None, True),
        (0, 1500, None, False),
        (0, 2500, None, True),
        (500, 600, 550, True),
        (500, 1100, 2000, False),
    ],
)
def test_limits(before, after, most, found):
    """Twice the rate of the set before, with a floor; or the limit that is set."""
    watch = fed(before)
    watch.switched(most)
    fed(after, start=10, candidates=10 * before, size=10 * MB, watch=watch)

    assert found is (watch.excess() is not None)


def test_beside():
    """Beside the live set, the candidate's come on top of those of the live one."""
    watch = fed(5000)
    watch.switched(None, beside=True)
    fed(14_000, start=10, candidates=50_000, size=10 * MB, watch=watch)
    assert watch.excess() is None

    fed(16_000, start=20, candidates=190_000, size=20 * MB, watch=watch, seconds=90)
    assert watch.excess() is not None


def test_little():
    """Less than a megabyte says nothing, before and after."""
    watch = CandidateWatch()
    watch.sample(Sample(0.0, 0, 0))
    watch.sample(Sample(1.0, 900, MB // 2))
    assert watch.rate() is None
    watch.switched(None)
    watch.sample(Sample(2.0, 900 + 99_999, 5 * MB))

    assert watch.excess() is None


def test_no_more():
    """After its time, and once something else runs, nothing is measured."""
    watch = fed(100)
    watch.switched(None)
    late = WATCHED_S + 11
    watch.sample(Sample(late, 1000 + 50_000, 20 * MB))
    assert watch.excess() is None

    watch = fed(100)
    watch.switched(None)
    watch.settled()
    fed(9999, start=10, candidates=1000, size=10 * MB, watch=watch)
    assert watch.excess() is None


def test_counters_that_begin_anew():
    """A workload that leaves takes its counters along: no negative rate, no false alarm."""
    watch = fed(500)
    watch.switched(None)
    watch.sample(Sample(11.0, 10, MB // 10))
    watch.sample(Sample(12.0, 600, MB + MB // 10 + 1))

    assert watch.excess() is None
    watch.sample(Sample(13.0, 60_000, 3 * MB))
    assert watch.excess() is not None
