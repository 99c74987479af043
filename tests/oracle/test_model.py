"""The model itself: its shortcuts change nothing, its checksums know published numbers."""

import random
import re
from collections import Counter

import pytest

from tests.oracle import cases, checks, corpus
from tests.oracle.compare import Observed, compare, outline
from tests.oracle.model import WINDOW, Expected, Model, Near, Place, Rule, Segment, naive

EDGES = cases.CONTEXT
RULES = (
    Rule("card", re.compile(rb"(?<![0-9])4[0-9]{3}(?:[ -]?[0-9]{4}){3}(?![0-9])"), checks.luhn),
    Rule("ssn", re.compile(rb"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b"), checks.us_ssn),
    Rule("key", re.compile(rb"\bAKIA[A-Z0-9]{16}\b"), checks.none),
    Rule("open", re.compile(rb"(?i)password[ =:]{1,3}[a-z0-9]{8,24}"), checks.none),
    Rule("wide", re.compile(rb"Q[0-9a-f]{100,125}"), checks.none),
    Rule(
        "near",
        re.compile(rb"\b[0-9]{8}\b"),
        checks.none,
        near=Near((b"mrn", b"patient id", b"id"), 20),
    ),
    Rule("iban", re.compile(rb"\bDE[0-9]{2}(?: ?[0-9]{4}){4} ?[0-9]{2}\b"), checks.iban),
)


def lengths(expected: Expected) -> dict[Place, int]:
    return {place: found.length for place, found in expected.due.items()}


@pytest.fixture(scope="module")
def material() -> corpus.Corpus:
    return corpus.Corpus(RULES, corpus.pools_of(RULES, {}, seed=1))


def test_windows_equal_the_definition(material: corpus.Corpus):
    """Looking only at the window that a segment changes finds what the definition asks for."""
    rng = random.Random(3)
    model = Model(RULES)
    hits = 0
    for _ in range(400):
        plant = material.secret if rng.random() < 0.6 else material.near_miss
        data = b"".join(
            b"".join(
                (corpus.filler(rng, rng.randrange(WINDOW)), b" ", plant(rng), rng.choice(EDGES))
            )
            for _ in range(rng.randint(1, 2))
        )
        cuts = sorted(rng.sample(range(1, len(data)), min(rng.randrange(6), len(data) - 1)))

        found = [lengths(each) for each in model.stream(data, cases.segments(len(data), cuts))]

        assert naive(RULES, data, cuts) == found
        hits += sum(map(len, found))
    assert hits > 300


def test_bytewise_equals_the_definition(material: corpus.Corpus):
    """The same with one byte a segment, for each rule."""
    model = Model(RULES)
    for rule in range(len(RULES)):
        data = b"x " + material.pools[rule][0] + b" y"
        cuts = range(1, len(data))

        found = [lengths(each) for each in model.stream(data, cases.segments(len(data), cuts))]

        assert naive(RULES, data, cuts) == found
        assert sum(map(len, found)) > 0


def test_end_of_segment_is_an_end():
    """A card that ends with its segment counts there, and never again, whatever follows."""
    data = b"4111111111111111" + b"7 "
    found = Model(RULES).stream(data, [Segment(0, 16), Segment(16, 18)])

    assert [{Place(0, 0): 16}, {}] == [lengths(each) for each in found]


def test_gap_begins_anew():
    """Bytes that never came do not join what stands before and behind them."""
    data = b"4111111111111111"
    found = Model(RULES).stream(data, [Segment(0, 4), Segment(5, 16)])

    assert [{}, {}] == [lengths(each) for each in found]


@pytest.mark.parametrize(
    ("source", "normalise", "tolerated"),
    [
        (rb"\bGOOG(?:1E[A-Z0-9]{6}|[A-Z0-9]{4})\b", False, {Place(0, 0)}),
        (rb"\bGOOG[A-Z0-9]{4,8}\b", False, set()),
        (rb"\bGOOG[A-Z0-9]{4,8}\b", True, {Place(0, 0)}),
    ],
)
def test_what_grows(source, normalise, tolerated):
    """Another alternative, or another value, may be told again; a run that goes on may not."""
    rule = Rule("grown", re.compile(source), checks.none, normalise=normalise)
    first, second = Model([rule]).stream(b"GOOG1EABCDEF", [Segment(0, 8), Segment(8, 12)])

    assert {Place(0, 0): 8} == lengths(first)
    assert {} == second.due
    assert tolerated == set(second.tolerated)


def test_datagrams_stand_alone():
    """A card cut over two datagrams is in neither; starts count from the datagram."""
    data = b"4111111111111111 4111111111111111"
    found = Model(RULES).datagrams(data, [Segment(0, 8), Segment(8, 33)])

    assert [{}, {Place(0, 9): 16}] == [lengths(each) for each in found]


