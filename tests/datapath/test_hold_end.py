"""How a hold ends otherwise than by clear bytes: blocked, no word, kept, no room in the ring."""

import time

import pytest

from dlp.datapath import abi
from dlp.datapath.abi import EventKind, FlowState, Reason
from dlp.model import Action
from dlp.policy import PolicyFlag
from tests.datapath.holding import LONG_NUMBER, MORE, SHORT_MS, SUSPECT, WAITS, changed, text
from tests.kernelpath import ALPHA, value

pytest_plugins = ["tests.kernelpath_fixture", "tests.datapath.holding_fixture"]
pytestmark = pytest.mark.kernel

# -- the word: block --------------------------------------------------------------------------


def test_blocked(bench, flow):
    """Nothing of the flow leaves any more but its end."""
    flow.send(b"front ", 0)
    flow.send(SUSPECT, 6)
    flow.block(LONG_NUMBER)
    fate = flow.send(SUSPECT, 6)
    again = flow.send(SUSPECT, 6)
    more = flow.send(MORE, 6 + len(SUSPECT))
    old = flow.send(b"front ", 0)

    assert [abi.TC_DROP] * 4 == [one.result for one in (fate, again, more, old)]
    assert (1, 1) == (fate.rises[Reason.INSPECTOR_BLOCKED], fate.rises[Reason.FLOW_BLOCKED])
    assert (0, 1) == (again.rises[Reason.INSPECTOR_BLOCKED], again.rises[Reason.FLOW_BLOCKED])
    assert flow.send(b"", 6, "FA").passed
    states = {made.id: (made.state, made.signature) for _, made in bench.datapath.flows(1 << 17)}
    assert (FlowState.BLOCKED, LONG_NUMBER) == states[flow.flow]


def test_blocked_by_what_is_beyond(flow):
    """The word counts for whatever segment comes next."""
    flow.send(SUSPECT, 0)
    flow.block()

    assert abi.TC_DROP == flow.send(MORE, len(SUSPECT)).result
    assert abi.TC_DROP == flow.send(SUSPECT, 0).result


def test_a_new_connection(flow):
    """What waited, and what was said of it, is forgotten with the next SYN."""
    flow.send(SUSPECT, 0)
    flow.block()
    flow.send(SUSPECT, 0)
    old = flow.flow
    flow.first += 5000
    assert flow.send(b"", -1, "S").passed
    fate = flow.send(SUSPECT, 0)

    assert fate.waits
    assert [(False, 0)] == [(record.again, record.offset) for record in fate.given]
    assert old != flow.flow
    flow.clear(len(SUSPECT))
    assert flow.send(SUSPECT, 0).passed


# -- no word ----------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", [True, False])
def test_no_word_in_time(holding, under, closed: bool):
    """By policy the flow is blocked, or what waits leaves as missed."""
    under(WAITS if closed else WAITS & ~PolicyFlag.HOLD_CLOSED, hold_timeout_ms=SHORT_MS)
    stream = holding.stream()
    stream.send(SUSPECT, 0)
    assert stream.send(SUSPECT, 0).waits
    time.sleep(SHORT_MS * 2 / 1000)
    fate = stream.send(SUSPECT, 0)
    then = stream.send(MORE, len(SUSPECT))

    assert [(EventKind.HOLD_TIMEOUT, Action.DROP if closed else Action.ALLOW)] == [
        (event.kind, event.action) for event in fate.events
    ]
    assert 1 == fate.rises[Reason.HOLD_TIMEOUT]
    assert [not closed] * 2 == [fate.passed, then.passed]
    assert not then.rises[Reason.HOLD_TIMEOUT]


def test_a_word_makes_patience_begin_anew(holding, under):
    """While the inspector answers, however little at a time, nothing times out."""
    under(hold_timeout_ms=SHORT_MS * 2)
    stream = holding.stream()
    stream.send(SUSPECT, 0)
    for to in range(1, 5):
        time.sleep(SHORT_MS / 1000)
        stream.clear(to)
        assert stream.send(SUSPECT, 0).waits
    time.sleep(SHORT_MS * 3 / 1000)

    assert abi.TC_DROP == stream.send(SUSPECT, 0).result


def test_beyond_what_is_cleared_nothing_times_out_alone(holding, under):
    """A cleared segment leaves although its time is up."""
    under(hold_timeout_ms=SHORT_MS)
    stream = holding.stream()
    stream.send(SUSPECT, 0)
    stream.clear(len(SUSPECT))
    time.sleep(SHORT_MS * 2 / 1000)

    assert stream.send(SUSPECT, 0).passed


