"""Open ends, packet by packet: a match that ends with its segment waits for the byte behind it."""

import pytest

from dlp.datapath import abi
from dlp.datapath.abi import EventKind, Reason
from dlp.model import Action
from dlp.policy import PolicyFlag, RuleRow
from tests import packets as pk
from tests.datapath.holding import ALPHA_NUMBER, TAKEN_OUT, WAITS
from tests.kernelpath import ALPHA, BRAVO, LONG, Made, compiled, policy, value

pytest_plugins = ["tests.kernelpath_fixture", "tests.datapath.holding_fixture"]
pytestmark = pytest.mark.kernel

FAMILIES = pytest.mark.parametrize("family", [4, 6])
SECRET = value(ALPHA, 5)
OPEN = b"say " + SECRET  # a match, if no letter or digit follows
END = len(OPEN)
NINETEEN = b"4111111111111111003"  # Luhn holds for it, and for its first 16 digits


def matches(*fates) -> list[tuple[int, int, int]]:
    return [
        (event.offset, event.length, event.sent_before)
        for fate in fates
        for event in fate.events
        if event.kind is EventKind.MATCH
    ]


# -- what waits -------------------------------------------------------------------------------


@FAMILIES
@pytest.mark.parametrize("device", TAKEN_OUT)
def test_what_becomes_of_the_packet(holding, under, device, family: int):
    """It is taken out in the way that the device allows; nothing is told, nobody is asked."""
    under()
    fate = holding.stream(device=device, family=family).send(OPEN, 0)

    assert TAKEN_OUT[device] == fate.result
    assert () == fate.events + fate.given
    assert 1 == fate.rises[Reason.WAITED]
    for reason in (Reason.MATCH, Reason.PASSED, Reason.DROPPED, Reason.HELD):
        assert not fate.rises[reason]


def test_an_end_that_is_not_open(flow):
    """With the byte behind it in the segment a match is judged at once."""
    assert abi.TC_DROP == flow.send(OPEN + b" ", 0).result


def test_no_match_where_the_byte_is_known(flow):
    """With a digit behind it in the segment there is no match, and nothing waits."""
    assert flow.send(OPEN + b"5", 0).passed


def test_fin_is_the_end(flow):
    """A segment that ends the stream has nothing behind it."""
    fate = flow.send(OPEN, 0, "FPA")

    assert abi.TC_DROP == fate.result
    assert [(4, len(SECRET), 0)] == matches(fate)


@FAMILIES
def test_datagram(holding, under, family: int):
    """A datagram's end is an end."""
    under()
    packet = pk.udp(OPEN, port=holding.bench.port(), family=family)

    assert abi.TC_DROP == holding.send(bytes(packet)).result


def test_policy_that_drops(holding, under):
    """Where open ends do not wait they are taken for ends."""
    under(WAITS & ~PolicyFlag.OPEN_END_WAIT)
    fate = holding.stream().send(OPEN, 0)

    assert abi.TC_DROP == fate.result
    assert not fate.rises[Reason.WAITED]


@pytest.mark.parametrize("action", [Action.ALERT, Action.MIRROR])
def test_rules_that_let_out(holding, under, action: Action):
    """What leaves in any case is judged at once."""
    under(rules={ALPHA_NUMBER: RuleRow(action, 0, 1)})
    fate = holding.stream().send(OPEN, 0)

    assert fate.passed
    assert [(4, len(SECRET), 0)] == matches(fate)


def test_monitor_mode(holding, under):
    """Nothing waits."""
    under(WAITS | PolicyFlag.MONITOR)
    fate = holding.stream().send(OPEN, 0)

    assert fate.passed
    assert not fate.rises[Reason.WAITED]
    assert 1 == len(matches(fate))


def test_signature_without_a_boundary(bench, holding, tmp_path):
    """A match that no further byte can undo is judged at once."""
    closed = compiled(tmp_path, Made("fixed", "FIXEDKEY-[a-z]{4}", "FIXEDKEY-abcd"))
    bench.load(closed, policy(closed, flags=WAITS))
    holding.live()

    assert abi.TC_DROP == holding.stream().send(b"say FIXEDKEY-abcd", 0).result


def test_what_is_dropped_anyway(flow):
    """A segment with another match in it does not wait."""
    other = value(ALPHA, 6) + b" " + SECRET

    assert abi.TC_DROP == flow.send(other, 0).result


@pytest.mark.parametrize("cut", range(1, len(SECRET)))
def test_value_over_two_segments(flow, cut: int):
    """The end of the segment that completes it is open."""
    assert flow.send(SECRET[:cut], 0).passed
    assert flow.send(SECRET[cut:], cut).waits
    fate = flow.send(SECRET[cut:], cut)

    assert abi.TC_DROP == fate.result
    assert [(0, len(SECRET), cut)] == matches(fate)


# -- the next byte decides --------------------------------------------------------------------


