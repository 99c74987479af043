"""Counters that grew become incidents."""

from __future__ import annotations

import pytest

from dlp.datapath.abi import Reason
from dlp.enforcement.losses import _SAMPLED, Losses
from dlp.model import IncidentKind

WEB, DB = 7 << 16 | 1, 8 << 16 | 2
NAMES = {"web": WEB}


class Counters:
    """The kernel's rows, by key."""

    def __init__(self) -> None:
        self.rows: dict[int, dict] = {}

    def __call__(self, key):
        return dict.fromkeys(_SAMPLED, 0) | self.rows.get(key, {})

    def set(self, key=WEB, **counts) -> None:
        self.rows[key] = {Reason[name.upper()]: count for name, count in counts.items()}


@pytest.fixture
def counters():
    return Counters()


def seen(losses, names=NAMES) -> list[tuple]:
    return [(one.kind, one.workload, one.what, one.count) for one in losses.since_last(names)]


@pytest.mark.parametrize("what", ["event_lost", "mirror_lost", "hold_lost", "event_limited"])
def test_overload(counters, what):
    """What grew since the last sample is one incident with as many occurrences."""
    losses = Losses(counters)
    counters.set(**{what: 5})
    first = seen(losses)
    counters.set(**{what: 7})

    assert [(IncidentKind.OVERLOAD, "web", what, 5)] == first
    assert [(IncidentKind.OVERLOAD, "web", what, 2)] == seen(losses)
    assert [] == seen(losses)


def test_counted_before_the_start(counters):
    """What an earlier process saw is not news, however late its namespace is taken over."""
    counters.set(event_lost=1000)
    losses = Losses(counters, [WEB])

    assert [] == seen(losses, {})
    assert [] == seen(losses)
    counters.set(event_lost=1001)
    assert [1] == [count for *_, count in seen(losses)]


def test_row_of_another(counters):
    """A row that was cleared for another workload begins at zero."""
    losses = Losses(counters)
    counters.set(event_lost=10)
    seen(losses)
    counters.set(event_lost=3)

    assert [3] == [count for *_, count in seen(losses)]


def test_gone_and_back(counters):
    """A namespace that went is forgotten: memory does not grow."""
    losses = Losses(counters)
    counters.set(event_lost=10)
    seen(losses)
    seen(losses, {})

    assert {} == losses._before


def test_bypass_that_events_told(counters):
    """Each packet that an event told of is told already."""
    losses = Losses(counters)
    for _ in range(3):
        losses.told(WEB)
    counters.set(bypass=3)

    assert [] == seen(losses) + seen(losses) + seen(losses)


def test_bypass_beyond_the_events(counters):
    """Packets that no event told of are counted, once it is sure that none is on its way."""
    losses = Losses(counters)
    losses.told(WEB)
    counters.set(bypass=100)
    early = seen(losses)

    assert [] == early
    assert [(IncidentKind.BYPASS, "web", "no_token", 99)] == seen(losses)
    assert [] == seen(losses)


def test_event_that_is_late(counters):
    """An event that is read after its packet was sampled is not counted twice."""
    losses = Losses(counters)
    counters.set(bypass=1)
    first = seen(losses)
    losses.told(WEB)

    assert [] == first + seen(losses) + seen(losses)


def test_events_of_before_the_start(counters):
    """Events that waited in the ring tell of packets counted then; they hide nothing later."""
    counters.set(bypass=5)
    losses = Losses(counters, [WEB])
    for _ in range(5):
        losses.told(WEB)
    seen(losses)
    counters.set(bypass=9)
    seen(losses)

    assert [4] == [count for *_, count in seen(losses)]


def test_apart(counters):
    """Workloads do not explain one another's packets."""
    losses = Losses(counters)
    losses.told(DB)
    counters.set(WEB, bypass=1)
    names = {"web": WEB, "db": DB}
    seen(losses, names)

    assert [("web", 1)] == [(name, count) for _, name, _, count in seen(losses, names)]
