"""The guard on the host's end: what bears no token of the classifier does not come in."""

import contextlib
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from ctypes import c_uint32

import pytest

from dlp.datapath import abi, libbpf
from dlp.datapath.abi import EventKind, GuardFlag, Reason
from tests import packets as pk
from tests.datapath.egress import Egress, attach
from tests.kernelpath import ALPHA, NETNS, SLOT, compiled, policy, rises, value
from tests.netlab import PORT, SINK4, SINK6, WORKLOAD4, WORKLOAD6, Lab, inside, scaled, sh, until

pytest_plugins = ["tests.kernelpath_fixture"]
pytestmark = pytest.mark.kernel

_SOL_PACKET, _QDISC_BYPASS = 263, 20
OTHER = NETNS + (9 << 16) + 1  # another namespace, in the next slot
HASH_AT = 68  # of struct __sk_buff: `hash`


@pytest.fixture(scope="module")
def alpha(bench, tmp_path_factory):
    image = compiled(tmp_path_factory.mktemp("guard"), ALPHA)
    bench.load(image, policy(image))
    return image


@pytest.fixture
def guard(bench, alpha):
    """The bench's guard, run packet by packet: none of these has a hash."""
    fd = bench.datapath.guard(NETNS)
    bench.datapath.renew_tokens(SLOT)
    yield fd
    os.close(fd)
    bench.datapath.clear_guard(SLOT)


def meet(bench, guard: int, packet):
    """What the guard makes of a packet: whether it comes in, what rose, events."""
    before = bench.packets()
    bench.drain()
    result = bench.datapath.test_run(guard, bytes(packet)).result
    bench.read()
    events = tuple(bench.events)
    bench.drain()
    after = bench.packets()
    return result != abi.TC_DROP, {r for r in Reason if after[r] > before[r]}, events


# -- packet by packet -------------------------------------------------------------------------

PACKETS = {
    "tcp": (lambda port: pk.tcp(b"hello", port=port), ("tcp", 4)),
    "tcp6": (lambda port: pk.tcp(b"hello", port=port, family=6), ("tcp", 6)),
    "udp": (lambda port: pk.udp(b"hello", port=port), ("udp", 4)),
    "udp6": (lambda port: pk.udp(b"hello", port=port, family=6), ("udp", 6)),
}


@pytest.mark.parametrize("name", PACKETS)
def test_bypass_is_told_with_its_headers(bench, guard, name: str):
    """A packet without token is dropped, counted, and told of by addresses and ports."""
    build, expected = PACKETS[name]
    port = bench.port()
    packet = build(port)
    entered, rose, (event,) = meet(bench, guard, packet)

    assert not entered
    assert {Reason.BYPASS} == rose
    assert (EventKind.BYPASS, Reason.BYPASS) == (event.kind, event.reason)
    assert len(bytes(packet)) == event.length
    told = event.packet
    assert (*expected, NETNS) == (told.protocol, told.family, told.netns)
    assert (packet.payload.src, port) == (told.source, told.source_port)
    assert (packet.payload.dst, 9000) == (told.destination, told.destination_port)


@pytest.mark.parametrize(
    ("packet", "protocol"),
    [
        (pk.icmp(b"hello"), "icmp"),
        (pk.icmp6(b"hello"), "icmp6"),
        (pk.arp(), "ether-0x0806"),
        (pk.sctp(b"hello", port=1), "sctp"),
        (pk.tagged(pk.icmp(b"hello"), tags=2), "icmp"),
        (pk.fragment(b"x" * 16, 80, ident=5, more=False), "udp"),
    ],
)
def test_bypass_of_other_kinds(bench, guard, packet, protocol: str):
    """Whatever it is, it is told of as far as its headers go."""
    entered, rose, (event,) = meet(bench, guard, packet)

    assert not entered
    assert {Reason.BYPASS} == rose
    assert protocol == event.packet.protocol


def test_closed(bench, guard):
    """Before the workload is enforced nothing comes in, and nothing is told of it."""
    bench.datapath.set_guard_flags(SLOT, GuardFlag.CLOSED)
    closed = meet(bench, guard, pk.udp(b"hello", port=bench.port()))
    bench.datapath.set_guard_flags(SLOT, GuardFlag(0), GuardFlag.CLOSED)
    opened = meet(bench, guard, pk.udp(b"hello", port=bench.port()))

    assert (False, {Reason.CLOSED}, ()) == closed
    assert {Reason.BYPASS} == opened[1]


