"""Segments sent again: with the same bytes they pass, with others they do not."""

from ctypes import c_uint32

import pytest

from dlp.datapath import abi
from dlp.datapath.abi import EventKind, Reason
from dlp.model import DestinationAction
from dlp.policy import DestinationRow, PolicyFlag
from tests import packets as pk
from tests.kernelpath import ALPHA, compiled, policy, value

pytest_plugins = ["tests.kernelpath_fixture"]
pytestmark = pytest.mark.kernel

EMPTY_SLOT = 15  # of the program array
TEXT = bytes(33 + at * 7 % 90 for at in range(300))  # neighbours differ
FAMILIES = pytest.mark.parametrize("family", [4, 6])


@pytest.fixture(scope="module")
def alpha(bench, tmp_path_factory):
    image = compiled(tmp_path_factory.mktemp("again"), ALPHA)
    bench.load(image, policy(image))
    return image


class Stream:
    """A flow seen from its SYN; offsets count from the first byte of payload."""

    def __init__(self, bench, *, isn: int = 999, family: int = 4, syn: bool = True) -> None:
        self._bench, self._first, self._family = bench, isn + 1, family
        self.port = bench.port()
        if syn:
            bench.send(pk.tcp(b"", port=self.port, family=family, flags="S", seq=isn))

    def send(self, data: bytes, at: int, flags: str = "PA"):
        number = (self._first + at) % (1 << 32)
        segment = pk.tcp(data, port=self.port, family=self._family, seq=number, flags=flags)
        return self._bench.send(segment)


def changed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@FAMILIES
def test_same_bytes_pass(bench, alpha, family: int):
    """Cut anew at any place, alone or with new bytes behind: the same bytes pass."""
    stream = Stream(bench, family=family)
    assert stream.send(TEXT[:200], 0).passed
    for low in range(0, 200, 7):
        for high in (low + 1, 200):
            fate = stream.send(TEXT[low:high], low)

            assert fate.passed
            assert 1 == fate.rises[Reason.RETRANSMISSION]
    for end in range(201, 260, 9):
        assert stream.send(TEXT[150:end], 150).passed


@FAMILIES
def test_one_other_byte(bench, alpha, family: int):
    """At each place of the kept tail another byte is seen, and the segment dropped."""
    stream = Stream(bench, family=family)
    stream.send(TEXT[:200], 0)
    for at in range(200 - abi.TAIL, 200):
        whole = stream.send(changed(TEXT[:200], at), 0)
        part = stream.send(changed(TEXT, at)[at:200], at)

        for fate in (whole, part):
            assert not fate.passed
            assert (1, 1) == (fate.rises[Reason.REWRITTEN], fate.rises[Reason.DROPPED])


def test_beyond_the_tail(bench, alpha):
    """Of what was sent longer ago nothing is kept: it is scanned, not compared."""
    stream = Stream(bench)
    stream.send(TEXT[:200], 0)
    secret = b" " + value(ALPHA, 1) + b" "
    other = stream.send(changed(TEXT[:60], 50), 0)
    found = stream.send(secret, 10)

    assert other.passed
    assert not found.passed
    assert 1 == found.rises[Reason.MATCH_DROPPED]


def test_other_bytes_with_new_ones_behind(bench, alpha):
    """A segment over the stream's end is compared up to it, and free beyond."""
    stream = Stream(bench)
    stream.send(TEXT[:200], 0)
    for at in (190, 199):
        assert 1 == stream.send(changed(TEXT[:240], at)[180:], 180).rises[Reason.REWRITTEN]
    assert stream.send(changed(TEXT[:240], 220)[180:], 180).passed
    assert stream.send(TEXT[240:], 240).passed


@pytest.mark.parametrize("size", [1, 2, 8, 100, 127, 128])
def test_short_streams(bench, alpha, size: int):
    """The tail of a stream shorter than it is compared as far as it reaches."""
    stream = Stream(bench)
    stream.send(TEXT[:size], 0)

    assert stream.send(TEXT[:size], 0).passed
    assert 1 == stream.send(changed(TEXT[:size], 0), 0).rises[Reason.REWRITTEN]
    assert 1 == stream.send(changed(TEXT[:size], size - 1), 0).rises[Reason.REWRITTEN]


@pytest.mark.parametrize("isn", [(1 << 32) - 1, (1 << 32) - 150, (1 << 31) - 100])
def test_numbers_that_wrap(bench, alpha, isn: int):
    """Sequence numbers that wrap in the stream lead to the same bytes."""
    stream = Stream(bench, isn=isn)
    stream.send(TEXT[:200], 0)

    assert stream.send(TEXT[100:220], 100).passed
    assert 1 == stream.send(changed(TEXT, 150)[120:220], 120).rises[Reason.REWRITTEN]


