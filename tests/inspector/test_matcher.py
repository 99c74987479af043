import dataclasses
import hashlib
import hmac
import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlp.errors import PackError
from dlp.inspector.matcher import Matcher
from dlp.inspector.messages import Record, Rule
from dlp.inspector.window import Windows
from dlp.signatures.finding import finds

KEY = b"k" * 32
CARD = Rule(
    index=7,
    id="t.card",
    regex=r"\b\d{4}[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}\b",
    validator="luhn",
    normalise=True,
    mask_tail=4,
)
TOKEN = Rule(index=8, id="t.token", regex=r"tok_[a-z0-9]+")
VISA = b"4111111111111111"


def matcher(*rules, **options):
    return Matcher(rules, key=KEY, release=3, **options)


def feed(one, data, offset=0, flow=1, final=False):
    return one.feed(Record(flow=flow, offset=offset, data=data, final=final))


def places(findings):
    return [(finding.signature, finding.offset, finding.length) for finding in findings]


def test_finding_tells_place_digest_and_mask_only():
    """A finding holds offset, length, the digest of the normalised value, masked text."""
    (finding,) = feed(matcher(CARD), b"card 4111-1111-1111-1111, ok", offset=1000)

    assert (3, 7, 1, 1005, 19) == (
        finding.release,
        finding.signature,
        finding.flow,
        finding.offset,
        finding.length,
    )
    assert hmac.digest(KEY, VISA, hashlib.sha256) == finding.digest
    assert "*" * 15 + "1111" == finding.masked


def test_validator_decides():
    """What fits the regex and fails its checksum is no finding, and does not hide the next."""
    assert [] == feed(matcher(CARD), b" 4111111111111112 ")
    overlapping = Rule(index=1, id="t.x", regex=r"\d{16}", validator="luhn")
    assert [(1, 1, 16)] == places(feed(matcher(overlapping), b"9" + VISA + b" "))


def test_match_at_the_end_waits_for_the_next_byte():
    """A value that may go on is told once it has ended, and whole."""
    one = matcher(TOKEN)

    assert [] == feed(one, b"x tok_ab")
    assert one.pending(1)
    assert [] == feed(one, b"cd", offset=8)
    assert [(8, 2, 8)] == places(feed(one, b" ", offset=10))
    assert not one.pending(1)


def test_boundary_is_judged_with_the_next_byte():
    """A card number that turns out to go on as a longer number is no card number."""
    one = matcher(CARD)

    assert [] == feed(one, VISA)
    assert [] == feed(one, b"0 ", offset=16)


def test_quiet_and_final_decide():
    """Silence, the flow's end and a gap each decide a match that waits."""
    assert [(8, 0, 6)] == places(feed(matcher(TOKEN), b"tok_ab", final=True))
    quiet = matcher(TOKEN)
    feed(quiet, b"tok_ab")
    assert [(8, 0, 6)] == places(quiet.settle(1))
    assert [] == quiet.settle(1)
    gap = matcher(TOKEN)
    feed(gap, b"tok_ab")
    assert [(8, 0, 6)] == places(feed(gap, b"cd ", offset=50))


def test_nothing_is_joined_across_a_gap_or_an_end():
    """Two halves with bytes missing between, or in two datagrams, are no match."""
    for end in (False, True):
        one = matcher(CARD)
        first = feed(one, b" " + VISA[:8], final=end)
        second = feed(one, VISA[8:] + b" ", offset=9 if end else 10)
        assert [] == first + second


def test_context_before_a_piece():
    """The first byte of a piece that is cut off is context: no match begins there."""
    for cut, expected in ((False, [(8, 900, 6)]), (True, [])):
        record = Record(flow=1, offset=900, data=b"tok_ab .", cut=cut)
        assert expected == places(matcher(TOKEN).feed(record))
    one = matcher(TOKEN)
    feed(one, b"tok_cd .")
    record = Record(flow=1, offset=900, data=b"tok_ab . tok_ef .", cut=True)
    assert [(8, 909, 6)] == places(one.feed(record))


