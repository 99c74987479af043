"""VLAN tags as the kernel makes them: in the packet's metadata, and two of them.

Only in guests: a host's kernel may have no 8021q.
"""

import os
import socket

import pytest

from dlp.datapath.abi import Reason
from dlp.datapath.attach import NamespaceLink
from dlp.workloads.netns import open_netns
from tests import packets as pk
from tests.netlab import CARD, DEVICE, on_one_processor, sh, socket_in, until

pytest_plugins = ["tests.netlab_fixture"]
pytestmark = pytest.mark.guest

SLOT = 903
KEY = 0xA77C << 16 | SLOT
PORT = 9001
STACKS = {
    "802.1Q": [("tag1", DEVICE, "802.1Q", 7)],
    "802.1ad": [("tag1", DEVICE, "802.1ad", 7)],
    "QinQ": [("tag1", DEVICE, "802.1ad", 7), ("tag2", "tag1", "802.1Q", 8)],
    "two of 802.1Q": [("tag1", DEVICE, "802.1Q", 7), ("tag2", "tag1", "802.1Q", 8)],
}


@pytest.fixture
def pair(lab):
    """A workload and a sink."""
    return lab.pair()


@pytest.fixture
def guarded(pair, live):
    """The workload; the classifier stands on the device below the tags."""
    live.bind(KEY, 0, 1)
    live.clear_counters(SLOT)
    program = live.entry(KEY)
    with open_netns(pair.inner) as handle:
        link = NamespaceLink(handle.fd)
    device = next(each for each in link.devices() if each.name == DEVICE)
    link.attach(device, program)
    os.close(program)
    yield pair
    link.close()


def stack(pair, name: str) -> None:
    """The tagging devices of that stack at both ends, with addresses on the topmost."""
    for netns, address in ((pair.inner, "198.18.0.1"), (pair.outer, "198.18.0.2")):
        for device, below, protocol, number in STACKS[name]:
            sh(
                f"ip -n {netns} link add link {below} name {device}"
                f" type vlan proto {protocol} id {number}"
            )
            sh(f"ip -n {netns} link set {device} up")
        sh(f"ip -n {netns} addr add {address}/24 dev {device}")


@pytest.mark.parametrize("name", STACKS)
def test_card_behind_tags(guarded, live, name: str):
    """A card in tagged frames does not arrive, other text does, and the match is why."""
    stack(guarded, name)
    arrived = []
    with (
        socket_in(guarded.outer, socket.AF_INET, socket.SOCK_DGRAM) as sink,
        socket_in(guarded.inner, socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        sink.bind(("198.18.0.2", PORT))
        sink.settimeout(20)
        with on_one_processor():
            for text in (b"before", b"card " + CARD + b".", b"after"):
                sender.sendto(text, ("198.18.0.2", PORT))
        while b"after" not in arrived:
            arrived.append(sink.recv(2048))
    counted = live.counters(SLOT)

    assert [b"before", b"after"] == arrived
    assert 1 == counted[Reason.MATCH_DROPPED][0]
    assert 0 == counted[Reason.MALFORMED_L2][0]
    assert 0 == counted[Reason.NON_IP_SCANNED][0]


@pytest.mark.parametrize("tags", [1, 2])
def test_card_behind_tags_in_the_packet(guarded, live, tags: int):
    """The same where a packet socket puts the tags into the frame itself."""
    frame = bytes(pk.tagged(pk.udp(b"card " + CARD + b".", port=1024), tags=tags))
    with socket_in(guarded.inner, socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((DEVICE, 0))
        before = guarded.received()
        with pytest.raises(OSError, match="No buffer space"):
            sender.send(frame)
        sender.send(bytes(pk.tagged(pk.udp(b"hello", port=1025), tags=tags)))
        until(lambda: guarded.received() > before)

    assert 1 == live.counters(SLOT)[Reason.MATCH_DROPPED][0]


def test_vlan_device_is_no_boundary(guarded):
    """A tagging device is not attached to: what it sends is seen once, below."""
    stack(guarded, "QinQ")
    with open_netns(guarded.inner) as handle:
        link = NamespaceLink(handle.fd)
    boundary = {each.name: each.boundary for each in link.devices()}
    link.close()

    assert {"lo": False, DEVICE: True, "tag1": False, "tag2": False} == {
        name: found for name, found in boundary.items() if name in ("lo", DEVICE, "tag1", "tag2")
    }
