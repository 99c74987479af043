"""Which workloads a canary chooses."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dlp.releases.canary import Canary

NAMES = [f"workload-{number}" for number in range(2000)]


def test_globs():
    """A glob chooses by name, whatever the hash says."""
    canary = Canary(netns=("web-*", "db"))

    assert ["web-1", "db"] == [
        name for name in ("web-1", "web", "db", "db2") if canary.chooses(name)
    ]


@settings(deadline=None)
@given(st.integers(0, 99))
def test_share(percent):
    """About so many of a hundred, and the same ones each time."""
    canary = Canary(percent=percent)
    chosen = [name for name in NAMES if canary.chooses(name)]

    assert abs(len(chosen) / len(NAMES) - percent / 100) < 0.05
    assert chosen == [name for name in NAMES if canary.chooses(name)]


@settings(deadline=None)
@given(st.integers(0, 98), st.integers(1, 99), st.text(max_size=20))
def test_growing(low, more, name):
    """A higher number keeps those of a lower one: widening a canary moves nobody out."""
    high = min(low + more, 99)

    assert not Canary(percent=low).chooses(name) or Canary(percent=high).chooses(name)
