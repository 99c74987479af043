"""What the kernel tells of a namespace, read to its end."""

import pytest

from dlp.datapath.rtnetlink import Netlink
from dlp.enforcement.changes import Changes, drain, watch
from dlp.workloads.netns import open_netns
from tests.netlab import DEVICE, inside, sh

pytest_plugins = ["tests.netlab_fixture"]
pytestmark = pytest.mark.netns

CLSACT = (0xFFFF0000, 0xFFFFFFF1, "clsact")


@pytest.fixture
def pair(lab):
    """A workload and a sink."""
    return lab.pair()


@pytest.fixture
def changes(pair):
    """The socket."""
    with open_netns(pair.inner) as handle:
        made = watch(handle.fd)
    yield made
    made.close()


@pytest.fixture
def netlink(pair):
    """Ours, by which filters are changed."""
    with inside(pair.inner):
        made = Netlink()
    yield made
    made.close()


def index_of(netlink, name: str = DEVICE) -> int:
    return next(link.index for link in netlink.links() if link.name == name)


def test_devices(pair, netlink, changes):
    """Those that came or changed, and those that went."""
    sh(f"ip -n {pair.inner} link add a0 type veth peer name b0")
    ends = {index_of(netlink, name) for name in ("a0", "b0")}
    came = drain(changes)
    sh(f"ip -n {pair.inner} link del a0")
    went = drain(changes)

    assert (ends, {}, set()) == (came.linked, came.removed, came.filtered)
    assert ends == went.removed.keys()


def test_filters_of_others(pair, netlink, changes):
    """What others did to a device's qdiscs and filters makes it suspect, for that once."""
    pair.tc(f"qdisc add dev {DEVICE} clsact")
    index = index_of(netlink)
    told = drain(changes, {netlink.port})

    assert {index} == told.filtered
    assert (True, False) == (told.suspects(index), told.suspects(index + 1))
    assert set() == drain(changes, {netlink.port}).filtered


def test_filters_of_ours(netlink, changes):
    """What we did ourselves does not."""
    netlink.add_qdisc(index_of(netlink), *CLSACT)

    assert set() == drain(changes, {netlink.port}).filtered


def test_ports_of_a_bridge(pair, netlink, changes):
    """A device that leaves a bridge has not gone, though a message says so of its port."""
    sh(f"ip -n {pair.inner} link add br0 type bridge")
    sh(f"ip -n {pair.inner} link set {DEVICE} master br0")
    drain(changes)
    sh(f"ip -n {pair.inner} link set {DEVICE} nomaster")

    assert {} == drain(changes).removed


def test_lost_messages_make_all_suspect():
    """Then every device has to be asked for."""

    assert Changes(sure=False).suspects(7)
    assert not Changes().suspects(7)
