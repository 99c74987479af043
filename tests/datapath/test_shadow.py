"""Shadow rows count and tell of what they would do, and do nothing; what hits count."""

import dataclasses
import time
from ctypes import c_uint32

import pytest

from dlp.datapath import abi
from dlp.datapath.abi import EventFlag, EventKind, Reason
from dlp.datapath.hits import Hits
from dlp.model import Action
from dlp.policy import PolicyFlag, RuleRow
from tests import packets as pk
from tests.kernelpath import ALPHA, BRAVO, LONG, NETNS, SLOT, compiled, policy, rises, value

pytest_plugins = ["tests.kernelpath_fixture"]
pytestmark = pytest.mark.kernel

A, B, L = range(3)
SHADOW_BURST = 16
SHADOW_FOLLOWS = 4
SHADOW_EACH_S = 2**26 / 1e9
WAITS = PolicyFlag.OVER_BUDGET_DROP | PolicyFlag.OPEN_END_WAIT


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("shadow"), ALPHA, BRAVO, LONG, held=True)


@pytest.fixture
def told(bench):
    """Events of shadow rows, with the workload's share full."""
    events = []
    ring = bench.datapath.on_shadow_events(events.append)
    while ring.consume():
        pass
    events.clear()

    def read():
        while ring.consume():
            pass
        return events

    bench.datapath.tables["buckets"].update(c_uint32(SLOT), abi.BucketStruct())
    return read


def rows(**actions) -> dict[int, RuleRow]:
    names = {"alpha": A, "bravo": B, "long": L}
    return {names[name]: row for name, row in actions.items()}


def shadow(action: Action, threshold: int = 1, window_s: int = 0) -> RuleRow:
    return RuleRow(action, 7, threshold, window_s=window_s, shadow=True)


@pytest.mark.parametrize("action", [Action.MIRROR, Action.HOLD, Action.DROP])
@pytest.mark.parametrize("number", [A, L])
def test_nothing_is_done(bench, both, told, action, number):
    """Its match is no verdict: nothing dropped, held, mirrored, waited for, or told as live."""
    bench.load(both, policy(both, rules={number: shadow(action)}, flags=WAITS))
    made = value((ALPHA, BRAVO, LONG)[number], 1)
    for payload in (b"= " + made, b"= " + made + b" "):
        for build in (pk.udp, pk.tcp):
            fate = bench.send(build(payload, port=bench.port()))

            assert fate.passed
            assert () == fate.payloads
            assert not [event for event in fate.events if event.kind is EventKind.MATCH]
            assert not fate.rises.keys() & {
                Reason.MATCH,
                Reason.HELD,
                Reason.WAITED,
                Reason.WOULD_DROP,
                Reason.MIRRORED,
                Reason.CHECK_FAILED,
            }
    assert all(event.flags & EventFlag.SHADOW for event in told())


def test_hits_of_live_and_shadow(bench, both):
    """What acts and what would act is counted alike; the inspector's prefilters apart."""
    bench.load(
        both,
        policy(
            both,
            rules=rows(
                alpha=RuleRow(Action.ALERT, 0, 1),
                bravo=shadow(Action.DROP, 2),
                long=shadow(Action.DROP),
            ),
        ),
    )
    assert {} == bench.datapath.hits()
    port = bench.port()
    payload = b" ".join([value(ALPHA, 1), value(ALPHA, 1), value(BRAVO, 1), value(BRAVO, 2), b""])
    bench.send(pk.tcp(payload, port=port))
    bench.send(pk.tcp(b"- " + value(LONG, 1) + b" ", port=bench.port()))

    assert {
        (SLOT, A): Hits(1, 0, 0),
        (SLOT, B): Hits(2, 1, 0),
        (SLOT, L): Hits(0, 0, 1),
    } == bench.datapath.hits()


def test_live_drop_does_not_hide_shadow_matches(bench, both):
    """Beside a live match that drops the packet a shadow row counts its own of it."""
    bench.load(
        both,
        policy(both, rules=rows(alpha=RuleRow(Action.DROP, 0, 1), bravo=shadow(Action.DROP))),
    )
    payload = b" ".join([value(ALPHA, 1), value(ALPHA, 2), value(ALPHA, 3), value(BRAVO, 1), b""])
    fate = bench.send(pk.tcp(payload, port=bench.port()))

    assert not fate.passed
    assert {(SLOT, A): Hits(1, 1, 0), (SLOT, B): Hits(1, 1, 0)} == bench.datapath.hits()


