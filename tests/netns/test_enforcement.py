"""A few checks in namespaces that run on the host and under every supported kernel."""

import os
import subprocess
import sys
import time

import pytest

from dlp.datapath.attach import NamespaceLink
from dlp.datapath.datapath import Datapath
from dlp.workloads.netns import open_netns
from tests import netlab
from tests.netlab import CARD, DEVICE, PORT, SINK4, until

pytest_plugins = ["tests.netlab_fixture"]
pytestmark = [pytest.mark.netns, pytest.mark.guest]

KEY = 0xA77B << 16 | 902


@pytest.fixture
def pair(lab):
    """A workload and a sink."""
    return lab.pair()


@pytest.fixture
def guarded(pair, live):
    """The workload, with a classifier that drops cards."""
    live.bind(KEY, 0, 1)
    program = live.entry(KEY)
    with open_netns(pair.inner) as handle:
        link = NamespaceLink(handle.fd)
    device = next(each for each in link.devices() if each.name == DEVICE)
    link.attach(device, program)
    os.close(program)
    yield pair
    link.close()


def test_clsact_carries_one_filter(guarded):
    """The classifier stands on the device's egress, once."""

    assert 1 == len(guarded.filters())
    assert "dlp_entry" in guarded.filters()[0]
    assert "clsact" in guarded.qdiscs()


def test_datagram(guarded):
    """A card in a datagram does not leave, other text does."""

    assert not guarded.leaks()
    assert guarded.leaks(b"hello")


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("cut", [0, 1, 10, 18])
def test_card_over_tcp(guarded, family: int, cut: int):
    """Wherever a card is cut in two segments, the second half does not arrive."""
    first, second = b"number " + CARD[:cut], CARD[cut:] + b"."
    with guarded.connect(family) as connection:
        connection.sendall(first)
        until(lambda: guarded.tcp.data == first)
        connection.sendall(second)
        time.sleep(1.0 if netlab.GUEST else 0.25)

    assert first == guarded.tcp.data


def test_megabytes_over_tcp(guarded):
    """Honest traffic in large sends arrives whole and unchanged."""
    size = netlab.scaled(8) << 20
    text = bytes(range(256)) * (size // 256)
    with guarded.connect() as connection:
        connection.sendall(text)
        until(lambda: len(guarded.tcp.data) == size)

    assert text == guarded.tcp.data


def test_card_within_megabytes(guarded):
    """A card amid a large send stops it there: nothing of it arrives complete."""
    before = b"lorem ipsum " * 20_000
    with guarded.connect() as connection:
        connection.setblocking(False)
        try:
            connection.send(before + CARD + before)
        except BlockingIOError:
            pytest.fail("not one byte could be sent")
        time.sleep(2.0 if netlab.GUEST else 0.4)

    assert CARD not in guarded.tcp.data
    assert (before + CARD).startswith(guarded.tcp.data)


def test_event(guarded, live):
    """The ring buffer tells of what was dropped."""
    events = []
    ring = live.on_events(events.append)
    while ring.consume():
        events.clear()
    guarded.leaks()
    until(lambda: ring.consume() or events)

    assert [(KEY, "udp", SINK4, PORT)] == [
        (
            each.packet.netns,
            each.packet.protocol,
            each.packet.destination,
            each.packet.destination_port,
        )
        for each in events
    ]


def test_mirror_of_a_large_stream(guarded, live):
    """A mirrored stream is whole from its first record on, over packets larger than a chunk."""
    live.bind(KEY, 0, 3)
    pieces = []
    ring = live.on_payload(pieces.append)
    ring.consume()
    pieces.clear()
    text = b"number " + CARD + b". " + b"lorem ipsum " * 40_000
    with guarded.connect() as connection:
        connection.sendall(text)
        until(lambda: len(guarded.tcp.data) == len(text))
    ring.consume()
    first = {}
    for piece in pieces:  # a segment that was sent again is mirrored again
        first.setdefault(piece.offset, piece.data)
    joined = bytearray()
    for offset in sorted(first):
        assert offset <= len(joined), "a gap"
        joined[offset:] = first[offset] + joined[offset + len(first[offset]) :]

    assert max(len(piece.data) for piece in pieces) > 8192
    assert text == bytes(joined)


KILLED = """
import os, signal, sys
from pathlib import Path
from dlp.datapath.datapath import Datapath
from dlp.datapath.pins import Layout
opened = Datapath.open(Layout(Path(sys.argv[1]), Path(sys.argv[2])))
print(opened.adopted, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_adopted_after_a_kill(guarded, live, live_layout):
    """A process that is killed takes nothing with it; the next adopts what is pinned."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(live_layout.pins), str(live_layout.manifest)],
        check=False,
        capture_output=True,
        text=True,
    )
    leaked = guarded.leaks()
    with Datapath.open(live_layout) as again:
        assert again.adopted
        assert live.settings.release == again.settings.release

    assert (-9, "True\n") == (done.returncode, done.stdout)
    assert not leaked


def test_flow_state_outlives_a_process(guarded, live_layout):
    """Half a card before a process's end and half after it: the second half is dropped."""
    first, second = b"number " + CARD[:9], CARD[9:] + b"."
    with guarded.connect() as connection:
        connection.sendall(first)
        until(lambda: guarded.tcp.data == first)
        Datapath.open(live_layout).close()
        connection.sendall(second)
        time.sleep(1.0 if netlab.GUEST else 0.25)

    assert first == guarded.tcp.data
