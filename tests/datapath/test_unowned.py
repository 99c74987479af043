"""TCP without a TCP socket behind it, fragments by who made them, urgent bytes, MPTCP."""

import contextlib
import socket
import struct
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP
from scapy.packet import Raw

from dlp.datapath.abi import EventFlag, EventKind, Reason
from tests import packets as pk
from tests.datapath.egress import arrives, blocked, connection, settled, told
from tests.kernelpath import ALPHA, policy, value
from tests.netlab import PORT, SINK4, WORKLOAD4, inside, until

pytest_plugins = ["tests.kernelpath_fixture", "tests.datapath.egress_fixture"]
pytestmark = pytest.mark.kernel

SECRET = value(ALPHA, 6)
FAMILIES = pytest.mark.parametrize("family", [4, 6])
_RESET = struct.pack("ii", 1, 0)
_MPTCP = 262


@pytest.fixture(autouse=True)
def _strict(strict):
    """Each test begins under the strict policy."""


# -- without a socket of TCP's ----------------------------------------------------------------


def raw_segment(payload: bytes, port: int, **fields) -> bytes:
    header = TCP(sport=port, dport=PORT, **{"flags": "PA", "seq": 1, **fields})
    return bytes(IP(src=WORKLOAD4, dst=SINK4) / header / Raw(payload))


@pytest.fixture
def raw(pair):
    """A raw socket that makes its own headers."""
    with inside(pair.inner):
        made = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with made:
        yield made


def test_raw_tcp_is_unowned(bench, egress, raw):
    """Segments with payload of a raw socket are refused, and told of."""
    port = bench.port()

    def send() -> None:
        with contextlib.suppress(OSError):
            raw.sendto(raw_segment(b"hello", port), (SINK4, 0))

    rose = egress.counted(send, Reason.UNOWNED)
    (event,) = told(bench)

    assert (1, 1) == (rose[Reason.UNOWNED], rose[Reason.DROPPED])
    assert (EventKind.REFUSED, Reason.UNOWNED) == (event.kind, event.reason)
    assert EventFlag.OWNED not in event.flags


