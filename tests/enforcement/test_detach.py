"""Classifiers come off by the record, or wherever they are found."""

from __future__ import annotations

import os

import pytest

from dlp.datapath.attach import GSO_MAX_SIZE, Attached, Device, NamespaceLink
from dlp.enforcement import detach as module
from dlp.enforcement.detach import take_off_all
from dlp.enforcement.record import Entry
from dlp.errors import KernelError
from dlp.workloads.netns import open_netns
from tests.netlab import DEVICE

pytest_plugins = ["tests.netlab_fixture"]
pytestmark = pytest.mark.netns

KEY = 0xDE7A << 16 | 902


class Attachment:
    """A workload with a classifier on its device."""

    def __init__(self, pair, live) -> None:
        self.pair = pair
        with open_netns(pair.inner) as handle:
            self.inode = handle.inode
            self.link = NamespaceLink(handle.fd)
        program = live.entry(KEY)
        self.attached: Attached = self.link.attach(self.device(), program)
        os.close(program)

    def device(self) -> Device:
        return next(one for one in self.link.devices() if one.name == DEVICE)

    def entry(self) -> Entry:
        return Entry(self.pair.inner, self.inode, (self.attached,))


@pytest.fixture
def attachment(lab, live, monkeypatch):
    """One, and a host that has no other namespace: nobody else's classifier is in reach."""
    made = Attachment(lab.pair(), live)

    def only_this():
        with open_netns(made.pair.inner) as handle:
            yield handle.inode, handle.fd, handle.name

    monkeypatch.setattr(module, "_namespaces", only_this)
    yield made
    made.link.close()


def test_by_the_record(attachment):
    """What the record names comes off, and every setting is as it was."""
    during = attachment.device().gso_max_size
    count = take_off_all([attachment.entry()])

    assert 1 == count
    assert [] == attachment.pair.filters()
    assert "clsact" not in attachment.pair.qdiscs()
    assert (GSO_MAX_SIZE, 65536) == (during, attachment.device().gso_max_size)


def test_unknown_is_left(attachment):
    """A classifier that the record does not know may be another gateway's."""

    assert 0 == take_off_all([])
    assert attachment.link.attached(attachment.attached.index)


def test_everywhere(attachment):
    """Unless it is asked for: then what is found comes off."""

    assert 1 == take_off_all([], everywhere=True)
    assert not attachment.link.attached(attachment.attached.index)


def test_failure_is_told(attachment, monkeypatch):
    """A classifier that stays is an error that names the namespace."""

    def refuse(self, attached):
        raise KernelError("refused")

    monkeypatch.setattr(NamespaceLink, "detach", refuse)
    with pytest.raises(KernelError, match=attachment.pair.inner):
        take_off_all([attachment.entry()])