def test_monitor(bench, guard):
    """Monitor mode counts and tells, and lets in."""
    bench.datapath.set_guard_flags(SLOT, GuardFlag.MONITOR)
    entered, rose, events = meet(bench, guard, pk.udp(b"hello", port=bench.port()))

    assert entered
    assert {Reason.BYPASS} == rose
    assert [EventKind.BYPASS] == [event.kind for event in events]


def test_quarantine_goes_before_monitor(bench, guard):
    """Of a workload that is cut off nothing comes in, whatever its policies only watch."""
    bench.datapath.set_guard_flags(SLOT, GuardFlag.MONITOR | GuardFlag.QUARANTINED)

    assert not meet(bench, guard, pk.udp(b"hello", port=bench.port()))[0]


def test_closed_goes_before_monitor(bench, guard):
    """What is closed is closed."""
    bench.datapath.set_guard_flags(SLOT, GuardFlag.MONITOR | GuardFlag.CLOSED)

    assert not meet(bench, guard, pk.udp(b"hello", port=bench.port()))[0]


def test_row_without_tokens(bench, guard):
    """Of a workload that has none, no packet is accepted: a hash of 0 is no token."""
    bench.datapath.clear_guard(SLOT)

    assert not meet(bench, guard, pk.udp(b"hello", port=bench.port()))[0]


def test_damaged_packets(bench, guard):
    """Cut off at each byte: counted once, dropped, told of."""
    whole = bytes(pk.tagged(pk.tcp(b"hello", port=bench.port(), family=6), tags=1))
    for length in range(15, len(whole) + 1):
        entered, rose, events = meet(bench, guard, whole[:length])

        assert not entered
        assert {Reason.BYPASS} == rose
        assert 1 == len(events)


# -- tokens -----------------------------------------------------------------------------------


def test_tokens_are_random_and_distinct(bench):
    """Four numbers, none 0, none twice; each renewal brings two others."""
    bench.datapath.clear_guard(SLOT)
    seen = set()
    for _ in range(20):
        bench.datapath.renew_tokens(SLOT)
        row = bench.datapath.guard_row(SLOT)
        seen.add((row.token[row.current], row.held[row.current]))
        numbers = [n for n in (*row.token, *row.held) if n]

        assert len(set(numbers)) == len(numbers)
        assert row.token[row.current]
        assert row.held[row.current]
    bench.datapath.clear_guard(SLOT)

    assert 20 == len(seen)


def test_renewal_keeps_the_last(bench):
    """What was stamped right before a renewal is still accepted after it, flags are kept."""
    bench.datapath.clear_guard(SLOT)
    bench.datapath.renew_tokens(SLOT)
    bench.datapath.set_guard_flags(SLOT, GuardFlag.MONITOR)
    first = bench.datapath.guard_row(SLOT)
    bench.datapath.renew_tokens(SLOT)
    second = bench.datapath.guard_row(SLOT)
    bench.datapath.clear_guard(SLOT)

    assert first.token[first.current] == second.token[1 - second.current]
    assert first.held[first.current] == second.held[1 - second.current]
    assert GuardFlag.MONITOR == second.flags


# -- real traffic -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair():
    with Lab() as lab:
        yield lab.pair()


@pytest.fixture
def egress(bench, alpha, pair):
    """Classifier and guard on the two ends."""
    made = Egress(bench, pair)
    bench.drain()
    yield made
    bench.datapath.clear_guard(SLOT)
    bench.datapath.clear_guard(OTHER % abi.WORKLOADS)


def bypassing(netns: str, *, bypass: bool = True) -> socket.socket:
    """A packet socket whose frames no classifier sees."""
    with inside(netns):
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        made.bind(("eth0", 0))
    if bypass:
        made.setsockopt(_SOL_PACKET, _QDISC_BYPASS, 1)
    return made


def frame(payload: bytes, port: int) -> bytes:
    packet = pk.udp(payload, port=port)
    packet.payload.src, packet.payload.dst = WORKLOAD4, SINK4
    packet["UDP"].dport = PORT
    return bytes(packet)


