"""Settings of TCP: lowered where something is held, and put back."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from dlp.config import AttachWay
from dlp.datapath.links import Pins
from dlp.enforcement import detach
from dlp.enforcement.cover import Terms
from dlp.enforcement.detach import let_go, take_off_all
from dlp.enforcement.guards import Kit
from dlp.enforcement.keys import KeyRing
from dlp.enforcement.namespace import open_controlled
from dlp.enforcement.places import Places
from dlp.enforcement.record import Entry
from dlp.enforcement.tokens import Tokens
from dlp.workloads import rto
from dlp.workloads.finder import Finder
from dlp.workloads.netns import open_netns
from tests.netlab import inside

pytest_plugins = ["tests.netlab_fixture"]
pytestmark = pytest.mark.netns

DEFAULT = {rto.FLOOR.name: 200_000, rto.FRTO.name: 2}
LOWERED = {one.name: one.wanted for one in rto.SETTINGS}
HOLDS = Terms(attach=AttachWay.CLSACT, holds=True)
NONE = Terms(attach=AttachWay.CLSACT)


@pytest.fixture
def pair(lab):
    made = lab.pair()
    with inside(made.inner):
        if not rto.FLOOR.path.exists():
            pytest.skip("this kernel has no tcp_rto_min_us (6.11)")
    return made


@pytest.fixture
def opened(pair, live, links_path):
    """`opened(terms)`: the workload's namespace under control."""
    places = Places(Finder(fresh_s=0.0))
    kit = Kit(live, Tokens(live), Pins(links_path), places, lambda _: "")
    made = []

    def make(terms):
        made.append(open_controlled(pair.inner, kit, KeyRing(), terms, tell=lambda _: None))
        live.bind(made[-1].key, 0, 1)
        return made[-1]

    yield make
    for each in made:
        each.detach()
        each.close()
    places.close()


def settings(pair) -> dict[str, int]:
    with inside(pair.inner):
        return {one.name: int(one.path.read_text()) for one in rto.SETTINGS}


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        (HOLDS, LOWERED),
        (NONE, DEFAULT),
        (Terms(attach=AttachWay.CLSACT, holds=True, monitor=True), DEFAULT),
    ],
)
def test_only_where_something_is_held(pair, opened, terms, expected):
    """Where nothing is held, or nothing taken out, TCP's clock is not touched."""
    opened(terms).reconcile()

    assert expected == settings(pair)


def test_reload(pair, opened):
    """It follows the policies."""
    controlled = opened(HOLDS)
    controlled.reconcile()
    controlled.apply(NONE)
    controlled.reconcile()
    without = settings(pair)
    controlled.apply(HOLDS)
    controlled.reconcile()

    assert (DEFAULT, LOWERED) == (without, settings(pair))


def test_detach(pair, opened):
    """It is put back with the rest."""
    controlled = opened(HOLDS)
    controlled.reconcile()
    controlled.detach()

    assert DEFAULT == settings(pair)


def test_restart(pair, opened):
    """What the process before found is what the one after puts back."""
    first = opened(HOLDS)
    first.reconcile()
    second = opened(HOLDS)
    second.adopt(first.attached, time.monotonic(), None, first.tcp)
    second.reconcile()
    kept = settings(pair)
    second.apply(NONE)
    second.reconcile()
    first.tcp = {}

    assert (LOWERED, DEFAULT) == (kept, settings(pair))


def test_by_the_record(pair, links_path, monkeypatch):
    """Detaching without a gateway puts back what the record tells, device or not."""
    with open_netns(pair.inner) as handle:
        before = rto.lower(handle.fd)
        entry = Entry(pair.inner, handle.inode, (), None, before)

        def only_this():
            yield handle.inode, handle.fd, handle.name

        monkeypatch.setattr(detach, "_namespaces", only_this)
        take_off_all([Entry(pair.inner, handle.inode, ())], pins=Pins(links_path))
        untold = settings(pair)
        take_off_all([entry], pins=Pins(links_path))

    assert (LOWERED, DEFAULT) == (untold, settings(pair))


def test_letting_go(pair, links_path):
    """So does letting go of one namespace."""
    places = Places(Finder(fresh_s=0.0))
    with open_netns(pair.inner) as handle:
        entry = Entry(pair.inner, handle.inode, (), None, rto.lower(handle.fd))
        let_go(entry, handle.fd, Pins(links_path), places)
    places.close()

    assert DEFAULT == settings(pair)


def test_upgrade(pair, opened):
    """What the version before lowered stays so; what it did not know of is lowered as well."""
    with open_netns(pair.inner) as handle:
        floor = rto.FLOOR.lower(handle.fd)
    controlled = opened(HOLDS)
    controlled.adopt((), time.monotonic(), None, {rto.FLOOR.name: floor})
    controlled.reconcile()
    kept = settings(pair)
    controlled.detach()

    assert (LOWERED, DEFAULT) == (kept, settings(pair))


def test_monitor_mode(pair, opened):
    """Where nothing is taken out any more, they are put back."""
    controlled = opened(HOLDS)
    controlled.reconcile()
    controlled.apply(replace(HOLDS, monitor=True))
    controlled.reconcile()

    assert DEFAULT == settings(pair)