def test_excepted(bench, both, told):
    """An excepted value would not act, and its event says so."""
    bench.load(both, policy(both, rules=rows(alpha=shadow(Action.DROP))))
    bench.send(pk.tcp(b"= " + value(ALPHA, 9) + b" ", port=bench.port()))
    (event,) = told()
    assert Action.DROP == event.action
    told().clear()
    excepted = policy(both, rules=rows(alpha=shadow(Action.DROP)), exceptions=(event.digest,))
    bench.load(both, excepted)

    bench.send(pk.tcp(b"= " + value(ALPHA, 9) + b" ", port=bench.port()))

    assert {(SLOT, A): Hits(1, 0, 0)} == bench.datapath.hits()
    (again,) = told()
    assert again.flags & EventFlag.EXCEPTED
    assert Action.ALLOW == again.action


def test_live_threshold_is_not_reached_by_shadow(bench, both):
    """Values of a shadow row do not count for a live rule of the same number."""
    live, beside = (
        RuleRow(Action.DROP, 0, 2),
        dataclasses.replace(shadow(Action.DROP), rule_index=0),
    )
    bench.load(both, policy(both, rules=rows(alpha=live, bravo=beside)))
    port = bench.port()

    payload = b" ".join([value(BRAVO, 1), value(BRAVO, 2), value(ALPHA, 1), b""])
    assert bench.send(pk.tcp(payload, port=port)).passed
    second = b" " + value(ALPHA, 2) + b" "
    assert not bench.send(pk.tcp(second, port=port, seq=1 + len(payload))).passed


def test_share_of_events(bench, both, told):
    """However much matches, shadow rows tell a little; live rows tell as before."""
    bench.load(
        both,
        policy(both, rules=rows(alpha=RuleRow(Action.ALERT, 0, 1), bravo=shadow(Action.ALERT))),
    )
    # Made beforehand: the share grows with the time that they take.
    packets = [
        pk.datagram(value(BRAVO, number) + b" " + value(ALPHA, number), port=bench.port())
        for number in range(200)
    ]
    for packet in packets:
        bench.post(packet)
    bench.read()

    live = [event for event in bench.events if event.kind is EventKind.MATCH]
    assert 200 == len(live)
    assert {A} == {event.signature for event in live}
    assert SHADOW_BURST <= len(told()) < 100
    assert Hits(200, 0, 0) == bench.datapath.hits()[SLOT, B]
    bench.drain()


def test_events_where_the_workload_has_none_left(bench, both, told):
    """Shadow rows have a ring of their own: they tell also where live rows may not any more."""
    bench.load(
        both,
        policy(both, rules=rows(alpha=RuleRow(Action.ALERT, 0, 1), bravo=shadow(Action.ALERT))),
    )
    settings = bench.datapath.settings
    settings.event_burst = 1
    bench.datapath.tables["settings"].update(c_uint32(0), settings)
    try:
        for number in range(30):
            bench.post(pk.udp(value(ALPHA, number), port=bench.port()))
        before = len(told())
        bench.post(pk.udp(value(ALPHA, 99) + b" " + value(BRAVO, 99), port=bench.port()))
        assert before < len(told())
    finally:
        settings.event_burst = 0
        bench.datapath.tables["settings"].update(c_uint32(0), settings)
    bench.drain()


def test_hits_begin_anew(bench, both):
    """With each load the generation's hits are 0; those of the one before stay out of it.

    They can be asked for until the next load.
    """
    for times in range(3):
        bench.load(both, policy(both, rules=rows(alpha=shadow(Action.DROP))))
        assert {} == bench.datapath.hits()
        if times:
            assert {(SLOT, A): Hits(1, 1, 0)} == bench.datapath.hits(before=True)
        bench.post(pk.udp(value(ALPHA, 1), port=bench.port()))
        assert {(SLOT, A): Hits(1, 1, 0)} == bench.datapath.hits()
    bench.datapath.clear_counters(SLOT)
    assert {} == bench.datapath.hits()


