"""Hold, packet by packet: what waits, what the inspector is given, what its word lets out."""

import pytest

from dlp.datapath import abi
from dlp.datapath.abi import EventKind, Reason
from dlp.model import Action
from dlp.policy import PolicyFlag, RuleRow
from tests import packets as pk
from tests.datapath.holding import ALPHA_NUMBER, MORE, RULES, SUSPECT, TAKEN_OUT, WAITS, text
from tests.kernelpath import ALPHA, BRAVO, LONG, compiled, value

pytest_plugins = ["tests.kernelpath_fixture", "tests.datapath.holding_fixture"]
pytestmark = pytest.mark.kernel

FAMILIES = pytest.mark.parametrize("family", [4, 6])


# -- a hold begins ----------------------------------------------------------------------------


@FAMILIES
@pytest.mark.parametrize("device", TAKEN_OUT)
def test_what_becomes_of_the_packet(holding, under, device, family: int):
    """It is taken out in the way that the device allows, told of, and counted as held."""
    under()
    stream = holding.stream(device=device, family=family)
    front = stream.send(b"front ", 0)
    fate = stream.send(SUSPECT, 6)

    assert front.passed
    assert TAKEN_OUT[device] == fate.result
    assert [(EventKind.HELD, Action.HOLD, Reason.HELD, 6, len(SUSPECT))] == [
        (event.kind, event.action, event.reason, event.offset, event.length)
        for event in fate.events
    ]
    assert 1 == fate.rises[Reason.HELD]
    for reason in (Reason.PASSED, Reason.DROPPED, Reason.INSPECTED, Reason.RELEASED):
        assert not fate.rises[reason]


@pytest.mark.parametrize("size", [0, 1, 6, 127, 128, 129, 500])
def test_what_the_inspector_is_given(flow, size: int):
    """The segment, behind as much of what has left as the flow remembers."""
    front, before = text(size), min(size, abi.TAIL)
    if size:
        assert flow.send(front, 0).passed
    (record,) = flow.send(SUSPECT, size).given

    assert (size - before, before) == (record.offset, record.before)
    assert front[size - before :] + SUSPECT == record.data
    assert (True, False, False) == (record.held, record.again, record.final)


def test_who_is_asked_about(bench, flow):
    """The record names flow, policy and release as the event does."""
    release = bench.datapath.settings.release
    fate = flow.send(SUSPECT, 0)
    (record,), (event,) = fate.given, fate.events

    assert (event.flow, event.policy, event.packet) == (record.flow, record.policy, record.packet)
    assert release == event.release == record.release
    assert flow.port == record.packet.source_port


def test_match_that_the_kernel_decides(flow):
    """The match is told with the action that it leads to; then the flow waits."""
    fate = flow.send(b"say " + value(BRAVO, 1) + b" now", 0)

    assert fate.waits
    assert [(EventKind.MATCH, Action.HOLD), (EventKind.HELD, Action.HOLD)] == [
        (event.kind, event.action) for event in fate.events
    ]


def test_end_of_the_stream(flow):
    """A segment that ends it says so."""
    (record,) = flow.send(SUSPECT, 0, "FPA").given

    assert record.final


@pytest.fixture
def with_triggers(under, tmp_path):
    """The same set, with the triggers of what is held."""
    under(signatures=compiled(tmp_path, ALPHA, LONG, BRAVO, held=True))


@pytest.mark.parametrize("cut", range(8))
def test_front_of_a_match(holding, with_triggers, cut: int):
    """A hold begins with the front of a match, however it is cut, and tells of no match."""
    stream, front = holding.stream(), BRAVO.sample[:8].encode()
    first = stream.send(b"say " + front[:cut], 0)
    last = stream.send(front[cut:], 4 + cut)

    assert (True, True) == (first.passed, last.waits)
    assert [EventKind.HELD] == [event.kind for event in last.events]


def test_front_of_what_is_not_held(holding, with_triggers):
    """A trigger of a signature whose rule does not hold does nothing."""
    assert holding.stream().send(b"ALPHAKEY-", 0).passed


def test_drop_is_stronger(flow):
    """A segment that also has what is dropped does not wait."""
    fate = flow.send(SUSPECT + b" " + value(ALPHA, 1) + b" ", 0)

    assert abi.TC_DROP == fate.result
    assert () == fate.given
    assert 1 == fate.rises[Reason.MATCH_DROPPED]


def test_monitor_mode(holding, under):
    """Nothing is held, nothing waits."""
    under(WAITS | PolicyFlag.MONITOR)
    for data in (SUSPECT, b"say " + value(BRAVO, 2) + b" now", b"say " + value(ALPHA, 2)):
        fate = holding.stream().send(data, 0)

        assert fate.passed
        assert () == fate.given
        assert not fate.rises[Reason.HELD] + fate.rises[Reason.WAITED]