OPTIONS = {
    "none": ([], False),
    "a time stamp": ([("NOP", None), ("NOP", None), ("Timestamp", (7, 7))], False),
    "others of that length": ([(253, b"0123456789")], True),
    "a short one": ([(253, b"01")], True),
    "a time stamp and others": (
        [("NOP", None), ("NOP", None), ("Timestamp", (7, 7)), (253, b"01")],
        True,
    ),
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_raw_options(bench, egress, raw, kind: str):
    """A raw segment without payload has options as the kernel's own resets have, or none."""
    options, refused = OPTIONS[kind]
    packet = raw_segment(b"", bench.port(), flags="A", options=options)

    def send() -> None:
        with contextlib.suppress(OSError):
            raw.sendto(packet, (SINK4, 0))

    rose = egress.counted(send, Reason.UNOWNED if refused else Reason.PASSED)
    bench.drain()

    assert refused == bool(rose[Reason.UNOWNED])


def test_forged_segment_of_a_living_connection(bench, egress, pair, raw):
    """A raw segment on a socket's own 5-tuple neither leaves nor touches the socket's state."""
    with connection(pair) as (sender, stream):
        sender.sendall(SECRET[:9])
        assert settled(sender)
        port = sender.getsockname()[1]
        for number in range(0, 1 << 32, 1 << 28):
            with contextlib.suppress(OSError):
                raw.sendto(raw_segment(b"." * 200, port, seq=number), (SINK4, 0))
        with contextlib.suppress(OSError):
            raw.sendto(raw_segment(b"", port, seq=7, flags="S"), (SINK4, 0))
        sender.sendall(SECRET[9:] + b" ")
        assert blocked(bench, sender)

        assert arrives(stream, SECRET[:9])
    bench.drain()


def test_unowned_where_it_may_leave(bench, alpha, egress, pair, raw):
    """A policy that lets unowned TCP out scans it, flow by flow."""
    bench.load(alpha, policy(alpha))
    port = bench.port()

    def send(payload: bytes, number: int) -> None:
        with contextlib.suppress(OSError):
            raw.sendto(raw_segment(payload, port, seq=number), (SINK4, 0))

    first = egress.counted(lambda: send(SECRET[:9], 1), Reason.GUARDED)
    second = egress.counted(lambda: send(SECRET[9:] + b" ", 10), Reason.DROPPED)

    assert (1, 0) == (first[Reason.INSPECTED], first[Reason.UNOWNED])
    assert 1 == second[Reason.MATCH_DROPPED]
    bench.drain()


@FAMILIES
def test_datagrams_of_a_socket_in_fragments(bench, egress, pair, family: int):
    """The kernel's own fragments pass under a strict policy, and are joined at the sink."""
    text = b"f" * 4000
    rose = egress.counted(
        lambda: egress.datagram(text, family=family), *[Reason.FRAGMENT, Reason.GUARDED]
    )

    assert 3 == rose[Reason.FRAGMENT] == rose[Reason.PASSED]
    assert pair.datagram(b"after")
    assert [] == told(bench)


@FAMILIES
@pytest.mark.parametrize("shift", range(-16, 17, 4))
def test_value_across_a_sockets_fragments(bench, egress, pair, family: int, shift: int):
    """A datagram's value at the edge of two fragments does not arrive."""
    edge = (1480 if family == 4 else 1448) - 8  # payload of the first fragment
    at = edge - len(SECRET) // 2 + shift
    secret = value(ALPHA, 1000 + shift)  # later fragments are one flow: each value is told once
    text = b"f" * (at - 1) + b" " + secret + b" " + b"f" * 1000
    rose = egress.counted(lambda: egress.datagram(text, family=family), Reason.MATCH_DROPPED)
    events = told(bench)

    assert 1 == rose[Reason.MATCH_DROPPED]
    assert [at + 8] == [event.offset for event in events if event.kind is EventKind.MATCH]


def test_raw_fragments_are_unowned(bench, egress, raw):
    """Fragments of a raw socket's making are refused under a strict policy."""
    body = pk.udp_bytes(b"x" * 64, port=bench.port())
    pieces = [
        bytes(IP(src=WORKLOAD4, dst=SINK4, id=77, proto=17, flags="MF") / Raw(body[:40])),
        bytes(IP(src=WORKLOAD4, dst=SINK4, id=77, proto=17, frag=5) / Raw(body[40:])),
    ]

    def send() -> None:
        for piece in pieces:
            with contextlib.suppress(OSError):
                raw.sendto(piece, (SINK4, 0))

    rose = egress.counted(send, Reason.UNOWNED)
    bench.drain()

    assert 2 == rose[Reason.UNOWNED] == rose[Reason.DROPPED]


def test_ping_socket_is_an_owner(bench, egress, pair):
    """What the kernel makes for a datagram socket is none of the unowned."""
    with inside(pair.inner):
        Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 0")
    with inside(pair.inner), socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 1) as ping:
        ping.connect((SINK4, 0))
        rose = egress.counted(
            lambda: ping.send(b"\x08\0\0\0\0\0\0\0" + b"p" * 4000), Reason.GUARDED
        )

    assert 3 == rose[Reason.FRAGMENT] == rose[Reason.PASSED]
    assert not rose[Reason.UNOWNED]
    assert [] == told(bench)


# -- MPTCP, urgent bytes ----------------------------------------------------------------------


def test_urgent_byte(bench, egress, pair):
    """A byte out of band inside a value: the segment is refused, the value does not arrive."""
    with connection(pair) as (sender, stream):
        sender.sendall(SECRET[:9])
        assert settled(sender)
        before = bench.packets()[Reason.URGENT]
        sender.send(b"!", socket.MSG_OOB)
        until(lambda: bench.packets()[Reason.URGENT] > before)
        sender.sendall(SECRET[9:])
        assert not settled(sender, patience=0.7)

        assert arrives(stream, SECRET[:9])
    events = told(bench)

    assert [(EventKind.REFUSED, Reason.URGENT)] == [(e.kind, e.reason) for e in events]


def test_mptcp_connection(bench, egress, pair):
    """Its first subflow is a connection like others; a value in it does not arrive."""
    try:
        with inside(pair.inner):
            sender = socket.socket(socket.AF_INET, socket.SOCK_STREAM, _MPTCP)
    except OSError:
        pytest.skip("this kernel has no MPTCP")
    streams = len(pair.tcp.streams)
    with sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        sender.settimeout(10)
        sender.connect((SINK4, PORT))
        until(lambda: len(pair.tcp.streams) > streams)
        rose = egress.counted(lambda: sender.sendall(SECRET + b" "), Reason.MATCH_DROPPED)

    assert not rose[Reason.UNOWNED]
    assert SECRET not in pair.tcp.streams[streams]
    bench.drain()