def test_many_matches_stay_within_the_budget(bench, both):
    """A packet full of a shadow row's matches leaves; all are counted."""
    bench.load(both, policy(both, rules=rows(alpha=shadow(Action.DROP))))
    payload = b" ".join(value(ALPHA, number) for number in range(180))[:3380]
    fate = bench.send(pk.tcp(payload, port=bench.port()))

    assert fate.passed
    assert not fate.rises[Reason.OVER_BUDGET]
    assert bench.datapath.hits()[SLOT, A].matches == fate.rises[Reason.SHADOW_MATCH] > 150


@pytest.fixture
def shown(bench):
    """Payload for the inspector of shadow rules, with the workload's share full."""
    pieces = []
    ring = bench.datapath.on_shadow_payload(pieces.append)
    while ring.consume():
        pass
    pieces.clear()

    def read():
        while ring.consume():
            pass
        return pieces

    bench.datapath.tables["buckets"].update(c_uint32(SLOT), abi.BucketStruct())
    return read


def flow_in(bench, packet) -> abi.FlowStruct:
    """The kernel's row of a flow whose source port no other of its protocol has."""
    wanted = NETNS, packet.proto, packet.sport
    rows = bench.datapath.flows(65536)
    (found,) = [flow for key, flow in rows if wanted == (key.netns, key.protocol, key.source_port)]
    return found


@pytest.mark.parametrize("action", [Action.ALERT, Action.MIRROR, Action.HOLD, Action.DROP])
def test_inspector_is_shown(bench, both, shown, action):
    """The chunk goes to the ring of shadow payload; nobody else is told of it."""
    release = bench.load(both, policy(both, rules={L: shadow(action)}, flags=WAITS))
    payload = b"- " + value(LONG, 1) + b" "
    for build in (pk.udp, pk.tcp):
        packet = build(payload, port=bench.port())
        fate = bench.send(packet)

        assert fate.passed
        assert () == fate.payloads
        assert (0, 0) == (fate.rises[Reason.MIRRORED], fate.rises[Reason.SHADOW_UNREAD])
        assert 1 == fate.rises[Reason.SHADOW_MIRRORED]
        assert not flow_in(bench, packet).flags & abi.FlowFlag.MIRROR
        (piece,) = shown()
        assert (payload, 0, 0) == (piece.data, piece.offset, piece.before)
        assert (NETNS, release, 1) == (piece.packet.netns, piece.release, piece.policy)
        assert (build is pk.udp, False) == (piece.final, piece.held)
        shown().clear()


def test_inspector_is_shown_nothing_else(bench, both, shown):
    """What the kernel decides, live prefilters and plain text stay out of the ring."""
    live = RuleRow(Action.ALERT, 0, 1)
    bench.load(both, policy(both, rules=rows(alpha=shadow(Action.DROP), long=live)))
    for payload in (value(ALPHA, 1), value(LONG, 1), b"LONGKEX-abcd1234", b"x" * 3000):
        fate = bench.send(pk.tcp(payload + b" ", port=bench.port()))
        assert not fate.rises[Reason.SHADOW_MIRRORED]
    bench.load(both, policy(both, rules=rows(long=shadow(Action.ALLOW))))
    bench.send(pk.tcp(value(LONG, 1) + b" ", port=bench.port()))

    assert [] == shown()


def test_inspector_is_shown_a_stream(bench, both, shown):
    """The tail comes along, and the next segments, without a gap; then no more do."""
    bench.load(both, policy(both, rules=rows(long=shadow(Action.DROP))))
    port, seq, sent = bench.port(), 1, b""
    for part in (b"a" * 200, value(LONG, 1)[:14], *[b"%04d" % n * 30 for n in range(9)]):
        assert bench.send(pk.tcp(part, port=port, seq=seq)).passed
        seq += len(part)
        sent += part

    first, *others = shown()
    assert (200 - 128, 128) == (first.offset, first.before)
    assert SHADOW_FOLLOWS == len(others)
    for one, piece in enumerate(shown()):
        end = 200 + 14 + one * 120
        assert piece.offset + len(piece.data) == end
        assert sent[piece.offset : end] == piece.data
    assert not bench.send(pk.tcp(b"more", port=port, seq=seq)).rises[Reason.SHADOW_MIRRORED]


