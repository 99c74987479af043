"""Namespaces that are worked in: opened when needed, closed when not, and never kept alive."""

import os
from pathlib import Path

import pytest

from dlp.datapath.attach import NamespaceLink
from dlp.datapath.rtnetlink import NO_NSID
from dlp.enforcement.places import Places, open_place
from dlp.workloads.finder import Finder
from dlp.workloads.netns import open_netns
from tests.netlab import DEVICE, sh

pytest_plugins = ["tests.netlab_fixture"]
pytestmark = pytest.mark.netns


@pytest.fixture
def pair(lab):
    """A workload and a sink."""
    return lab.pair()


@pytest.fixture
def told():
    """What was told of places."""
    return []


@pytest.fixture
def places(told):
    """None is open yet."""
    made = Places(
        Finder(fresh_s=0.0),
        on_open=lambda one: told.append(("open", one.inode)),
        on_close=lambda one: told.append(("close", one.inode, one.closed)),
    )
    yield made
    made.close()


@pytest.fixture
def link(pair):
    """Into the workload's namespace."""
    with open_netns(pair.inner) as handle:
        made = NamespaceLink(handle.fd)
    yield made
    made.close()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def inode_of(name: str) -> int:
    return Path(f"/run/netns/{name}").stat().st_ino


def nsid(link) -> int:
    return next(one.nsid for one in link.devices() if one.name == DEVICE)


def test_found_once(pair, places, link, told):
    """The second time it is the same one, open still."""
    first, second = places.find(link, nsid(link)), places.find(link, nsid(link))

    assert first is second
    assert inode_of(pair.outer) == first.inode
    assert DEVICE in {one.name for one in first.link.devices()}
    assert [("open", first.inode)] == told


def test_own_namespace_has_no_number(places, link):
    """Nothing is looked for then."""

    assert places.find(link, NO_NSID) is None


def test_opened_by_its_inode(pair, places):
    """And found again by it."""
    place = places.open(inode_of(pair.outer))

    assert place is places.open(inode_of(pair.outer))
    assert places.open(5) is None


def test_closed_when_not_used(pair, places, told):
    """Whoever listens is told before; nothing of it stays open."""
    before = descriptors()
    inode = places.open(inode_of(pair.outer)).inode
    kept = places.keep({inode}), list(places)
    gone = places.keep(set())

    assert ([], []) == (kept[0], gone)
    assert 1 == len(kept[1])
    assert [("open", inode), ("close", inode, False)] == told
    assert before == descriptors()


def test_let_go_when_nobody_else_has_it(lab, places):
    """A namespace that lost its name is not kept alive by us."""
    name = lab.namespace("short")
    place = places.open(inode_of(name))
    lab.remove(name)
    gone = places.keep({place.inode})

    assert [place] == gone
    assert place.closed
    assert [] == list(places)


def test_kept_under_another_name(lab, places):
    """One that can be had by another path stays."""
    first, second = lab.namespace("first"), lab.name("second")
    place = places.open(inode_of(first))
    other = Path(f"/run/netns/{second}")
    other.touch()
    sh(f"mount --bind /run/netns/{first} {other}")
    lab.remove(first)
    gone = places.keep({place.inode})

    assert [] == gone
    assert other == place.path


def test_closing_twice(pair):
    """No error, and no other's descriptor is closed by it."""
    before = descriptors()
    handle = open_netns(pair.outer)
    place = open_place(handle.inode, handle.fd, Path("/run/netns") / pair.outer)
    place.close()
    between = os.open("/dev/null", os.O_RDONLY)
    place.close()
    os.close(between)

    assert before == descriptors()


def test_no_namespace(tmp_path):
    """What cannot be opened as one is closed again."""
    fd = os.open(tmp_path, os.O_RDONLY)
    before = descriptors()
    with pytest.raises(Exception, match="cannot enter"):
        open_place(1, fd, tmp_path)

    assert before - 1 == descriptors()