@FAMILIES
@pytest.mark.parametrize("drops", [True, False])
def test_datagrams(holding, under, drops: bool, family: int):
    """One cannot wait: by policy it is dropped, or mirrored and let out."""
    under(WAITS | (PolicyFlag.HOLD_UDP_DROP if drops else PolicyFlag(0)))
    packet = pk.udp(SUSPECT, port=holding.bench.port(), family=family)
    fate = holding.send(bytes(packet))

    assert (not drops) == fate.passed
    assert () == fate.given
    assert int(drops) == fate.rises[Reason.HOLD_UDP] == fate.rises[Reason.DROPPED]
    assert ([] if drops else [SUSPECT]) == [record.data for record in fate.mirrored]


def test_datagram_in_monitor_mode(holding, under):
    """It leaves, whatever the policy does with datagrams."""
    under(WAITS | PolicyFlag.HOLD_UDP_DROP | PolicyFlag.MONITOR)

    assert holding.send(bytes(pk.udp(SUSPECT, port=holding.bench.port()))).passed


# -- what is beyond ---------------------------------------------------------------------------


def test_all_beyond_waits(flow):
    """What follows is taken out too, harmless as it is, and told of no more."""
    flow.send(SUSPECT, 0)
    at = len(SUSPECT)
    for _ in range(5):
        fate = flow.send(MORE, at)
        at += len(MORE)

        assert fate.waits
        assert () == fate.events


def test_what_follows_is_given(flow):
    """The next segments join what the inspector has, each once."""
    flow.send(SUSPECT, 0)
    at = len(SUSPECT)
    for piece in (text(100), text(7), text(1)):
        (record,) = flow.send(piece, at).given

        assert (at, 0, piece) == (record.offset, record.before, record.data)
        assert (True, False) == (record.held, record.again)
        assert () == flow.send(piece, at).given
        at += len(piece)


def test_what_does_not_follow_is_not_given(flow):
    """Beyond a gap nothing is given: it comes again in order."""
    flow.send(SUSPECT, 0)
    fate = flow.send(MORE, len(SUSPECT) + 1)

    assert fate.waits
    assert () == fate.given


def test_no_more_than_fits(flow):
    """Past what a copy is kept of nothing follows."""
    flow.send(SUSPECT, 0)
    given = at = len(SUSPECT)
    for _ in range(20):
        fate = flow.send(text(1000), at)
        given += sum(len(record.data) for record in fate.given)
        at += 1000

    assert at > given > 8192


def test_sent_again_while_it_waits(flow):
    """The same segment is given again as such: nothing follows before a word."""
    flow.send(b"front ", 0)
    first = flow.send(SUSPECT, 6)
    again = flow.send(SUSPECT, 6)

    assert again.waits
    assert [(False, first.given[0].data), (True, first.given[0].data)] == [
        (record.again, record.data) for fate in (first, again) for record in fate.given
    ]
    assert () == again.events


def test_what_has_left_before(flow):
    """What left before the hold may be sent again meanwhile."""
    flow.send(b"front ", 0)
    flow.send(SUSPECT, 6)

    assert flow.send(b"front ", 0).passed
    assert flow.send(b"nt ", 3).passed


def test_control_passes(flow):
    """Segments without payload are not held."""
    flow.send(SUSPECT, 0)

    assert flow.send(b"", 0, "A").passed
    assert flow.send(b"", len(SUSPECT), "FA").passed


def test_other_flows(holding, under):
    """Each waits for itself."""
    under()
    one, other = holding.stream(), holding.stream()
    one.send(SUSPECT, 0)
    assert other.send(MORE, 0).passed
    other.send(SUSPECT, len(MORE))
    other.clear(len(MORE + SUSPECT))

    assert one.send(SUSPECT, 0).waits
    assert other.send(SUSPECT, len(MORE)).passed


# -- the word: clear --------------------------------------------------------------------------


@FAMILIES
def test_cleared_bytes_leave(holding, under, family: int):
    """Once cleared the segment leaves with TCP's next, and the stream goes on."""
    under()
    stream = holding.stream(family=family)
    stream.send(b"front ", 0)
    stream.send(SUSPECT, 6)
    stream.clear(6 + len(SUSPECT))
    released = stream.send(SUSPECT, 6)
    then = stream.send(MORE, 6 + len(SUSPECT))

    assert released.passed
    assert (1, 1) == (released.rises[Reason.RELEASED], released.rises[Reason.INSPECTED])
    assert () == released.given + then.given
    assert then.passed
    assert not then.rises[Reason.RELEASED]


@pytest.mark.parametrize("size", [1, 2, 5, 8, 16, len(SUSPECT)])
def test_cut_anew(flow, size: int):
    """What was given leaves in whatever pieces TCP makes of it."""
    flow.send(SUSPECT, 0)
    flow.clear(len(SUSPECT))
    for at in range(0, len(SUSPECT), size):
        fate = flow.send(SUSPECT[at : at + size], at)

        assert fate.passed
        assert 1 == fate.rises[Reason.RELEASED]
    assert flow.send(MORE, len(SUSPECT)).passed