@FAMILIES
@pytest.mark.parametrize("rest", [b"5", b"5 and more", b"z"])
def test_no_match_with_the_next_byte(holding, under, rest: bytes, family: int):
    """What follows shows that there was none: both segments leave, nothing is told."""
    under()
    stream = holding.stream(family=family)
    stream.send(OPEN, 0)
    fates = [stream.send(rest, END), stream.send(OPEN, 0), stream.send(rest, END)]

    assert [True, False, False] == [fate.waits for fate in fates]
    assert [True, True] == [fate.passed for fate in fates[1:]]
    assert [] == matches(*fates)
    assert stream.send(b" on and on", END + len(rest)).passed


@FAMILIES
@pytest.mark.parametrize("rest", [b" ", b" and more", b"\0", b"\xff"])
def test_match_with_the_next_byte(holding, under, rest: bytes, family: int):
    """What follows shows that it is one: the first segment is dropped, and the flow blocked."""
    under()
    stream = holding.stream(family=family)
    stream.send(OPEN, 0)
    beyond = stream.send(rest, END)
    fate = stream.send(OPEN, 0)

    assert beyond.waits
    assert abi.TC_DROP == fate.result
    assert [(4, len(SECRET), 0)] == matches(fate)
    assert abi.TC_DROP == stream.send(rest, END).result


def test_all_beyond_waits(flow):
    """Whatever comes behind it is taken out, and counted."""
    flow.send(OPEN, 0)
    for at in (END, END + 1, END + 10, END + 5000):
        fate = flow.send(b"1234567890", at)

        assert fate.waits
        assert 1 == fate.rises[Reason.WAITED]


def test_a_byte_further_on_decides_nothing(flow):
    """Only the byte right behind the match is asked for."""
    flow.send(OPEN, 0)
    flow.send(b"5", END + 1)

    assert abi.TC_DROP == flow.send(OPEN, 0).result


def test_the_latest_byte_counts(flow):
    """Where the next byte comes twice, TCP will send the later one."""
    flow.send(OPEN, 0)
    flow.send(b"5", END)
    flow.send(b" ", END)

    assert abi.TC_DROP == flow.send(OPEN, 0).result


def test_joined_anew(flow):
    """Sent again with what follows in one segment: the byte is in it."""
    flow.send(OPEN, 0)
    flow.send(b"5", END)

    assert flow.send(OPEN + b"5 ", 0).passed


def test_joined_anew_to_a_match(flow):
    """The same with a byte that makes it one."""
    flow.send(OPEN, 0)
    flow.send(b" ", END)

    assert abi.TC_DROP == flow.send(OPEN + b" .", 0).result


# -- sent again: nothing follows --------------------------------------------------------------


@FAMILIES
def test_the_first_retransmission_decides(holding, under, family: int):
    """When TCP sends it again and nothing has followed, that is the end."""
    under()
    stream = holding.stream(family=family)
    stream.send(OPEN, 0)
    fate = stream.send(OPEN, 0)

    assert abi.TC_DROP == fate.result
    assert [(4, len(SECRET), 0)] == matches(fate)
    assert abi.TC_DROP == stream.send(b"5", END).result


def test_the_end_comes_with_the_retransmission(flow):
    """A FIN without payload is let out and decides nothing; then the segment comes again."""
    flow.send(OPEN, 0)
    fin = flow.send(b"", END, "FA")

    assert fin.passed
    assert abi.TC_DROP == flow.send(OPEN, 0, "FPA").result


@pytest.mark.parametrize("cut", range(1, END))
def test_cut_anew(flow, cut: int):
    """Sent again in two pieces: the second completes the value and does not leave."""
    flow.send(OPEN, 0)
    first = flow.send(OPEN[:cut], 0)
    second = [flow.send(OPEN[cut:], cut) for _ in range(2)]

    assert first.passed
    assert not any(fate.passed for fate in second)
    assert [(4, len(SECRET), max(cut - 4, 0))] == matches(*second)


@pytest.mark.parametrize("cut", range(1, END))
def test_cut_anew_and_no_match(flow, cut: int):
    """The same where the next byte shows that there is none: all leaves."""
    rest = b"5 and more"
    flow.send(OPEN, 0)
    flow.send(rest, END)
    pieces = [(OPEN[:cut], 0), (OPEN[cut:], cut), (rest, END)]
    left, turns = b"", 0
    while pieces and turns < 10:
        passed = [flow.send(*piece).passed for piece in pieces]
        while passed and passed.pop(0):
            left += pieces.pop(0)[0]
        turns += 1

    assert OPEN + rest == left


def test_other_bytes_the_second_time(flow):
    """It is scanned as it comes: what was open has no say in it."""
    flow.send(OPEN, 0)

    assert flow.send(b"x" * END, 0).passed


def test_what_has_left_before(flow):
    """Older segments may be sent again meanwhile; the open one does not leave for that."""
    flow.send(b"front ", 0)
    flow.send(OPEN, 6)
    old = flow.send(b"front ", 0)
    fates = [flow.send(OPEN, 6) for _ in range(2)]

    assert old.passed
    assert not any(fate.passed for fate in fates)
    assert 1 == len(matches(*fates))


