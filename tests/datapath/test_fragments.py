"""Datagrams in fragments: read as one, in their order or not at all."""

import itertools

import pytest
from scapy.layers.inet6 import IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, PadN
from scapy.packet import Raw

from dlp.datapath import abi
from dlp.datapath.abi import EventKind, Reason
from tests import packets as pk
from tests.kernelpath import ALPHA, NETNS, compiled, policy, value

pytest_plugins = ["tests.kernelpath_fixture"]
pytestmark = pytest.mark.kernel

SECRET = value(ALPHA, 7)
REASSEMBLY_NS = 60_000_000_000
_HOSTS = itertools.count()
FAMILIES = pytest.mark.parametrize("family", [4, 6])


@pytest.fixture(scope="module")
def alpha(bench, tmp_path_factory):
    image = compiled(tmp_path_factory.mktemp("fragments"), ALPHA)
    bench.load(image, policy(image))
    return image


def body(bench, payload: bytes) -> bytes:
    return pk.udp_bytes(payload, port=bench.port())


def sent(bench, pieces) -> list:
    return [bench.send(piece) for piece in pieces]


@pytest.fixture(autouse=True)
def _own_address(monkeypatch):
    """Later fragments have no ports: only another address makes another flow of them."""
    number = next(_HOSTS)
    monkeypatch.setattr(pk, "OURS4", f"10.10.{number // 250}.{number % 250 + 1}")
    monkeypatch.setattr(pk, "OURS6", f"fd00:10::{number:x}")


def ident_of(key: abi.FlowKeyStruct) -> int:
    return key.source_port << 16 | key.destination_port


def passed(fates) -> list[bool]:
    return [fate.passed for fate in fates]


# -- in order ---------------------------------------------------------------------------------


@FAMILIES
def test_harmless_datagram_passes(bench, alpha, family: int):
    """Each fragment passes, is counted as one, and its bytes as scanned."""
    whole = body(bench, b"x" * 400)
    pieces = pk.fragments(whole, [136, 272], ident=pk.fragment_id(), family=family)
    fates = sent(bench, pieces)

    assert [True] * 3 == passed(fates)
    assert [1] * 3 == [fate.rises[Reason.FRAGMENT] for fate in fates]
    assert [1] * 3 == [fate.rises[Reason.INSPECTED] for fate in fates]


@FAMILIES
@pytest.mark.parametrize("shift", range(8))
def test_value_across_an_edge(bench, alpha, family: int, shift: int):
    """Wherever fragments may be cut, the one that completes the value does not leave."""
    whole = body(bench, b"." * (16 + shift) + SECRET + b"." * 40)
    start = 8 + 16 + shift
    end = start + len(SECRET)
    cuts = [cut for cut in range(8, len(whole), 8) if start < cut < end]
    assert cuts
    for number, cut in enumerate(cuts):
        secret = value(ALPHA, number)  # a value is told once a flow
        whole = whole[:start] + secret + whole[end:]
        first, second = pk.fragments(whole, [cut], ident=pk.fragment_id(), family=family)
        before, fate = bench.send(first), bench.send(second)

        assert before.passed
        assert not fate.passed
        assert 1 == fate.rises[Reason.MATCH_DROPPED]
        (event,) = fate.events
        assert (start, cut - start) == (event.offset, event.sent_before)
        assert len(SECRET) == event.length


@FAMILIES
def test_value_over_the_smallest_fragments(bench, alpha, family: int):
    """Eight bytes each behind the first: the tail is handed on from one to the next."""
    whole = body(bench, b"." * 24 + SECRET + b"." * 32)
    cuts = range(16, len(whole), 8)
    fates = sent(bench, pk.fragments(whole, cuts, ident=pk.fragment_id(), family=family))
    completed = next(at for at, fate in enumerate(fates) if not fate.passed)

    assert all(passed(fates[:completed]))
    assert 1 == fates[completed].rises[Reason.MATCH_DROPPED]
    assert (8 + 24 + len(SECRET) - 1) // 8 - 1 == completed


