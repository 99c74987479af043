"""Guards and classifiers come off by the record, by pins, or wherever they are found."""

from __future__ import annotations

import dataclasses
import os

import pytest

from dlp.datapath import links
from dlp.datapath.attach import GSO_MAX_SIZE, Attached, Device, NamespaceLink, Placed, Way
from dlp.datapath.links import Hook, Pins
from dlp.enforcement import detach as module
from dlp.enforcement.detach import let_go, take_off_all
from dlp.enforcement.places import Places
from dlp.enforcement.record import Entry
from dlp.errors import KernelError
from dlp.workloads.netns import open_netns
from tests.netlab import DEVICE, programs, sh

pytest_plugins = ["tests.netlab_fixture"]
pytestmark = pytest.mark.netns

KEY = 0xDE7A << 16 | 902
WAYS = [Way.TCX, Way.CLSACT] if links.supported() else [Way.CLSACT]


class Attachment:
    """A workload with a classifier on its device and a guard on the other end."""

    def __init__(self, pair, live, pins: Pins, way: Way) -> None:
        self.pair, self.pins, self.way = pair, pins, way
        entry, guard = live.entry(KEY), live.guard(KEY)
        with open_netns(pair.inner) as handle:
            self.inode = handle.inode
            self.link = NamespaceLink(handle.fd)
        with open_netns(pair.outer) as handle:
            self.host = NamespaceLink(handle.fd)
        attached = self.link.attach(self.device(), entry, way=way, pins=pins)
        end = next(one for one in self.host.devices() if one.name == DEVICE)
        placed = self.host.place(DEVICE, end.index, guard, Hook.INGRESS, way=way, pins=pins)
        self.attached = dataclasses.replace(attached, guard=placed)
        os.close(entry)
        os.close(guard)

    def device(self) -> Device:
        return next(one for one in self.link.devices() if one.name == DEVICE)

    def entry(self) -> Entry:
        return Entry(self.pair.inner, self.inode, (self.attached,))

    def left(self) -> list[str]:
        """Programs that are still there."""
        return programs(self.pair.inner) + programs(self.pair.outer, hook=Hook.INGRESS)

    def close(self) -> None:
        self.link.close()
        self.host.close()


@pytest.fixture(params=WAYS)
def attachment(request, lab, live, links_path, monkeypatch):
    """One, and a host that has no other namespace: nobody else's classifier is in reach."""
    made = Attachment(lab.pair(), live, Pins(links_path), request.param)

    def only_these():
        for name in (made.pair.inner, made.pair.outer):
            with open_netns(name) as handle:
                yield handle.inode, handle.fd, handle.name

    def only_this_links(hook):
        return iter(
            [
                (one, f"dlp_{'entry' if hook is Hook.EGRESS else 'guard'}")
                for one in made.pins
                if made.pins.hook(one) is hook
            ]
        )

    monkeypatch.setattr(module, "_namespaces", only_these)
    monkeypatch.setattr(links, "everywhere", only_this_links)
    yield made
    made.close()


def test_by_the_record(attachment):
    """What the record names comes off, guard and all, and every setting is as it was."""
    during = attachment.device().gso_max_size, attachment.left()
    count = take_off_all([attachment.entry()], pins=attachment.pins)

    way = attachment.way
    assert (GSO_MAX_SIZE, [f"{way}:dlp_entry", f"{way}:dlp_guard"]) == during
    assert 1 == count
    assert [] == attachment.left()
    assert "clsact" not in attachment.pair.qdiscs()
    assert 65536 == attachment.device().gso_max_size
    assert attachment.pair.leaks()


def test_unknown_is_left(attachment, tmp_path):
    """What neither record nor pins know may be another gateway's."""

    assert 0 == take_off_all([], pins=Pins(tmp_path))
    assert 2 == len(attachment.left())


def test_everywhere(attachment, tmp_path):
    """Unless it is asked for: then what is found comes off, links without a pin of ours too."""

    assert 1 == take_off_all([], everywhere=True, pins=Pins(tmp_path))
    assert [] == attachment.left()


def test_pins_without_a_record(attachment):
    """Pinned links are ours, whatever became of the record; nothing stays pinned."""
    count = take_off_all([], pins=attachment.pins)

    assert (attachment.way is Way.TCX) == (count == 1)
    assert (attachment.way is Way.TCX) == (attachment.left() == [])
    assert [] == list(Pins(attachment.pins.directory))


def test_letting_go(attachment):
    """One namespace's guard and classifier, given its descriptor."""
    places = Places()
    with open_netns(attachment.pair.inner) as handle:
        let_go(attachment.entry(), handle.fd, attachment.pins, places)
    places.close()

    assert [] == attachment.left()


def test_device_that_is_gone(attachment):
    """What went with its device is no error, and nothing of it stays pinned."""
    sh(f"ip -n {attachment.pair.inner} link del {DEVICE}")

    assert 1 >= take_off_all([attachment.entry()], pins=attachment.pins)
    assert [] == list(Pins(attachment.pins.directory))


def test_links_of_all(lab, live, links_path):
    """Every link of the host is listed with its program's name."""
    if not links.supported():
        return
    made = Attachment(lab.pair(), live, Pins(links_path), Way.TCX)
    found = dict(links.everywhere(Hook.EGRESS)), dict(links.everywhere(Hook.INGRESS))
    made.close()

    assert "dlp_entry" == found[0][made.attached.link]
    assert made.attached.guard is not None
    assert "dlp_guard" == found[1][made.attached.guard.link]


def test_failure_is_told(attachment, monkeypatch):
    """A classifier that stays is an error that names the namespace."""

    def refuse(self, attached, pins=None):
        raise KernelError("refused")

    monkeypatch.setattr(NamespaceLink, "detach", refuse)
    with pytest.raises(KernelError, match=attachment.pair.inner):
        take_off_all([attachment.entry()], pins=attachment.pins)


def test_guard_that_stays(attachment, monkeypatch):
    """Where a guard cannot be taken off, that is told too."""
    if attachment.way is Way.TCX:
        return

    def refuse(self, placed, hook, pins=None):
        raise KernelError("refused")

    monkeypatch.setattr(NamespaceLink, "remove", refuse)
    with pytest.raises(KernelError, match="refused"):
        take_off_all([attachment.entry()], pins=attachment.pins)


def test_placed_is_what_is_recorded(attachment):
    """Both ends are written down with namespace and way."""
    guard = attachment.attached.guard

    assert guard == Placed(
        device=DEVICE,
        index=guard.index,
        netns=attachment.host.inode,
        way=attachment.way,
        made_qdisc=attachment.way is Way.CLSACT,
        link=guard.link,
    )
    assert (attachment.way is Way.TCX) == bool(guard.link)
    assert isinstance(attachment.attached, Attached)