def test_retransmission_is_told_once():
    """The same bytes again, in whatever cut, tell nothing new."""
    one = matcher(CARD, TOKEN)
    text = b"a " + VISA + b" tok_1 b"

    assert 2 == len(feed(one, text))
    assert [] == feed(one, text)
    assert [] == feed(one, text[:5])
    assert [] == feed(one, text[10:] + b"!", offset=10)


def test_other_bytes_under_old_numbers_are_searched():
    """A card number sent under sequence numbers already used is found."""
    one = matcher(CARD)
    feed(one, b"." * 40)

    assert [(7, 10, 16)] == places(feed(one, b" " + VISA + b" ", offset=9))


def test_flow_evicted_with_an_open_match_is_decided():
    """A flow pushed out by others loses its window, not the match at its end."""
    one = matcher(TOKEN, windows=Windows(max_flows=1))
    feed(one, b"tok_ab", flow=1)

    findings = feed(one, b"nothing", flow=2)

    assert [1] == [finding.flow for finding in findings]
    assert 1 == one.counts(0).evicted


def test_unbounded_match_longer_than_the_window_is_told():
    """A value that never ends is told when its start would leave the window."""
    one = matcher(TOKEN, windows=Windows(overlap=256))
    findings = feed(one, b" tok_")
    for n in range(20):
        findings += feed(one, b"a" * 100, offset=5 + 100 * n)

    assert (8, 1) == places(findings)[0][:2]
    assert 1 == len(findings)


def test_release_searches_windows_anew_and_tells_nothing_twice():
    """Rules that become live see what the windows hold; old findings are not told again."""
    one = matcher(CARD)
    feed(one, b" " + VISA + b" tok_1 ")

    one.replace([TOKEN, CARD], 4)
    findings = feed(one, b"x", offset=24)

    assert [(4, 8, 18, 5)] == [
        (f.release, *place) for f, place in zip(findings, places(findings), strict=True)
    ]


def test_refused_release_changes_nothing():
    """A rule that does not compile, or names no validator, is refused by its id alone."""
    one = matcher(TOKEN)
    for bad in (
        Rule(index=1, id="bad.regex", regex="("),
        Rule(index=1, id="bad.check", regex="a", validator="nope"),
    ):
        with pytest.raises(PackError, match=bad.id):
            one.replace([bad], 4)

    assert [3] == [finding.release for finding in feed(one, b"tok_1 ")]


def test_findings_of_a_record_are_bounded():
    """A record made of nothing but matches costs a bounded number of findings, counted."""
    one = matcher(TOKEN)

    assert 256 == len(feed(one, b"tok_1 " * 1000))
    assert 1000 - 256 == one.counts(0).suppressed


def test_refusals_of_a_validator_are_bounded():
    """A long run that a validator refuses at every start is given up, and that is counted."""
    rule = Rule(index=1, id="t.run", regex=r"\d{2,2000}", validator="luhn")
    one = Matcher([rule], key=KEY, validators={"luhn": lambda _: False})

    assert [] == feed(one, b"1" * 20_000 + b" ")
    assert 1 <= one.counts(0).bounded


RULES = (
    CARD,
    Rule(index=1, id="t.a", regex=r"\bab{1,3}\b"),
    Rule(index=2, id="t.b", regex=r"a+b"),
    Rule(index=3, id="t.c", regex=r"(?<![0-9])[0-9]{3}-[0-9]{2}(?![0-9])"),
    Rule(index=4, id="t.d", regex=r"(?:aa|bbb)-"),
    Rule(index=5, id="t.e", regex=r"[0-9]{0,3}ab[ab]*-{2}"),
    Rule(index=6, id="t.f", regex=r"[0-9]+\b-\ba+\b"),
)


def oracle(rule, stream):
    """All matches of a rule in the whole stream, written without windows."""
    found, at = [], 0
    pattern = re.compile(rule.regex.encode())
    while match := pattern.search(stream, at):
        if (
            rule.validator
            and sum(
                sum(divmod(digit * (1 + place % 2), 10))
                for place, digit in enumerate(
                    int(chr(byte)) for byte in reversed(match.group()) if chr(byte).isdigit()
                )
            )
            % 10
        ):
            at = match.start() + 1
            continue
        found.append((rule.index, match.start(), match.end() - match.start()))
        at = match.end()
    return found