@FAMILIES
def test_nothing_behind_a_dropped_fragment(bench, alpha, family: int):
    """Once a fragment is dropped, those behind it do not follow it out."""
    whole = body(bench, b"." * 24 + SECRET + b"." * 64)
    pieces = pk.fragments(whole, [24, 56, 80], ident=pk.fragment_id(), family=family)
    fates = sent(bench, pieces)

    assert [True, False, False, False] == passed(fates)
    assert [1, 1] == [fate.rises[Reason.FRAGMENT_ORDER] for fate in fates[2:]]


@FAMILIES
def test_dropped_fragment_sent_again(bench, alpha, family: int):
    """It never passes, as often as it comes; nor does anything else of the datagram."""
    whole = body(bench, b"." * 24 + SECRET + b"." * 8)
    first, second = pk.fragments(whole, [40], ident=pk.fragment_id(), family=family)
    fates = sent(bench, [first, second, second, second])

    assert [True, False, False, False] == passed(fates)
    assert 1 == fates[1].rises[Reason.MATCH_DROPPED]
    assert [1] * 2 == [fate.rises[Reason.FRAGMENT_ORDER] for fate in fates[2:]]


def test_headers_behind_the_fragment_header(bench, alpha):
    """IPv6 headers that belong to the fragmented part are part of what is counted."""
    options = bytes(IPv6ExtHdrDestOpt(nh=17, options=[PadN(optdata=b"\0" * 4)]))
    whole = options + body(bench, b"." * 24 + SECRET + b"." * 8)
    ident = pk.fragment_id()
    cut = len(options) + 40
    first = pk.ip6() / IPv6ExtHdrFragment(nh=60, id=ident, offset=0, m=1) / Raw(whole[:cut])
    rest = pk.ip6() / IPv6ExtHdrFragment(nh=60, id=ident, offset=cut // 8, m=0) / Raw(whole[cut:])
    fates = sent(bench, [first, rest])

    assert [True, False] == passed(fates)
    assert 1 == fates[1].rises[Reason.MATCH_DROPPED]


# -- out of order -----------------------------------------------------------------------------


@FAMILIES
@pytest.mark.parametrize("order", list(itertools.permutations(range(3)))[1:])
def test_other_orders(bench, alpha, family: int, order: tuple[int, ...]):
    """Of fragments in another order only those pass that follow what has passed."""
    whole = body(bench, b"." * 20 + SECRET + b"." * 60)
    pieces = pk.fragments(whole, [32, 64], ident=pk.fragment_id(), family=family)
    due, expected = 0, []
    for at in order:
        expected.append(at == due and at == 0)  # the second completes the value
        due += expected[-1]
    fates = sent(bench, [pieces[at] for at in order])

    assert expected == passed(fates)
    for at, fate in zip(order, fates, strict=True):
        if not fate.passed:
            reason = Reason.MATCH_DROPPED if fate.rises[Reason.MATCH] else Reason.FRAGMENT_ORDER
            assert 1 == fate.rises[reason], at


@FAMILIES
def test_second_half_first(bench, alpha, family: int):
    """A receiver would join them whatever their order: the half that comes first is refused."""
    whole = body(bench, b"." * 16 + SECRET + b"." * 24)
    first, second = pk.fragments(whole, [32], ident=pk.fragment_id(), family=family)
    early = bench.send(second)

    assert not early.passed
    assert 1 == early.rises[Reason.FRAGMENT_ORDER]
    assert [(EventKind.REFUSED, Reason.FRAGMENT_ORDER)] == [
        (event.kind, event.reason) for event in early.events
    ]
    assert bench.send(first).passed
    assert not bench.send(second).passed


@FAMILIES
@pytest.mark.parametrize(("low", "high"), [(32, 64), (48, 80), (24, 48), (8, 80), (56, 72)])
def test_overlap_or_hole(bench, alpha, family: int, low: int, high: int):
    """Behind a fragment of 40 bytes only one that begins at 40 goes on."""
    whole, ident = body(bench, bytes(range(32, 104))), pk.fragment_id()
    first = pk.fragment(whole[:40], 0, ident=ident, more=True, family=family)
    stray = pk.fragment(whole[low:high], low, ident=ident, more=True, family=family)
    due = pk.fragment(whole[40:], 40, ident=ident, more=False, family=family)
    fates = sent(bench, [first, stray, due])

    assert [True, False, True] == passed(fates)
    assert 1 == fates[1].rises[Reason.FRAGMENT_ORDER]


@FAMILIES
def test_told_once(bench, alpha, family: int):
    """Each stray fragment is counted, the first of its flow is told of."""
    ident = pk.fragment_id()
    fates = []
    for offset in (80, 160, 240):
        packet = pk.fragment(b"y" * 40, offset, ident=ident, more=True, family=family)
        fates.append(bench.send(packet))

    assert [1, 0, 0] == [len(fate.events) for fate in fates]


def test_monitor_mode(bench, alpha):
    """A stray fragment is counted, told of, scanned, and let out."""
    bench.load(alpha, policy(alpha, flags=abi.PolicyFlag.MONITOR))
    packet = pk.fragment(SECRET + b"." * 7, 800, ident=pk.fragment_id(), more=False)
    fate = bench.send(packet)
    bench.load(alpha, policy(alpha))

    assert fate.passed
    assert {Reason.FRAGMENT_ORDER, Reason.MATCH, Reason.WOULD_DROP} <= fate.rises.keys()
    assert [EventKind.REFUSED, EventKind.MATCH] == [event.kind for event in fate.events]


# -- which datagram ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "differs"),
    [(4, "protocol"), *itertools.product((4, 6), ("ident", "source", "destination"))],
)
def test_datagrams_are_told_apart(bench, alpha, family: int, differs: str):
    """A fragment follows only what has its source, destination, id and protocol."""
    ident = pk.fragment_id()
    whole = body(bench, b"z" * 72)
    first, second = pk.fragments(whole, [40], ident=ident, family=family)
    if differs == "ident":
        second = pk.fragment(whole[40:], 40, ident=pk.fragment_id(), more=False, family=family)
    elif differs == "protocol":
        second = pk.fragment(whole[40:], 40, ident=ident, more=False, protocol=pk.PROTOCOL_TEST)
    elif differs == "source":
        second.payload.src = "10.9.0.2" if family == 4 else "fd00::2"
    else:
        second.payload.dst = "198.51.100.8" if family == 4 else "2001:db8::8"
    fates = sent(bench, [first, second])

    assert [True, False] == passed(fates)
    assert 1 == fates[1].rises[Reason.FRAGMENT_ORDER]