def test_honest_traffic_comes_in(bench, egress, pair):
    """Datagrams and connections of both families pass classifier and guard, and no event."""
    before = bench.packets()
    assert pair.datagram(b"hello")
    for family in (4, 6):
        sender, text = pair.connect(family), f"over IPv{family}".encode()
        sender.sendall(text)
        until(lambda text=text: text in pair.tcp.data)
        sender.close()
    until(lambda: bench.packets()[Reason.GUARDED] - before[Reason.GUARDED] >= 10)
    after = bench.packets()
    bench.read()

    assert after[Reason.GUARDED] - before[Reason.GUARDED] >= 10
    assert after[Reason.BYPASS] == before[Reason.BYPASS]
    assert [] == bench.events


def test_guarded_equals_passed(bench, egress, pair):
    """Each packet that the classifier lets out is one that the guard lets in."""
    before = bench.packets()
    for _ in range(50):
        pair.datagram(b"hello")

    def rose() -> tuple[int, int]:
        found = rises(before, bench.packets())
        return found[Reason.PASSED], found[Reason.GUARDED]

    until(lambda: len(set(rose())) == 1)  # the last one's second count may come late

    assert min(rose()) >= 100


def test_token_is_cleared(bench, egress, pair):
    """Behind the guard nothing tells the token: the host's side cannot leak it back."""
    # r0 = skb->hash; 2 (drop) where it is not 0, else -1 (on to the next).
    code = (
        bytes([0x61, 0x10, HASH_AT, 0, 0, 0, 0, 0])
        + bytes([0x15, 0x00, 2, 0, 0, 0, 0, 0])
        + bytes([0xB7, 0x00, 0, 0, 2, 0, 0, 0])
        + bytes([0x95, 0, 0, 0, 0, 0, 0, 0])
        + bytes([0xB7, 0x00, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF])
        + bytes([0x95, 0, 0, 0, 0, 0, 0, 0])
    )
    fd = libbpf.load_program("hash", code)
    attach(pair.outer, "ingress", fd, priority=2)
    os.close(fd)
    try:
        assert pair.datagram(b"hello")
    finally:
        tc = f"nsenter --net=/run/netns/{pair.outer} tc"
        sh(f"{tc} filter del dev eth0 ingress prio 2")


def test_qdisc_bypass(bench, egress, pair):
    """A frame past TC egress is seen by the guard alone: dropped and told of."""
    port = bench.port()
    with contextlib.closing(bypassing(pair.inner)) as sender:
        before = pair.received()
        rose = egress.counted(lambda: sender.send(frame(b"bypass", port)), Reason.BYPASS)
    until(lambda: bench.read() or bench.events)

    assert 1 == rose[Reason.BYPASS]
    assert not rose[Reason.PACKETS]
    assert not rose[Reason.PASSED]
    (event,) = bench.events
    assert (EventKind.BYPASS, WORKLOAD4, port) == (
        event.kind,
        event.packet.source,
        event.packet.source_port,
    )
    assert not pair.tcp.data.endswith(b"bypass")
    assert before <= pair.received(), "the device counts what its guard drops"


def test_packet_socket_without_bypass(bench, egress, pair):
    """It is classified like any packet, and gets its token if it may leave."""
    with contextlib.closing(bypassing(pair.inner, bypass=False)) as sender:
        harmless = egress.counted(
            lambda: sender.send(frame(b"hello", bench.port())), Reason.GUARDED
        )
        with pytest.raises(OSError, match="buffer"):
            sender.send(frame(value(ALPHA, 1), bench.port()))

    assert (1, 1) == (harmless[Reason.GUARDED], harmless[Reason.PASSED])


def test_unguarded_classifier(bench, egress, pair):
    """A classifier that was not told of the guard stamps nothing: nothing comes in."""
    fd = bench.datapath.entry(NETNS)
    attach(pair.inner, "egress", fd)
    os.close(fd)
    rose = egress.counted(lambda: egress.datagram(b"hello"), Reason.BYPASS)

    assert (1, 1) == (rose[Reason.PASSED], rose[Reason.BYPASS])


