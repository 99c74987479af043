"""What makes a timed transfer believable, and how hits are counted."""

import io
from types import SimpleNamespace

import pytest

from bench import throughput
from bench.namespaces import BenchError
from bench.throughput import Sample


def relay_saying(text):
    return SimpleNamespace(stdout=io.StringIO(text))


def test_a_filter_that_misses_plants_is_not_believed():
    """A fast filter that finds nothing is a fault, not a result."""
    assert not Sample(gigabits=40.0, found=9, due=10).believable
    assert Sample(gigabits=4.0, found=10, due=10).believable


def test_a_total_is_turned_into_its_growth():
    """Counters run on from one transfer to the next."""
    totals = iter([5, 8, 8, 20])
    growth = throughput._since(lambda: next(totals))

    assert [3, 0, 12] == [growth(), growth(), growth()]


def test_only_planted_patterns_of_the_relay_count():
    """What else the corpus happens to hold cannot stand in for a miss."""
    process = relay_saying("closed 100 3=2 7=50\nclosed 100 4=1\n")

    assert 3 == throughput._relay_hits(process, range(3, 6))


def test_a_relay_that_ended_is_an_error():
    """No line means no count, which must not read as zero."""
    with pytest.raises(BenchError, match="ended early"):
        throughput._relay_hits(relay_saying(""), range(3))