def test_stream_in_many_segments(bench, alpha):
    """The tail is of the stream, not of its last segment."""
    stream = Stream(bench)
    for at in range(0, 260, 10):
        stream.send(TEXT[at : at + 10], at)
    for at in range(140, 260, 13):
        assert 1 == stream.send(changed(TEXT, at)[at : at + 1], at).rises[Reason.REWRITTEN]
        assert stream.send(TEXT[at : at + 5], at).passed


def test_the_stream_goes_on(bench, alpha):
    """A segment dropped for its bytes harms nothing that is sent as it was."""
    stream = Stream(bench)
    stream.send(TEXT[:200], 0)
    stream.send(changed(TEXT[:200], 199), 0)

    assert stream.send(TEXT[:200], 0).passed
    assert stream.send(TEXT[200:], 200).passed


def test_new_bytes_behind_a_rewritten_segment(bench, alpha):
    """What was dropped with it is due: nothing beyond passes before it."""
    stream = Stream(bench)
    stream.send(TEXT[:200], 0)
    stream.send(changed(TEXT[:240], 199)[180:], 180)
    beyond = stream.send(TEXT[240:260], 240)
    due = stream.send(TEXT[200:240], 200)

    assert (False, True) == (beyond.passed, due.passed)
    assert 1 == beyond.rises[Reason.OUT_OF_ORDER]
    assert stream.send(TEXT[240:260], 240).passed


def test_a_value_put_over_what_was_sent(bench, alpha):
    """The first half scanned as something else cannot be made the value's afterwards."""
    secret = value(ALPHA, 2)
    stream = Stream(bench)
    stream.send(b"." * 40 + b"x" * 9, 0)
    second_half = stream.send(secret[9:] + b" ", 49)
    first_half = stream.send(secret[:9], 40)

    assert second_half.passed, "alone it is no match"
    assert not first_half.passed
    assert 1 == first_half.rises[Reason.REWRITTEN]


def test_partly_inspected_flows_are_scanned_only(bench, alpha):
    """Of a flow that began before the attach nothing can be known of what came earlier."""
    stream = Stream(bench, syn=False)
    stream.send(TEXT[:200], 0)

    assert stream.send(changed(TEXT[:200], 150), 0).passed


def test_no_event(bench, alpha):
    """A segment sent again as it was is nothing to tell of."""
    stream = Stream(bench)
    stream.send(TEXT[:200], 0)

    assert () == stream.send(TEXT[:200], 0).events


def test_monitor_mode(bench, alpha):
    """Counted as what would have been dropped, and let out."""
    bench.load(alpha, policy(alpha, flags=PolicyFlag.MONITOR))
    stream = Stream(bench)
    stream.send(TEXT[:200], 0)
    fate = stream.send(changed(TEXT[:200], 150), 0)
    bench.load(alpha, policy(alpha))

    assert fate.passed
    assert (1, 1) == (fate.rises[Reason.REWRITTEN], fate.rises[Reason.WOULD_DROP])


def test_after_an_exemption(bench, alpha):
    """What left exempt was not kept: sent again under a policy that inspects, it may leave."""
    everywhere = DestinationRow(
        address=bytes(16),
        mask=bytes(16),
        port_low=0,
        port_high=0xFFFF,
        action=DestinationAction.EXEMPT,
    )
    bench.load(alpha, policy(alpha, destinations=(everywhere,)))
    stream = Stream(bench)
    stream.send(TEXT[:200], 0)
    bench.load(alpha, policy(alpha))

    assert stream.send(TEXT[:200], 0).passed
    assert stream.send(TEXT[200:], 200).passed


def test_after_a_budget_that_lets_out(bench, alpha):
    """Nor is what left unread past the work bound: such a flow is partly inspected."""
    bench.load(alpha, policy(alpha, flags=PolicyFlag(0)))
    settings = bench.datapath.settings
    settings.scan_slot[settings.generation] = EMPTY_SLOT
    bench.datapath.tables["settings"].update(c_uint32(0), settings)
    stream = Stream(bench)
    unread = stream.send(TEXT[:200], 0)
    bench.load(alpha, policy(alpha))

    assert unread.passed
    assert 1 == unread.rises[Reason.TAIL_CALL_FAILED]
    assert [EventKind.BUDGET] == [event.kind for event in unread.events]
    assert stream.send(TEXT[:200], 0).passed