def test_retransmission_asks_for_nothing():
    """What is sent again may be shown again and need not be."""
    data = b" 4111111111111111 "
    found = Model(RULES).stream(data, [Segment(0, 18), Segment(1, 17)])

    assert {} == found[1].due
    assert {Place(0, 1)} == set(found[1].tolerated)


def test_case_depends_on_seed_and_number_alone(material: corpus.Corpus):
    """A case named in a report can be built again by itself."""
    made = cases.Cases(material, seed=5)
    again = cases.Cases(corpus.Corpus(RULES, corpus.pools_of(RULES, {}, seed=1)), seed=5)
    for number in random.Random(1).sample(range(3000), 300):
        case = made[number]

        assert again[number] == case
        assert all(0 <= s.start <= s.end <= len(case.stream) for s in case.segments)


def test_every_kind_of_case_comes(material: corpus.Corpus):
    """Among some hundred random cases each kind occurs."""
    made = cases.Cases(material, seed=2)
    kinds = cases.census(made[number] for number in range(900))

    assert {"split", *cases.KINDS} == set(kinds)


def test_every_split_comes(material: corpus.Corpus):
    """The systematic cases hold each rule's secret cut once at each of its places."""
    made = cases.Cases(material, seed=2, repeats=1)
    cuts = Counter(
        (case.stream, case.segments[-1].start)
        for case in map(made.__getitem__, range(0, made.complete, cases.EVERY))
        if len([segment for segment in case.segments if segment.size]) == 2
    )

    streams = {stream for stream, _ in cuts}
    assert len(RULES) == len(streams)
    assert {1} == set(cuts.values())
    assert sum(len(stream) - 1 for stream in streams) == len(cuts)


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (checks.luhn, b"4111 1111 1111 1111", b"4111 1111 1111 1112"),
        (checks.luhn, b"378282246310005", b"378282246310006"),
        (checks.iban, b"GB29 NWBK 6016 1331 9268 19", b"GB29 NWBK 6016 1331 9268 18"),
        (checks.iban, b"DE89370400440532013000", b"DE88370400440532013000"),
        (checks.us_ssn, b"219-09-9999", b"666-09-9999"),
        (checks.us_ssn, b"899-01-0001", b"900-01-0001"),
        (checks.us_ssn, b"001-01-0001", b"001-00-0001"),
        (checks.nhs, b"943 476 5919", b"943 476 5918"),
        (checks.de_tax, b"86095742719", b"86095742718"),
        (checks.es_dni, b"12345678Z", b"12345678A"),
        (checks.es_dni, b"X1234567L", b"Y1234567L"),
        (checks.fr_nir, b"2 55 08 14 168 025 38", b"2 55 08 14 168 025 39"),
        (checks.fr_nir, b"180022A00100177", b"180022A00100100"),
    ],
)
def test_checksums(check: checks.Check, good: bytes, bad: bytes):
    """Published examples pass; one character off they do not."""

    assert (True, False) == (check(good), check(bad))


def test_comparison_tells_each_kind_apart():
    """Missed, unfounded, twice and dropped are each reported, without the value."""
    data = b"4111111111111111"
    case = cases.Case(number=0, kind="mixed", stream=data, segments=(Segment(0, 16),))
    want = Model(RULES).stream(case.stream, case.segments)

    def judged(observed: Observed) -> list[str]:
        return [each.what for each in compare("", case, RULES, want, [observed]).disagreements]

    hit = (Place(0, 0), 16)
    assert [] == judged(Observed(hits=[hit]))
    assert ["missed"] == judged(Observed())
    assert ["unfounded"] == judged(Observed(hits=[hit, (Place(1, 2), 9)]))
    assert ["reported again"] == judged(Observed(hits=[hit, hit]))
    assert ["of another length"] == judged(Observed(hits=[(Place(0, 0), 15)]))
    assert ["dropped"] == judged(Observed(hits=[hit], passed=False))
    assert [] == judged(Observed(passed=False, over_budget=True))
    assert "4111" not in str(compare("", case, RULES, want, [Observed()]).disagreements[0])


def test_outline_hides_the_value():
    """What is shown of a case are the kinds of its bytes."""

    assert "Aa9 9-9." == outline(b"Kq7 1-2.")


@pytest.mark.parametrize(
    ("text", "near"),
    [
        (b"mrn 1", True),
        (b"MRN" + b"." * 20 + b"1", True),
        (b"mrn" + b"." * 21 + b"1", False),
        (b"xmrn 1", False),
        (b"mrnx 1", False),
        (b"4mrn 1", False),
        (b"mrn1", False),
        (b"_mrn_1", True),
        (b"(patient id)1", True),
        (b"patientid 1", False),
        (b"1 mrn", False),
    ],
)
def test_near(text, near):
    """A keyword in any case, alone, at most so many bytes before the value."""
    assert near == Near((b"mrn", b"patient id"), 20).holds(text, text.index(b"1"))