def test_inspector_is_shown_once_a_chunk(bench, both, shown):
    """Many hits of a packet are one piece; a mirrored flow goes to its own ring besides."""
    live, beside = RuleRow(Action.MIRROR, 0, 1), shadow(Action.DROP)
    bench.load(both, policy(both, rules=rows(alpha=live, long=beside)))
    payload = b" ".join([value(ALPHA, 1), *(value(LONG, n) for n in range(30)), b""])
    fate = bench.send(pk.tcp(payload, port=bench.port()))

    assert [payload] == [piece.data for piece in shown()]
    assert [payload] == [piece.data for piece in fate.payloads]
    assert (1, 1) == (fate.rises[Reason.MIRRORED], fate.rises[Reason.SHADOW_MIRRORED])


def test_inspector_is_shown_what_is_dropped(bench, both, shown):
    """A live drop does not hide what the shadow rule wants inspected."""
    bench.load(
        both, policy(both, rules=rows(alpha=RuleRow(Action.DROP, 0, 1), long=shadow(Action.DROP)))
    )
    payload = value(LONG, 1) + b" " + value(ALPHA, 1) + b" "

    assert not bench.send(pk.tcp(payload, port=bench.port())).passed
    assert [payload] == [piece.data for piece in shown()]


def test_share_of_payload(bench, both, shown):
    """Past its share a workload's shadow payload is counted and left out; packets pass."""
    flags = WAITS | PolicyFlag.OVERLOAD_CLOSED | PolicyFlag.INSPECTOR_DOWN_CLOSED
    live = RuleRow(Action.MIRROR, 0, 1)
    bench.load(both, policy(both, rules=rows(alpha=live, long=shadow(Action.DROP)), flags=flags))
    before, port, began = bench.packets(), bench.port(), time.monotonic()
    for number in range(200):
        payload = value(LONG, number) + b" " + value(ALPHA, number) + b" "
        assert bench.post(pk.udp(payload, port=port))
    rose = rises(before, bench.packets())
    share = SHADOW_BURST + (time.monotonic() - began) / SHADOW_EACH_S
    bench.read()

    assert SHADOW_BURST <= len(shown()) <= share + 1
    assert rose[Reason.SHADOW_UNREAD]
    assert (len(shown()), 200) == (rose[Reason.SHADOW_MIRRORED], rose[Reason.MIRRORED])
    assert 200 == len(bench.payloads) == len(shown()) + rose[Reason.SHADOW_UNREAD]
    assert not rose.keys() & {Reason.MIRROR_LOST, Reason.OVERLOAD, Reason.DROPPED}
    assert 200 == bench.datapath.hits()[SLOT, L].prefilters
    bench.drain()


def test_full_ring_of_shadow_payload(bench, both, shown):
    """Where nobody reads the ring it fills; what is lost is counted and concerns nobody else."""
    flags = WAITS | PolicyFlag.OVERLOAD_CLOSED
    bench.load(both, policy(both, rules=rows(long=shadow(Action.DROP)), flags=flags))
    before, count, port = bench.packets(), 120, bench.port()
    for number in range(count):
        bench.datapath.tables["buckets"].update(c_uint32(SLOT), abi.BucketStruct())
        payload = value(LONG, number) + b" " + b"x" * 3300
        assert bench.post(pk.udp(payload, port=port))
    rose = rises(before, bench.packets())

    assert count == rose[Reason.SHADOW_MIRRORED] + rose[Reason.SHADOW_UNREAD]
    assert rose[Reason.SHADOW_MIRRORED] == len(shown())
    assert rose[Reason.SHADOW_UNREAD] > 10
    assert not rose.keys() & {Reason.MIRROR_LOST, Reason.OVERLOAD, Reason.DROPPED}


def test_values_of_the_inspector_beside(bench, both):
    """What the inspector finds for a shadow row counts with the kernel's values of that row."""
    row, digest = shadow(Action.DROP, 3), b"digest.." * 4
    bench.load(both, policy(both, rules=rows(alpha=row)))
    port = bench.port()
    bench.send(pk.tcp(b" ".join([value(ALPHA, 1), value(ALPHA, 2), b""]), port=port))
    flow = next(flow for key, flow in bench.datapath.flows(65536) if key.source_port == port).id
    count = bench.datapath.distinct

    assert 3 == count(flow, "bench", row.rule_index, [digest], shadow=True)
    assert 1 == count(flow, "bench", row.rule_index, [digest])