def test_protocol_of_a_later_fragment(bench, alpha):
    """Over IPv6 a receiver asks the first fragment for it alone (RFC 8200, 4.5): so is here."""
    ident = pk.fragment_id()
    whole = body(bench, b"." * 16 + SECRET + b"." * 24)
    first = pk.fragments(whole, [32], ident=ident, family=6)[0]
    rest = pk.fragment(whole[32:], 32, ident=ident, more=False, family=6, protocol=59)
    fates = sent(bench, [first, rest])

    assert [True, False] == passed(fates)
    assert 1 == fates[1].rises[Reason.MATCH_DROPPED]


@FAMILIES
def test_interleaved_datagrams(bench, alpha, family: int):
    """Two datagrams under way at once do not disturb each other."""
    pieces = [
        pk.fragments(body(bench, b"q" * 120), [40, 80], ident=pk.fragment_id(), family=family)
        for _ in range(2)
    ]

    assert all(passed(sent(bench, itertools.chain(*zip(*pieces, strict=True)))))


@FAMILIES
@pytest.mark.parametrize("done", [1, 2])
def test_same_id_within_the_time(bench, alpha, family: int, done: int):
    """A receiver that still waits would join the second beginning's rest to the first's."""
    ident = pk.fragment_id()
    whole = body(bench, b"w" * 72)
    pieces = pk.fragments(whole, [40], ident=ident, family=family)
    sent(bench, pieces[:done])
    again = bench.send(pieces[0])

    assert not again.passed
    assert 1 == again.rises[Reason.FRAGMENT_ORDER]


@FAMILIES
def test_same_id_later(bench, alpha, family: int):
    """After as long as a receiver waits an id may come again: there are only so many."""
    ident = pk.fragment_id()
    pieces = pk.fragments(body(bench, b"v" * 72), [40], ident=ident, family=family)
    bench.send(pieces[0])
    table = bench.datapath.tables["datagrams"]
    (key,) = [key for key in list(table.keys()) if ident_of(key) == ident]
    row = table.lookup(key)
    row.seen_ns -= REASSEMBLY_NS
    table.update(key, row)

    assert [True, True] == passed(sent(bench, pieces))


