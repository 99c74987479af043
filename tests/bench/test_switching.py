"""The traffic under which sets are switched, over a namespace's loopback: nothing stops it."""

from __future__ import annotations

import random
import time

import pytest

from bench import namespaces, switching

pytestmark = pytest.mark.netns


@pytest.fixture
def place():
    with namespaces.namespace("test-switching") as name:
        yield name


def test_everything_arrives(place, tmp_path):
    """Without a filter every leak arrives whole and every stream as it was sent: both are seen."""
    corpus = tmp_path / "corpus"
    corpus.write_bytes(random.Random(1).randbytes(1 << 20))
    numbers = []

    def switch(number):
        numbers.append(number)
        return 2.0, 0.5

    began = time.monotonic()
    found = switching.measure(place, place, "127.0.0.1", corpus, switch, switches=20, pause_s=0.05)

    assert list(range(20)) == numbers
    assert found.leaks == found.complete > 10
    assert found.streams > 0 == found.differing
    assert found.datagrams > 100 > found.lost >= 0
    assert found.bytes > 1 << 20
    assert 1.0 <= found.seconds <= time.monotonic() - began
    assert ((2.0, 0.5),) * 20 == found.times_ms