def test_open_after_the_time_is_scanned(holding, under):
    """What leaves unjudged by the inspector is still searched by the kernel."""
    under(WAITS & ~PolicyFlag.HOLD_CLOSED, hold_timeout_ms=SHORT_MS)
    stream = holding.stream()
    stream.send(SUSPECT, 0)
    time.sleep(SHORT_MS * 2 / 1000)
    fate = stream.send(changed(SUSPECT, 2) + b" " + value(ALPHA, 6) + b" ", 0)

    assert abi.TC_DROP == fate.result
    assert 1 == fate.rises[Reason.MATCH_DROPPED]


def test_open_counts_as_missed(bench, holding, under):
    """The flow says that bytes of it were not decided."""
    under(WAITS & ~PolicyFlag.HOLD_CLOSED, hold_timeout_ms=SHORT_MS)
    stream = holding.stream()
    stream.send(SUSPECT, 0)
    time.sleep(SHORT_MS * 2 / 1000)
    stream.send(SUSPECT, 0)
    missed = {made.id: made.missed for _, made in bench.datapath.flows(1 << 17)}

    assert len(SUSPECT) == missed[stream.flow]


def test_inspector_down(bench, holding, under):
    """The sign of life is for mirrored flows: without it held ones wait for their word."""
    under()
    stream = holding.stream()
    stream.send(SUSPECT, 0)
    bench.datapath.beat(time.monotonic_ns() - 60_000_000_000)
    waited = stream.send(SUSPECT, 0).waits
    stream.clear(len(SUSPECT))
    fate = stream.send(SUSPECT, 0)
    holding.live()

    assert (True, True) == (waited, fate.passed)
    assert () == fate.events


# -- kept: what follows is held as well -------------------------------------------------------


def test_kept(flow):
    """The cleared bytes leave, and whatever comes next is asked about, harmless as it looks."""
    flow.send(SUSPECT, 0)
    flow.clear(len(SUSPECT), keep=True)
    released = flow.send(SUSPECT, 0)
    fate = flow.send(MORE, len(SUSPECT))

    assert released.passed
    assert fate.waits
    assert [(SUSPECT + MORE)[-len(MORE) :]] == [r.data[r.before :] for r in fate.given]
    assert [len(SUSPECT)] == [r.offset + r.before for r in fate.given]
    flow.clear(len(SUSPECT + MORE))
    assert flow.send(MORE, len(SUSPECT)).passed
    assert flow.send(MORE, len(SUSPECT + MORE)).passed


def test_kept_for_long(holding, under):
    """The time for the next word begins with what comes next, whenever that is."""
    under(hold_timeout_ms=SHORT_MS)
    stream = holding.stream()
    stream.send(SUSPECT, 0)
    stream.clear(len(SUSPECT), keep=True)
    assert stream.send(SUSPECT, 0).passed
    time.sleep(SHORT_MS * 2 / 1000)
    assert stream.send(MORE, len(SUSPECT)).waits
    time.sleep(SHORT_MS * 2 / 1000)

    assert abi.TC_DROP == stream.send(MORE, len(SUSPECT)).result


def test_kept_again_and_again(flow):
    """As long as words keep it, every segment is asked about before it leaves."""
    flow.send(SUSPECT, 0)
    at = len(SUSPECT)
    flow.clear(at, keep=True)
    assert flow.send(SUSPECT, 0).passed
    for byte in b"one by one":
        piece = bytes([byte])
        assert flow.send(piece, at).waits
        at += 1
        flow.clear(at, keep=True)
        assert flow.send(piece, at - 1).passed


# -- the ring is full -------------------------------------------------------------------------


def test_no_room_in_the_ring(bench, holding, under):
    """What could not be handed over waits, and is given when it comes again."""
    under()
    data, lost, before = SUSPECT + text(3000), [], bench.packets()[Reason.HOLD_LOST]
    while len(lost) < 3:
        stream = holding.stream()
        assert abi.TC_STOLEN == stream.post(data, 0)
        if bench.packets()[Reason.HOLD_LOST] - before > len(lost):
            lost.append(stream)
    holding.drain()

    for stream in lost:
        again = stream.send(data, 0)

        assert again.waits
        assert [(False, data)] == [(record.again, record.data) for record in again.given]
        stream.clear(len(data))
        assert stream.send(data, 0).passed
