import random
import re
import time

import pytest

from dlp.inspector.matcher import Matcher
from dlp.inspector.messages import Record, Rule
from dlp.inspector.window import Windows

KEY = b"k" * 32
JWT = Rule(
    index=1,
    id="t.jwt",
    regex=r"\beyJ[h-z0-6][YZa-e][A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
    front=5,
    policies=0b0010,
)
CARD = Rule(
    index=2,
    id="t.card",
    regex=r"\b\d{4}[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}\b",
    validator="luhn",
    normalise=True,
    front=16,
    policies=0b0100,
)
HEAD, BODY, TAIL = (
    b"eyJhbGciOiJIUzI1NiJ9",
    b".eyJzdWIiOiJFWEFNUExFIn0",
    b".EXAMPLEexample0123456789",
)
TOKEN = HEAD + BODY + TAIL
VISA = b"4111 1111 1111 1111"
SHORTEST = len(HEAD + BODY) + 11  # bytes of TOKEN that are a match already


class Stream:
    """A held flow: what is said of each of its segments, and what has been cleared."""

    def __init__(self, *rules, start=0, **options):
        self.matcher = Matcher(rules or (JWT, CARD), key=KEY, release=3, **options)
        self.end = self.cleared = start
        self.findings, self.word = [], None

    def send(self, data, *, offset=None, again=False, **more):
        offset = self.end if offset is None else offset
        record = Record(flow=1, offset=offset, data=data, held=True, again=again, **more)
        found, self.word = self.matcher.hold(record)
        self.findings += [(one.signature, one.offset, one.length) for one in found]
        self.end = max(self.end, offset + len(data))
        if self.word is not None and not self.findings:
            self.cleared = self.word.to
        return self.word


@pytest.mark.parametrize("again", [False, True])
def test_no_cut_of_a_token_clears_a_whole_one(again):
    """However a token is cut in two, its match is told before what completes it is cleared."""
    for cut in range(1, len(TOKEN)):
        stream = Stream()
        for piece in (b"auth: " + TOKEN[:cut], TOKEN[cut:] + b"\r\n"):
            stream.send(piece)
            if again and not stream.findings:
                stream.send(piece, offset=stream.end - len(piece), again=True)

        assert [(1, 6)] == [(index, offset) for index, offset, _ in stream.findings][:1]
        assert stream.cleared < 6 + SHORTEST


@pytest.mark.parametrize("again", [False, True])
def test_no_cut_into_many_pieces_clears_a_whole_token(again):
    """Byte by byte and in random pieces, with and without pauses in which nothing follows."""
    random_ = random.Random(7)
    whole = b"GET / " + TOKEN + b" HTTP/1.1\r\n"
    for trial in range(200):
        stream, at = Stream(), 0
        while at < len(whole) and not stream.findings:
            size = 1 if trial == 0 else random_.randint(1, 24)
            stream.send(whole[at : at + size], again=again and random_.random() < 0.7)
            at += size

        assert stream.findings[0][:2] == (1, 6)
        assert stream.cleared < 6 + SHORTEST


def test_what_holds_nothing_is_cleared_to_its_end():
    """A record with no open match is cleared whole, at once."""
    word = Stream().send(b"hello eyJust a word, 4111 1111 1111 1112 no card. ")

    assert (0, 50, False) == (word.since, word.to, word.keep)


def test_what_is_in_front_of_an_open_match_is_cleared():
    """Bytes up to the place where a match may have begun need not wait for it."""
    stream = Stream()

    word = stream.send(b"session=" + HEAD)
    assert (8, True, 8) == (word.to, word.keep, word.back)
    word = stream.send(b"; path=/ ")
    assert (stream.end, False) == (word.to, word.keep)
    assert [] == stream.findings


def test_a_beginning_too_short_to_be_held_for_is_cleared():
    """The kernel holds the flow once its trigger is whole; less than that does not wait here."""
    stream = Stream()

    assert stream.send(b"x: eyJh").to == 7
    assert stream.send(b"bGci").to == 3
    assert stream.send(TOKEN[8:]).to <= 3
    stream.send(b" ")
    assert [(1, 3, len(TOKEN))] == stream.findings


def test_again_clears_an_open_match_and_keeps_the_flow():
    """Nothing follows, so what is there is judged as it is; what comes may still complete it."""
    stream = Stream()
    stream.send(b"x: " + HEAD + BODY)

    word = stream.send(HEAD + BODY, offset=3, again=True)
    assert (stream.end, True, 3) == (word.to, word.keep, word.back)
    stream.send(TAIL[:10])
    assert stream.cleared <= 3 + len(HEAD + BODY)
    stream.send(TAIL[10:], again=True)
    assert [(1, 3, len(TOKEN))] == stream.findings


def test_again_decides_a_match_at_the_end():
    """A card number whose next byte does not come is one; longer it would be none."""
    stream = Stream(CARD)

    assert stream.send(b"no " + VISA).to == 3
    assert [] == stream.findings
    stream.send(VISA, offset=3, again=True)
    assert [(2, 3, 19)] == stream.findings
    longer = Stream(CARD)
    longer.send(b"no " + VISA)
    assert longer.send(b"1 ").to == longer.end
    assert [] == longer.findings


def test_a_longer_match_is_told_after_a_shorter_one_was():
    """A value that was judged as it stood is judged anew when it has grown."""
    stream = Stream()
    stream.send(TOKEN, again=True)
    stream.send(b"longer ")

    assert [(1, 0, len(TOKEN)), (1, 0, len(TOKEN) + 6)] == stream.findings


def test_final_decides():
    """At the end of the stream nothing is kept open."""
    word = Stream().send(b"x: " + HEAD, final=True)

    assert (3 + len(HEAD), False) == (word.to, word.keep)


