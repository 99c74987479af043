"""Where guards may stand, and how they come off."""

import dataclasses
import os
from pathlib import Path

import pytest

from dlp.datapath import links
from dlp.datapath.abi import DeviceFlag
from dlp.datapath.attach import Attached, Device, Standing, Way
from dlp.datapath.links import Hook, Pins
from dlp.enforcement.guards import UNKNOWN, Kit, Programs, drop_guard, drop_links, take_off
from dlp.enforcement.places import Places, open_place
from dlp.enforcement.tokens import Tokens
from dlp.workloads.finder import Finder
from dlp.workloads.netns import open_netns
from tests.netlab import DEVICE, programs, sh

pytest_plugins = ["tests.netlab_fixture"]
pytestmark = pytest.mark.netns

KEY = 0x6A2D << 16 | 904
WAYS = [Way.TCX, Way.CLSACT] if links.supported() else [Way.CLSACT]


@pytest.fixture
def pair(lab):
    """A workload and a sink."""
    return lab.pair()


@pytest.fixture
def listed():
    """Names of listed namespaces, by inode."""
    return {}


@pytest.fixture
def kit(live, links_path, listed):
    """As a controller has it."""
    places = Places(Finder(fresh_s=0.0))
    yield Kit(live, Tokens(live), Pins(links_path), places, lambda one: listed.get(one, ""))
    places.close()


@pytest.fixture
def place(pair):
    """The workload's namespace."""
    handle = open_netns(pair.inner)
    made = open_place(handle.inode, handle.fd, Path("/run/netns") / pair.inner)
    yield made
    made.close()


@pytest.fixture
def copies(live):
    """A workload's programs."""
    made = Programs(live, KEY)
    yield made
    made.close()


def device(place, name: str = DEVICE) -> Device:
    return next(one for one in place.link.devices() if one.name == name)


def guarded(kit, place, copies, way: Way) -> Attached:
    """Classifier and guard."""
    host, _ = kit.host_end(place, device(place))
    entry = copies.entry(DeviceFlag.GUARDED)
    made = place.link.attach(device(place), entry, way=way, pins=kit.pins)
    guard = host.place.link.place(
        host.name, host.index, copies.guard(), Hook.INGRESS, way=way, pins=kit.pins
    )
    return dataclasses.replace(made, guard=guard)


# -- where -----------------------------------------------------------------------------------------


def test_host_end(pair, kit, place):
    """A veth's other end, in whichever namespace that is."""
    host, why = kit.host_end(place, device(place))

    assert "" == why
    assert (Path(f"/run/netns/{pair.outer}").stat().st_ino, DEVICE) == (
        host.place.inode,
        host.name,
    )
    assert device(place).index == host.place.link.device(host.index).linked


def test_no_host_end(pair, kit, place, listed):
    """Each reason has its sentence."""
    sh(f"ip -n {pair.inner} link add mv0 link {DEVICE} type macvlan")
    sh(f"ip -n {pair.inner} link add a0 type veth peer name b0")
    hardware = Device(name="eth9", index=99, kind=None, up=True, boundary=True)
    told = [kit.host_end(place, each) for each in (device(place, "mv0"), hardware)]
    told.append(kit.host_end(place, device(place, "a0")))
    listed[Path(f"/run/netns/{pair.outer}").stat().st_ino] = "api"
    told.append(kit.host_end(place, device(place)))

    assert {None} == {host for host, _ in told}
    assert [
        "a device of kind macvlan has no end on the host",
        "a device of kind hardware has no end on the host",
        "its other end lies in the same namespace",
        "its other end lies in the workload api",
    ] == [why for _, why in told]


def test_namespace_that_cannot_be_found(kit, place, tmp_path):
    """It is told as such: it may be found later."""
    kit.places.finder.directory = kit.places.finder.proc = tmp_path

    assert (None, UNKNOWN) == kit.host_end(place, device(place))


@pytest.mark.parametrize("way", WAYS)
def test_device_by_its_guard(pair, lab, kit, place, copies, way: Way):
    """The guard leads to where the device is now; to nothing once it is gone."""
    attached = guarded(kit, place, copies, way)
    other = lab.namespace("other")
    sh(f"ip -n {pair.inner} link set {DEVICE} netns {other}")
    found = kit.find_by_guard(attached.guard)
    sh(f"ip -n {other} link del {DEVICE}")

    assert found is not None
    assert Path(f"/run/netns/{other}").stat().st_ino == found[0].inode
    assert kit.find_by_guard(attached.guard) is None


@pytest.mark.parametrize("way", WAYS)
def test_standing(pair, kit, place, copies, way: Way):
    """A guard that stands, one that went, and a link that hangs on wherever it is."""
    attached = guarded(kit, place, copies, way)
    host, _ = kit.host_end(place, device(place))
    told = [kit.standing(attached.guard, host), kit.standing(attached.guard, None)]
    hangs = kit.hangs(attached)
    take_off(place.link, attached, kit.pins, kit.places)
    told.append(kit.standing(attached.guard, host))

    linked = way is Way.TCX
    assert [Standing.FIRST, Standing.FIRST if linked else Standing.MISSING] == told[:2]
    assert Standing.MISSING is told[2]
    assert (linked, False) == (hangs, kit.hangs(attached))


# -- off -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_taken_off(pair, kit, place, copies, way: Way):
    """Both, with what was made for them; a second time is no error."""
    attached = guarded(kit, place, copies, way)
    before = programs(pair.outer, hook=Hook.INGRESS)
    take_off(place.link, attached, kit.pins, kit.places)
    drop_guard(attached.guard, kit.pins, kit.places)

    assert [f"{way}:dlp_guard"] == before
    assert [] == programs(pair.outer, hook=Hook.INGRESS) + programs(pair.inner)
    assert [] == list(kit.pins)
    assert "clsact" not in pair.qdiscs()


@pytest.mark.parametrize("way", WAYS)
def test_dropped_with_its_device(pair, kit, place, copies, way: Way):
    """Nothing of a device that is gone stays pinned."""
    attached = guarded(kit, place, copies, way)
    sh(f"ip -n {pair.inner} link del {DEVICE}")
    drop_links(attached, kit.pins)

    assert [] == list(Pins(kit.pins.directory))


# -- programs --------------------------------------------------------------------------------------


def test_copies(copies):
    """One for each set of flags, loaded once; a fresh one where it is asked for."""
    one = copies.entry(DeviceFlag.GUARDED)
    same, other = copies.entry(DeviceFlag.GUARDED), copies.entry(DeviceFlag.STEALS)
    guard = copies.guard()
    number = program_id(one), program_id(guard)
    copies.entry(DeviceFlag.GUARDED, fresh=True)
    copies.guard(fresh=True)

    assert one == same != other
    assert number[0] != program_id(copies.entry(DeviceFlag.GUARDED))
    assert number[1] != program_id(copies.guard())


def program_id(fd: int) -> str:
    text = Path(f"/proc/self/fdinfo/{fd}").read_text()
    return next(line for line in text.splitlines() if line.startswith("prog_id"))


def test_copies_are_closed(live):
    """All of them."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    made = Programs(live, KEY)
    made.entry(DeviceFlag.GUARDED)
    made.entry(DeviceFlag.STEALS)
    made.guard()
    made.close()
    made.close()

    assert before == len(os.listdir("/proc/self/fd"))  # noqa: PTH208
