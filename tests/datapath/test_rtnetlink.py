"""Route netlink: what is asked, what is answered, what is told."""

import errno
import os
import socket
import subprocess

import pytest

from dlp.datapath import rtnetlink
from dlp.datapath.rtnetlink import NO_NSID, Netlink, NetlinkError
from tests.netlab import DEVICE, inside, sh

pytest_plugins = ["tests.netlab_fixture"]
pytestmark = pytest.mark.netns

EGRESS = 0xFFFFFFF3
CLSACT = (0xFFFF0000, 0xFFFFFFF1, "clsact")


@pytest.fixture
def pair(lab):
    """A workload and a sink."""
    return lab.pair()


@pytest.fixture
def netlink(pair):
    """A socket in the workload's namespace."""
    with inside(pair.inner):
        made = Netlink()
    yield made
    made.close()


@pytest.fixture
def changes(pair):
    """What is told in the workload's namespace."""
    with inside(pair.inner):
        made = rtnetlink.watch(rtnetlink.LINK_CHANGES | rtnetlink.TC_CHANGES)
    yield made
    made.close()


def named(netlink, name: str = DEVICE):
    return next(link for link in netlink.links() if link.name == name)


# -- links -----------------------------------------------------------------------------------------


def test_veth(pair, netlink):
    """A veth tells its other end: index there, and the number of that namespace here."""
    link = named(netlink)
    with open(f"/run/netns/{pair.outer}") as outer:  # noqa: PTH123 - for its descriptor
        nsid = netlink.nsid_of(outer.fileno())
    with inside(pair.outer):
        there = Netlink()
    end = there.link(link.linked)
    there.close()

    assert ("veth", 1) == (link.kind, link.hardware)
    assert nsid == link.nsid >= 0
    assert end is not None
    assert link.index == end.linked


def test_both_ends_in_one_namespace(pair, netlink):
    """Then there is no number."""
    sh(f"ip -n {pair.inner} link add a0 type veth peer name b0")

    assert NO_NSID == named(netlink, "a0").nsid
    assert named(netlink, "b0").index == named(netlink, "a0").linked


def test_namespace_that_is_not_known(lab, netlink):
    """A namespace that no device leads to has no number."""
    with open(f"/run/netns/{lab.namespace('far')}") as far:  # noqa: PTH123
        assert NO_NSID == netlink.nsid_of(far.fileno())


def test_order_of_links(pair, netlink):
    """By index, all of them."""
    for number in range(40):
        sh(f"ip -n {pair.inner} link add a{number} type veth peer name b{number}")
    found = [link.index for link in netlink.links()]

    assert sorted(found) == found
    assert 82 == len(found)


def test_hardware_and_loopback(netlink):
    """`lo` has no kind."""
    lo = named(netlink, "lo")

    assert (None, 772, 0) == (lo.kind, lo.hardware, lo.linked)


def test_device_that_is_gone(netlink):
    """No link, and no error."""

    assert netlink.link(9999) is None


def test_sent_packets(pair, netlink):
    """What left by a device is counted."""
    before = named(netlink).sent
    pair.datagram(b"hello")

    assert named(netlink).sent >= before + 2


def test_gso(netlink):
    """Both bounds are set where the kernel has two."""
    link = named(netlink)
    netlink.set_gso(link.index, 16384, 16384 if link.gso_ipv4_max_size else 0)
    lowered = named(netlink)
    netlink.set_gso(link.index, 65536)

    assert 16384 == lowered.gso_max_size
    assert lowered.gso_ipv4_max_size in (0, 16384)
    assert 65536 == named(netlink).gso_max_size


def test_refusal(netlink):
    """The error has the kernel's number, and its own words where it gives some."""
    with pytest.raises(NetlinkError) as gone:
        netlink.set_gso(9999, 16384)
    with pytest.raises(NetlinkError) as refused:
        netlink.delete_filter(named(netlink).index, EGRESS, info=1 << 16, handle=1, kind="bpf")

    assert errno.ENODEV == gone.value.errno
    assert "Parent Qdisc doesn't exist" in refused.value.strerror


# -- traffic control -------------------------------------------------------------------------------


def test_qdisc(netlink):
    """Made once, listed, and gone."""
    index = named(netlink).index
    made = [netlink.add_qdisc(index, *CLSACT), netlink.add_qdisc(index, *CLSACT)]
    during = [one.kind for one in netlink.qdiscs(index)]
    netlink.delete_qdisc(index, *CLSACT[:2])

    assert [True, False] == made
    assert "clsact" in during
    assert "clsact" not in [one.kind for one in netlink.qdiscs(index)]