def test_the_first_byte_is_context_where_the_record_says_so():
    """A record that begins inside a word does not make a boundary there."""
    inside = Stream(start=500)
    inside.send(b"z" + TOKEN + b" ", cut=True)
    begun = Stream(start=500)
    begun.send(TOKEN + b" ")

    assert [] == inside.findings
    assert [(1, 500, len(TOKEN))] == begun.findings


def test_a_second_hold_begins_behind_a_gap():
    """What passed in between is not missed: the record brings the bytes before its segment."""
    stream = Stream()
    stream.send(b"x" * 200)

    word = stream.send(b"." * 128 + TOKEN[:30], offset=4000, cut=True)
    assert (4000, 4128) == (word.since, word.to)
    stream.send(TOKEN[30:] + b" ")
    assert [(1, 4128, len(TOKEN))] == stream.findings


def test_overlap_and_retransmission_change_nothing():
    """Bytes that came before come again in other cuts; the match is told once."""
    stream = Stream()
    stream.send(b"x: " + TOKEN[:30])
    stream.send(TOKEN[10:40], offset=13)
    stream.send(TOKEN[10:40], offset=13)
    assert stream.cleared == 3
    stream.send(TOKEN[35:] + b" ", offset=38)

    assert [(1, 3, len(TOKEN))] == stream.findings


def test_other_bytes_under_old_numbers_are_judged():
    """What is sent again with other bytes is what may leave."""
    stream = Stream()
    stream.send(b"x: " + b"-" * len(TOKEN) + b" ")
    stream.send(TOKEN, offset=3)

    assert [(1, 3, len(TOKEN))] == stream.findings


def test_rules_of_other_policies_hold_nothing():
    """What cannot block a flow of that policy neither is told nor keeps it waiting."""
    stream = Stream()

    assert stream.send(b"x: " + HEAD, policy=2).to == stream.end
    stream.send(b" " + TOKEN + b" ", policy=2)
    assert [] == stream.findings
    stream.send(b" " + TOKEN + b" ", policy=1)
    assert {1} == {index for index, *_ in stream.findings}


def test_a_rule_that_is_not_for_held_flows_is_passed_over():
    """Without a front a rule belongs to mirrored flows."""
    stream = Stream(Rule(index=1, id="t.jwt", regex=JWT.regex))

    assert stream.send(TOKEN + b" ").to == stream.end
    assert [] == stream.findings


def test_no_word_after_a_search_that_was_cut_short():
    """Where matches went unread there is no saying that none of them counts."""
    decoys = b" ".join(b"%04d 0000 0000 0000" % number for number in range(5000))
    stream = Stream(Rule(index=2, id="t.n", regex=CARD.regex, validator="luhn", front=16))

    assert stream.send(decoys[:60000]) is None
    assert stream.send(b" clean ") is None


def test_anew_forgets_what_came_before():
    """A flow told from its start again is judged by that alone."""
    stream = Stream()
    stream.send(b"x: " + HEAD)

    word = stream.send(b"y" * 40, offset=0, anew=True)
    assert (0, 40, False) == (word.since, word.to, word.keep)


def test_since_is_where_the_window_began():
    """It does not move with what is forgotten of a long stream, only where bytes are missing."""
    stream = Stream(JWT, windows=Windows(overlap=1000))
    for _ in range(5):
        stream.send(b"word " * 200)
    assert stream.word.since == 0
    stream.send(b"word ", offset=9000)
    assert stream.word.since == 9000


def test_a_match_longer_than_the_window_is_given_up():
    """What is held is bounded: an open match that outgrows the window waits no longer."""
    stream = Stream(JWT, windows=Windows(overlap=1000))
    stream.send(b"x " + HEAD)
    for _ in range(3):
        stream.send(b"a" * 500)

    assert (stream.end, False) == (stream.word.to, stream.word.keep)


def test_matches_are_those_of_the_whole_text():
    """In random cuts the first match is the regex's own first, for text full of near misses."""
    random_ = random.Random(11)
    parts = [
        HEAD,
        HEAD + BODY,
        BODY + TAIL,
        TAIL,
        b" ",
        b"eyJ",
        b"x",
        b".",
        b"; ",
        b"eyJhb",
        b"hello",
    ]
    found = 0
    for _ in range(300):
        text = b"".join(random_.choices(parts, k=random_.randint(3, 14))) + b" "
        expected = re.search(JWT.regex.encode(), text)
        stream, at = Stream(JWT), 0
        while at < len(text):
            size = random_.randint(1, 40)
            stream.send(text[at : at + size])
            at += size
        if expected is None:
            assert (stream.findings, stream.cleared) == ([], len(text))
        else:
            found += 1
            assert stream.findings[0][1] == expected.start()
            assert stream.cleared <= expected.start() or stream.cleared < expected.end()
    assert 30 < found < 270


def test_text_made_to_take_long_is_given_up():
    """Places that each begin like a token, thousands of them: no word, and little time lost."""
    stream, began = Stream(JWT), time.process_time()
    decoys = (b"-eyJhb" * 2700) + b"! .eyJ "

    assert stream.send(decoys * 4) is None
    assert stream.send(b" clean ") is None
    assert time.process_time() - began < 2.0
    assert [] == stream.findings
    other = Record(flow=2, offset=0, data=b"clean ", held=True)
    assert stream.matcher.hold(other)[1].to == 6


def test_a_flow_without_a_word_takes_no_room():
    """What will not be judged is not kept."""
    stream = Stream(Rule(index=2, id="t.n", regex=CARD.regex, validator="luhn", front=16))
    stream.send(b" ".join(b"%04d 0000 0000 0000" % number for number in range(3200)))
    window = stream.matcher._windows.find(1)

    assert window.unsure
    assert 0 == len(window.data)