def test_another_workloads_token(bench, egress, pair):
    """A token is the namespace's own: the guard of another does not take it."""
    bench.datapath.renew_tokens(OTHER % abi.WORKLOADS)
    fd = bench.datapath.guard(OTHER)
    attach(pair.outer, "ingress", fd)
    os.close(fd)
    before = bench.datapath.counters(OTHER % abi.WORKLOADS)[Reason.BYPASS][0]
    rose = egress.counted(lambda: egress.datagram(b"hello"))
    until(lambda: bench.datapath.counters(OTHER % abi.WORKLOADS)[Reason.BYPASS][0] > before)
    after = bench.datapath.counters(OTHER % abi.WORKLOADS)[Reason.BYPASS][0]

    assert 1 == rose[Reason.PASSED]
    assert not rose[Reason.GUARDED]
    assert 1 == after - before


def test_tokens_renewed_twice_between(bench, egress, pair):
    """A token older than the last but one is none any more."""
    table = bench.datapath.tables["guards"]
    row = bench.datapath.guard_row(SLOT)
    old = row.token[row.current]
    bench.datapath.renew_tokens(SLOT)
    kept = old in bench.datapath.guard_row(SLOT).token
    bench.datapath.renew_tokens(SLOT)
    row = bench.datapath.guard_row(SLOT)
    gone = old not in row.token
    # The classifier stamps what the row says: let it say the old one to a guard that knows it not.
    own = abi.GuardStruct.from_buffer_copy(bytes(row))
    own.token[own.current] = old
    table.update(c_uint32(OTHER % abi.WORKLOADS), row)
    table.update(c_uint32(SLOT), own)
    fd = bench.datapath.guard(OTHER)
    attach(pair.outer, "ingress", fd)
    os.close(fd)
    stale = egress.counted(lambda: egress.datagram(b"hello"))
    table.update(c_uint32(SLOT), row)
    fresh = egress.counted(lambda: egress.datagram(b"hello"))

    def counters():
        return bench.datapath.counters(OTHER % abi.WORKLOADS)

    until(lambda: counters()[Reason.BYPASS][0] >= 1 and counters()[Reason.GUARDED][0] >= 1)
    assert (True, True) == (kept, gone)
    assert (1, 1) == (stale[Reason.PASSED], fresh[Reason.PASSED])


def test_renewal_under_traffic_loses_nothing(bench, egress, pair):
    """Tokens that change once while a datagram crosses, at whatever moment, lose none.

    Twice would: `renew_tokens` leaves it to its caller to be slower than a packet.
    """

    def renew(turn: int) -> None:
        time.sleep(turn % 20 * 10e-6)
        bench.datapath.renew_tokens(SLOT)

    lost = 0
    with ThreadPoolExecutor(1) as other:
        for turn in range(scaled(1000)):
            renewal = other.submit(renew, turn)
            lost += not pair.datagram(b"hello")
            renewal.result()

    assert 0 == lost


def test_closed_until_enforced(bench, egress, pair):
    """CLOSED holds against packets with a token too; lifted, they come in."""
    bench.datapath.set_guard_flags(SLOT, GuardFlag.CLOSED)
    closed = egress.counted(lambda: egress.datagram(b"hello"), Reason.CLOSED)
    bench.datapath.set_guard_flags(SLOT, GuardFlag(0), GuardFlag.CLOSED)

    # Neighbours may be asked for again meanwhile: of all that left, nothing came in.
    assert 1 <= closed[Reason.PASSED] == closed[Reason.CLOSED]
    assert pair.datagram(b"hello")


def test_ipv6_neighbours_and_arp_pass(bench, egress, pair):
    """What the workload's kernel sends by itself passes the classifier, and so the guard."""
    sh(f"ip -n {pair.inner} neigh flush all dev eth0")
    sh(f"ip -n {pair.outer} neigh flush all dev eth0")
    with contextlib.closing(pair.connect(6)) as six, contextlib.closing(pair.connect(4)) as four:
        six.sendall(b"six asked")
        four.sendall(b"four asked")
        until(lambda: b"six asked" in pair.tcp.data and b"four asked" in pair.tcp.data)
    assert (SINK6, WORKLOAD6) != (SINK4, WORKLOAD4)
