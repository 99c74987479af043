"""What all workloads share: whose new devices are closed, and which places are let go of."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from dlp.datapath import links
from dlp.datapath.abi import GuardFlag
from dlp.enforcement.cover import Terms
from dlp.enforcement.ground import Ground
from dlp.workloads.netns import open_netns

pytest_plugins = ["tests.netlab_fixture"]
pytestmark = pytest.mark.netns


class Told:
    """In place of a sentry and of the watching: writes down what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def watch(self, inode: int, _fd: int) -> None:
        self.calls.append(("watch", inode))

    def ignore(self, inode: int) -> None:
        self.calls.append(("ignore", inode))

    def place_opened(self, place, _fd: int = 0) -> None:
        self.calls.append(("opened", getattr(place, "inode", place)))

    def place_closed(self, place) -> None:
        self.calls.append(("closed", getattr(place, "inode", place)))

    def close(self) -> None:
        pass


@pytest.fixture
def ground(live, links_path):
    """With a sentry that only writes down."""
    made = Ground(live, links_path, Told(), lambda _: "")
    if made._sentry is not None:
        made._sentry.close()
    made._sentry = Told()
    yield made
    made.close()


def namespace(used: set[int] = frozenset(), **terms: bool):
    lost = []
    place = SimpleNamespace(fd=0)
    return SimpleNamespace(
        inode=7, place=place, terms=Terms(**terms), places=lambda: used, lose=lost.append, lost=lost
    )


@pytest.mark.parametrize(
    ("terms", "call"),
    [
        ({}, "watch"),
        ({"closed": False}, "ignore"),
        ({"monitor": True}, "ignore"),
    ],
)
def test_whose_new_devices_are_closed(ground, terms: dict[str, bool], call: str):
    """Those of workloads that may not send before they are enforced, and only then."""
    ground.watch(namespace(**terms))
    ground.ignore(namespace(**terms))

    assert [(call, 7), ("ignore", 7)] == ground._sentry.calls


def test_slot_of_nobody_is_closed(ground, live):
    """The sentry's guard counts under slot 0, which lets nothing in."""
    if not links.supported():
        return

    assert GuardFlag.CLOSED & live.guard_row(0).flags


def test_places(ground, lab):
    """Both are told of a place that is opened; of one that nobody uses, when it is closed."""
    name = lab.namespace("host")
    with open_netns(name) as handle:
        inode = handle.inode
    place = ground.kit.places.open(inode)
    kept, left = namespace({inode}), namespace()
    ground.tidy([kept], sweep=False)
    during = list(ground.kit.places)
    ground.tidy([left], sweep=True)

    assert [place] == during
    assert [] == list(ground.kit.places)
    assert [] == kept.lost
    told = [("opened", inode), ("closed", inode)]
    assert told == ground._sentry.calls
    assert told == ground._watching.calls


def test_place_that_is_gone(ground, lab):
    """Those that have something there are told that it is lost."""
    name = lab.namespace("host")
    with open_netns(name) as handle:
        inode = handle.inode
    place = ground.kit.places.open(inode)
    user = namespace({inode})
    lab.remove(name)
    ground.kit.places.finder.forget()
    ground.tidy([user], sweep=False)

    assert [place] == user.lost
