"""By which way a classifier is attached, and what it has to know of its device."""

from pathlib import Path

import pytest

from dlp.config.model import AttachWay
from dlp.datapath.abi import DeviceFlag
from dlp.datapath.attach import Attached, Device, Placed, Way
from dlp.enforcement.cover import Cover, Guarding, HostEnd, Terms, flags_of
from dlp.enforcement.places import Place

G, S, L, F, P = (
    DeviceFlag.GUARDED,
    DeviceFlag.STEALS,
    DeviceFlag.LOOPBACK,
    DeviceFlag.FINAL,
    DeviceFlag.STAMPS,
)


@pytest.mark.parametrize(
    ("holds", "guarded", "way"),
    [
        (False, True, Way.TCX),
        (False, False, Way.TCX),
        (True, True, Way.TCX),
        (True, False, Way.CLSACT),
    ],
)
def test_way(holds: bool, guarded: bool, way: Way):
    """TCX, but for devices without a guard where something is held."""

    assert way is Terms(holds=holds).way(guarded=guarded, tcx=True)


@pytest.mark.parametrize("guarded", [True, False])
def test_way_that_is_asked_for(guarded: bool):
    """Or clsact always."""

    assert Way.CLSACT is Terms(attach=AttachWay.CLSACT).way(guarded=guarded, tcx=True)


@pytest.mark.parametrize("guarded", [True, False])
def test_way_of_an_older_kernel(guarded: bool):
    """Which has no other."""

    assert Way.CLSACT is Terms().way(guarded=guarded, tcx=False)


@pytest.mark.parametrize(
    ("way", "guarding", "loopback", "final", "flags"),
    [
        (Way.TCX, Guarding.YES, False, True, G | F),
        (Way.TCX, Guarding.AWAITED, False, True, P | F),
        (Way.TCX, Guarding.NO, False, False, DeviceFlag(0)),
        (Way.CLSACT, Guarding.YES, False, False, G | S),
        (Way.CLSACT, Guarding.NO, True, False, S | L),
        (Way.TCX, Guarding.NO, True, True, L | F),
    ],
)
def test_flags(way: Way, guarding: Guarding, loopback: bool, final: bool, flags: DeviceFlag):
    """Tokens only where a guard is or is to be; held tokens only where it is."""

    assert flags == flags_of(way, guarding, loopback=loopback, final=final)


def place(inode: int) -> Place:
    return Place(inode, -1, Path("/none"), None, None)


def test_host_end_bears_its_guard():
    """By namespace and index, not by name."""
    end = HostEnd(place(7), 3, "veth3")

    assert end.bears(Placed(device="other", index=3, netns=7))
    assert not end.bears(Placed(device="veth3", index=3, netns=8))
    assert not end.bears(Placed(device="veth3", index=4, netns=7))
    assert not end.bears(None)


def test_key_of_a_cover():
    """Where the device is; namespace 0 where that cannot be found."""
    device = Device(name="eth0", index=4, kind="veth", up=True, boundary=True)
    attached = Attached(device="eth0", index=4)

    assert (7, 4) == Cover(device, place(7), attached).key
    assert (0, 4) == Cover(device, None, attached).key