STREAMS = st.lists(
    st.sampled_from(
        [b"a", b"b", b"-", b" ", b"1", b"12", b"123-45", VISA, b"4111-1111-1111-1111", b"abb"]
    ),
    max_size=30,
).map(b"".join)


@settings(max_examples=600, deadline=None)
@given(STREAMS, st.data())
def test_any_cut_finds_what_the_whole_stream_holds(stream, data):
    """However a stream is cut, repeated, released anew: each match is told once, at its place."""
    one = matcher(*RULES)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    edges = [0, *cuts, len(stream)]
    findings = []
    for start, end in itertools.pairwise(edges):
        again = data.draw(st.integers(0, start))
        findings += feed(one, stream[start:end], offset=start)
        findings += feed(one, stream[again:end], offset=again)
        if data.draw(st.integers(0, 5)) == 0:
            one.replace(RULES, 3)
    findings += one.settle(1)

    expected = sorted(match for rule in RULES for match in oracle(rule, stream))
    assert expected == sorted(places(findings))


NEAR = Rule(
    index=9,
    id="t.near",
    regex=r"\b[0-9]{8}\b",
    keywords="mrn\npatient id",
    distance=10,
    side="before",
)
BEHIND = dataclasses.replace(NEAR, side="after")
EITHER = dataclasses.replace(NEAR, side="either")


def test_keyword_before():
    """A value counts where a keyword stands before it, also one that came with a record before."""
    one = matcher(NEAR)

    assert [] == feed(one, b"12345678 mrn", flow=2)
    assert [] == feed(one, b"Patient ID")
    assert [(9, 12, 8)] == places(feed(one, b": 12345678 and 23456789 ", offset=10))


def test_keyword_behind_is_waited_for():
    """A value stays open until a keyword has come, or can come no more."""
    one = matcher(BEHIND)

    assert [] == feed(one, b"12345678 is")
    assert one.pending(1)
    assert [] == feed(one, b" mrn", offset=11)
    assert [(9, 0, 8)] == places(feed(one, b".", offset=15))

    assert [] == feed(one, b" 12345678 is mrnx, and no 23456789.", flow=2)
    assert one.pending(2)
    assert [] == places(one.settle(2))

    assert [] == feed(one, b" 12345678 is mrn", flow=3)
    assert [(9, 1, 8)] == places(one.settle(3))


@given(
    parts=st.lists(
        st.sampled_from([b"mrn", b"12345678", b" ", b" ", b"x", b"patient id", b"....."]),
        max_size=12,
    ),
    cuts=st.sets(st.integers(1, 60)),
    rule=st.sampled_from([NEAR, BEHIND, EITHER]),
)
def test_keywords_wherever_it_is_cut(parts, cuts, rule):
    """However a stream comes in records, what is found is what the samples' judge finds."""
    data = b"".join(parts)
    one, found = matcher(rule), []
    bounds = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    for low, high in itertools.pairwise(bounds):
        found += feed(one, data[low:high], offset=low)
    found += one.settle(1)

    expected = [low for low, _ in finds(rule.regex, "", data, rule.proximity)]
    assert expected == sorted(finding.offset for finding in found)


def test_held_until_the_keyword_is_known():
    """Of a held flow nothing from an open value on may leave, until no more can come."""
    one = matcher(dataclasses.replace(BEHIND, front=8))
    data = b"text 12345678 is "
    findings, word = one.hold(Record(flow=1, offset=0, data=data, held=True))
    assert ([], 5, True) == (findings, word.to, word.keep)

    findings, word = one.hold(Record(flow=1, offset=len(data), data=b"his mrn. ", held=True))
    assert [(9, 5, 8)] == places(findings)

    other = matcher(dataclasses.replace(BEHIND, front=8))
    findings, word = other.hold(Record(flow=1, offset=0, data=data, held=True, again=True))
    assert ([], len(data)) == (findings, word.to)