def test_a_new_connection(flow):
    """What waited is forgotten with the next SYN."""
    flow.send(OPEN, 0)
    flow.first += 5000
    assert flow.send(b"", -1, "S").passed

    assert flow.send(b"harmless", 0).passed
    assert flow.send(b" more", 8).passed


def test_once_more(flow):
    """An end that was none leaves the next one open again."""
    flow.send(OPEN, 0)
    flow.send(b"5 ", END)
    assert flow.send(OPEN, 0).passed
    assert flow.send(b"5 ", END).passed
    fate = flow.send(SECRET, END + 2)

    assert fate.waits
    assert abi.TC_DROP == flow.send(SECRET, END + 2).result


# -- the seam ---------------------------------------------------------------------------------


@pytest.fixture
def cards(bench, holding, image):
    """The built-in packs, all dropped."""
    bench.load(image, policy(image, flags=WAITS))
    holding.live()
    return holding


def lengths(image, *fates) -> list[tuple[str, int]]:
    return [
        (image.signatures[event.signature].id, event.length)
        for fate in fates
        for event in fate.events
        if event.kind is EventKind.MATCH
    ]


@FAMILIES
def test_longer_match_over_the_seam(cards, image, family: int):
    """A number whose first 16 digits would be one too: the digit behind them says they are not.

    So they leave, and the longer number, of which they are the beginning, is found with the rest.
    """
    stream = cards.stream(family=family)
    text = b"number " + NINETEEN[:16]
    assert stream.send(text, 0).waits
    assert stream.send(NINETEEN[16:] + b".", len(text)).waits
    first = stream.send(text, 0)
    second = stream.send(NINETEEN[16:] + b".", len(text))

    assert first.passed
    assert abi.TC_DROP == second.result
    assert [("pci.card.visa-19", 19)] == lengths(image, first, second)


@pytest.mark.parametrize("cut", [1, 2])
def test_longer_match_in_three(cards, image, cut: int):
    """The same with the rest cut once more."""
    stream = cards.stream()
    text, rest = b"number " + NINETEEN[:16], NINETEEN[16:]
    stream.send(text, 0)
    stream.send(rest[:cut], len(text))
    assert stream.send(text, 0).passed
    assert stream.send(rest[:cut], len(text)).passed
    fate = stream.send(rest[cut:] + b".", len(text) + cut)

    assert abi.TC_DROP == fate.result
    assert [("pci.card.visa-19", 19)] == lengths(image, fate)


def test_longer_match_by_whole_segment(cards, image):
    """In one segment only the longer one is a number."""
    fate = cards.stream().send(b"number " + NINETEEN + b".", 0)

    assert [("pci.card.visa-19", 19)] == lengths(image, fate)


def test_longer_match_with_an_open_end_of_its_own(cards, image):
    """Both ends are open, one after the other."""
    stream = cards.stream()
    text, rest = b"number " + NINETEEN[:16], NINETEEN[16:]
    stream.send(text, 0)
    stream.send(rest, len(text))
    assert stream.send(text, 0).passed
    assert stream.send(rest, len(text)).waits
    fate = stream.send(rest, len(text))

    assert abi.TC_DROP == fate.result
    assert [("pci.card.visa-19", 19)] == lengths(image, fate)


def test_shorter_match_is_told_once(cards, image, bench, holding):
    """Under an alert a number whose end seemed to be there is told, and its longer self not."""
    bench.load(image, policy(image, Action.ALERT, flags=WAITS))
    holding.live()
    stream = cards.stream()
    text = b"number " + NINETEEN[:16]
    first = stream.send(text, 0)
    second = stream.send(NINETEEN[16:] + b".", len(text))

    assert [("pci.card.visa", 16)] == lengths(image, first)
    assert all(length == 19 for _, length in lengths(image, second))


# -- with a hold ------------------------------------------------------------------------------


def test_held_once_its_end_is_known(holding, under):
    """A match that is to be held waits for its end first, and then for the inspector."""
    under()
    stream, data = holding.stream(), b"say " + value(BRAVO, 1)
    first, second = stream.send(data, 0), stream.send(data, 0)

    assert (True, True) == (first.waits, second.waits)
    assert () == first.given
    assert [data] == [record.data for record in second.given]
    stream.clear(len(data))
    assert stream.send(data, 0).waits, "its end is asked for once more"
    assert stream.send(data, 0).passed


def test_open_end_in_what_is_cleared(holding, under):
    """What another rule drops has its end decided although the inspector has cleared it."""
    under()
    data = LONG.sample.encode() + b" " + SECRET
    stream = holding.stream()
    assert stream.send(data, 0).given
    stream.clear(len(data))
    fates = [stream.send(data, 0) for _ in range(2)]

    assert not any(fate.passed for fate in fates)
    assert [(len(data) - len(SECRET), len(SECRET), 0)] == matches(*fates)