def test_filters_in_the_order_of_asking(pair, netlink):
    """By priority; of one priority, as the kernel asks them."""
    index = named(netlink).index
    netlink.add_qdisc(index, *CLSACT)
    for priority in (9, 3, 5):
        pair.tc(f"filter add dev {DEVICE} egress pref {priority} u32 match u32 0 0 classid 1:1")
    order = [one.info >> 16 for one in netlink.filters(index, EGRESS)]

    assert [3, 5, 9] == sorted(set(order))
    assert sorted(order) == order
    assert {"u32"} == {one.kind for one in netlink.filters(index, EGRESS)}
    assert {0} == {one.chain for one in netlink.filters(index, EGRESS)}


def test_filters_of_another_chain(pair, netlink):
    """They are told as such: they are asked only where one jumps there."""
    index = named(netlink).index
    netlink.add_qdisc(index, *CLSACT)
    pair.tc(f"filter add dev {DEVICE} egress chain 7 pref 1 u32 match u32 0 0 classid 1:1")

    assert {7} == {one.chain for one in netlink.filters(index, EGRESS)}


# -- what is told ----------------------------------------------------------------------------------


def test_changes(pair, changes):
    """Links that come and go, with what they are; a name is told with its device."""
    sh(f"ip -n {pair.inner} link add a0 type veth peer name b0")
    came, sure = rtnetlink.read(changes)
    sh(f"ip -n {pair.inner} link del a0")
    went, _ = rtnetlink.read(changes)
    links = [rtnetlink.link_of(one.body) for one in came if one.kind == rtnetlink.NEWLINK]

    assert sure
    assert {"a0", "b0"} == {link.name for link in links}
    assert {link.index for link in links} == {
        rtnetlink.index_of(one.body) for one in went if one.kind == rtnetlink.DELLINK
    }
    assert ([], True) == rtnetlink.read(changes)


def test_where_a_device_was_moved(pair, lab, netlink, changes):
    """The message of its removal tells the namespace's number, and the index there."""
    other = lab.namespace("other")
    index = named(netlink).index
    sh(f"ip -n {pair.inner} link set {DEVICE} netns {other}")
    messages, _ = rtnetlink.read(changes)
    (removed,) = [rtnetlink.link_of(one.body) for one in messages if one.kind == rtnetlink.DELLINK]
    with open(f"/run/netns/{other}") as there:  # noqa: PTH123
        nsid = netlink.nsid_of(there.fileno())

    assert index == removed.index
    assert nsid == removed.new_nsid >= 0
    assert removed.new_index > 0


def test_deleted_device_was_not_moved(pair, netlink, changes):
    """Its removal names no other place."""
    sh(f"ip -n {pair.inner} link del {DEVICE}")
    messages, _ = rtnetlink.read(changes)
    (removed,) = [rtnetlink.link_of(one.body) for one in messages if one.kind == rtnetlink.DELLINK]

    assert (NO_NSID, 0) == (removed.new_nsid, removed.new_index)


def test_who_changed_a_qdisc(netlink, changes):
    """A change bears the port of the socket that asked for it."""
    netlink.add_qdisc(named(netlink).index, *CLSACT)
    ours, _ = rtnetlink.read(changes)

    assert {netlink.port} == {one.port for one in ours if one.kind == rtnetlink.NEWQDISC}


def test_overrun(pair, changes):
    """What the socket had no room for is told as lost; then all is well again."""
    changes.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    batch = "\n".join(f"link add m{n} type veth peer name p{n}" for n in range(20))
    command = ["ip", "-n", pair.inner, "-batch", "-"]
    subprocess.run(command, input=batch, text=True, check=True)

    assert not rtnetlink.read(changes)[1]
    assert rtnetlink.read(changes)[1]


# -- messages --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "count"), [(b"", 0), (b"\x01", 0), (bytes(15), 0), (bytes(64), 0), (b"\xff" * 64, 1)]
)
def test_harmed_messages(data: bytes, count: int):
    """Bytes that are no message end the reading; a length beyond the datagram reads to its end."""

    assert count == len(list(rtnetlink._messages(data)))


def test_attribute_is_padded():
    """To a multiple of four bytes, its length without the padding."""

    assert bytes([5, 0, 7, 0, 1, 0, 0, 0]) == rtnetlink.attribute(7, b"\x01")


def test_closed_on_exec(pair):
    """No child of the gateway inherits a socket of a namespace."""
    with inside(pair.inner):
        made = Netlink()
    inherited = os.get_inheritable(made._socket.fileno())
    made.close()

    assert not inherited