@FAMILIES
def test_forgotten_datagram(bench, alpha, family: int):
    """What the table has lost is refused, not let out with half its context."""
    ident = pk.fragment_id()
    whole = body(bench, b"." * 16 + SECRET + b"." * 24)
    first, second = pk.fragments(whole, [32], ident=ident, family=family)
    bench.send(first)
    table = bench.datapath.tables["datagrams"]
    for key in list(table.keys()):
        if ident_of(key) == ident:
            table.delete(key)
    fate = bench.send(second)

    assert not fate.passed
    assert 1 == fate.rises[Reason.FRAGMENT_ORDER]


# -- atomic fragments -------------------------------------------------------------------------


def atomic(bench, payload: bytes, protocol: int = 17):
    """A fragment header over a whole datagram (RFC 6946)."""
    header = IPv6ExtHdrFragment(nh=protocol, id=pk.fragment_id(), offset=0, m=0)
    return pk.ip6() / header / Raw(body(bench, payload))


def test_atomic_fragment_is_a_datagram(bench, alpha):
    """It passes, also under its id a second time, and is not counted as a fragment."""
    packet = atomic(bench, b"whole")
    fates = sent(bench, [packet, packet])

    assert [True, True] == passed(fates)
    assert not any(fate.rises.get(Reason.FRAGMENT) for fate in fates)


def test_atomic_fragment_is_scanned(bench, alpha):
    """A value in it is found at its place in the datagram."""
    fate = bench.send(atomic(bench, b"." * 9 + SECRET))

    assert not fate.passed
    assert [(9, len(SECRET))] == [(event.offset, event.length) for event in fate.events]


def test_atomic_fragment_under_a_policy_without_fragments(bench, alpha):
    """`fragments: drop` does not mean what is whole."""
    bench.load(alpha, policy(alpha, flags=abi.PolicyFlag.FRAGMENTS_DROP))
    fate = bench.send(atomic(bench, b"whole"))
    bench.load(alpha, policy(alpha))

    assert fate.passed


def test_atomic_tcp_fragment_is_of_its_stream(bench, alpha):
    """A segment under an atomic header goes on where the stream stood."""
    port = bench.port()
    bench.send(pk.tcp(b"", port=port, family=6, flags="S", seq=0))
    bench.send(pk.tcp(SECRET[:9], port=port, family=6, seq=1))
    whole = bytes(pk.tcp(SECRET[9:] + b" ", port=port, family=6, seq=10).getlayer("TCP"))
    header = IPv6ExtHdrFragment(nh=6, id=pk.fragment_id(), offset=0, m=0)
    fate = bench.send(pk.ip6() / header / Raw(whole))

    assert not fate.passed
    assert [9] == [event.sent_before for event in fate.events]


# -- damaged ----------------------------------------------------------------------------------


@FAMILIES
def test_truncated_in_order(bench, alpha, family: int):
    """A fragment that is due, cut off at each byte: one fate, and no value let out."""
    for length in range(1, 24 + len(SECRET) + 1):
        whole = body(bench, b"." * 16 + b"." * 24 + SECRET)
        first, second = pk.fragments(whole, [24], ident=pk.fragment_id(), family=family)
        bench.send(first)
        raw = bytes(second)
        fate = bench.send(raw[: len(raw) - len(whole) + 24 + length])

        assert 1 == fate.rises.get(Reason.PASSED, 0) + fate.rises.get(Reason.DROPPED, 0)
        assert fate.passed == (length < 24 + len(SECRET))


def test_refused_row_of_a_namespace(bench, alpha):
    """Datagrams are the namespace's own: another with the same addresses begins anew."""
    other = NETNS + (7 << 16)
    entry = bench.datapath.entry(other)
    bench.datapath.bind(other, 0, 1)
    first, second = pk.fragments(body(bench, b"u" * 72), [40], ident=pk.fragment_id())
    bench.send(first)
    result = bench.datapath.test_run(entry, bytes(second)).result
    bench.datapath.unbind(other, 0)

    assert abi.TC_DROP == result
    assert bench.send(second).passed