@pytest.mark.parametrize("to", [1, 10, len(SUSPECT) - 1])
def test_cleared_in_part(flow, to: int):
    """What ends at or before the cleared offset leaves, a byte more does not."""
    flow.send(SUSPECT, 0)
    flow.clear(to)

    assert flow.send(SUSPECT, 0).waits
    assert flow.send(SUSPECT[: to + 1], 0).waits
    assert flow.send(SUSPECT[:to], 0).passed
    assert flow.send(SUSPECT[to:], to).waits
    flow.clear(len(SUSPECT))
    assert flow.send(SUSPECT[to:], to).passed


def test_joined_anew(flow):
    """TCP may make one segment of two that the inspector was given."""
    flow.send(SUSPECT, 0)
    flow.send(MORE, len(SUSPECT))
    flow.clear(len(SUSPECT + MORE))

    assert flow.send(SUSPECT + MORE, 0).passed


def test_joined_with_what_was_not_given(flow):
    """A segment that goes on beyond what is cleared waits, and is given whole."""
    flow.send(SUSPECT, 0)
    flow.clear(len(SUSPECT))
    fate = flow.send(SUSPECT + MORE, 0)

    assert fate.waits
    assert [(0, False, SUSPECT + MORE)] == [(r.offset, r.again, r.data) for r in fate.given]
    assert flow.send(SUSPECT, 0).passed


def test_what_follows_waits_for_its_own_word(flow):
    """Given and not cleared: it waits when the segment before it has left."""
    flow.send(SUSPECT, 0)
    flow.send(MORE, len(SUSPECT))
    flow.clear(len(SUSPECT))

    assert flow.send(SUSPECT, 0).passed
    assert flow.send(MORE, len(SUSPECT)).waits
    flow.clear(len(SUSPECT + MORE))
    assert flow.send(MORE, len(SUSPECT)).passed


def test_words_do_not_go_back(flow):
    """An older word takes back nothing."""
    flow.send(SUSPECT, 0)
    flow.clear(10)
    assert flow.send(SUSPECT[:10], 0).passed
    flow.clear(5)

    assert flow.send(SUSPECT[5:10], 5).passed
    assert flow.send(SUSPECT[10:], 10).waits


def test_what_was_cleared_is_not_told_again(flow):
    """A kernel's match is told when it is met, and not again when it leaves."""
    data = b"say " + value(BRAVO, 3) + b" now"
    flow.send(data, 0)
    flow.clear(len(data))
    fate = flow.send(data, 0)

    assert fate.passed
    assert () == fate.events


def test_the_stream_is_scanned_on(flow):
    """Behind cleared bytes a value is found as anywhere, cut over the edge too."""
    secret = value(ALPHA, 4)
    data = SUSPECT + b" " + secret[:9]
    flow.send(data, 0)
    flow.clear(len(data))
    assert flow.send(data, 0).passed
    fate = flow.send(secret[9:] + b" ", len(data))

    assert abi.TC_DROP == fate.result
    assert [9] == [event.sent_before for event in fate.events]


def test_cleared_bytes_with_what_is_dropped(holding, under):
    """The word does not let out what another rule drops by now."""
    under(rules={**RULES, ALPHA_NUMBER: RuleRow(Action.HOLD, 0, 1)})
    stream = holding.stream()
    data = value(ALPHA, 5) + b" "
    stream.send(data, 0)
    stream.clear(len(data))
    under()

    assert abi.TC_DROP == stream.send(data, 0).result


def test_held_once_more(flow):
    """Later in the stream a new question is asked, and begins with a new event."""
    flow.send(SUSPECT, 0)
    flow.clear(len(SUSPECT))
    flow.send(SUSPECT, 0)
    flow.send(MORE, len(SUSPECT))
    at = len(SUSPECT + MORE)
    fate = flow.send(SUSPECT, at)

    assert fate.waits
    assert [EventKind.HELD] == [event.kind for event in fate.events]
    assert [(False, at)] == [(record.again, record.offset + record.before) for record in fate.given]
    flow.clear(at + len(SUSPECT))
    assert flow.send(SUSPECT, at).passed


@pytest.mark.parametrize("isn", [(1 << 32) - 1, (1 << 32) - 20, (1 << 31) - 20])
def test_numbers_that_wrap(holding, under, isn: int):
    """Sequence numbers that wrap in what waits change nothing."""
    under()
    stream = holding.stream(isn=isn)
    stream.send(b"front ", 0)
    (record,) = stream.send(SUSPECT, 6).given
    (following,) = stream.send(MORE, 6 + len(SUSPECT)).given
    stream.clear(6 + len(SUSPECT + MORE))

    assert (0, 6 + len(SUSPECT)) == (record.offset, following.offset)
    assert stream.send(SUSPECT, 6).passed
    assert stream.send(MORE, 6 + len(SUSPECT)).passed
