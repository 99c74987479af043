"""Kernel and model are one engine to those who use them: what each makes of streams."""

import random

import pytest

from dlp.model import DecidedBy
from dlp.signatures.compiler import compile_packs
from dlp.trial.engine import Stream, Verdict
from dlp.trial.modelled import ModelEngine
from dlp.trial.samples import cuts
from tests.signatures import making
from tests.trial.texts import CARD, number_of

FOUND, SILENT = Verdict.FOUND, Verdict.SILENT


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ([CARD], FOUND),
        ([b"pay " + CARD + b" now"], FOUND),
        ([CARD[:1], CARD[1:]], FOUND),
        ([CARD[:9], CARD[9:] + b"."], FOUND),
        ([bytes([byte]) for byte in CARD], FOUND),
        ([CARD, b"."], FOUND),
        ([CARD, b"5"], SILENT),
        ([CARD, b"5", b"."], SILENT),
        ([b"1", CARD], SILENT),
        ([CARD[:-1] + b"2"], SILENT),
        ([], SILENT),
        ([b"", b""], SILENT),
        ([b"x" * 9000 + CARD], FOUND),
        ([b"x" * 4089 + b"7", CARD, b"x" * 4000], SILENT),
        ([b"x" * 4089 + b" ", CARD, b" " + b"x" * 4000], FOUND),
    ],
)
def test_judge(engine, image, segments, expected):
    """A card at every cut; an open end waits for the next byte, a stream's end is one."""
    assert [expected] == engine.judge(number_of(image, "pci.card.visa"), [segments])


def test_judge_looks_at_one_signature(engine, image):
    """Another signature's match does not count, nor hide this one's."""
    both = [CARD + b" ssn 219-09-9999."]

    assert [FOUND, SILENT] == engine.judge(number_of(image, "pii.us.ssn"), [both, [CARD]])


def test_judge_many(engine, image):
    """As many as come, each by itself."""
    streams = [[CARD], [b"nothing"], [CARD[:-1] + b"2"]] * 400

    found = engine.judge(number_of(image, "pci.card.visa"), streams)
    assert [FOUND, SILENT, SILENT] * 400 == found


def test_judge_what_the_inspector_decides(engine, image, packs):
    """Its full expression has the say, on what the kernel's prefilter hands on."""
    signatures = {one.id: one for pack in packs for one in pack.signatures}
    inspected = [one.id for one in image.signatures if one.decided is DecidedBy.INSPECTOR]

    assert inspected
    for name in inspected[:4]:
        sample = signatures[name].must_match[0]
        streams = [segments for _, segments in cuts(sample)]
        assert {FOUND} == set(engine.judge(number_of(image, name), streams)), name
        assert [SILENT] == engine.judge(number_of(image, name), [[sample[: len(sample) // 2]]])


def test_read(engine):
    """Every signature's matches with their places, and nothing of a value that may not show."""
    stream = Stream((b"a " + CARD + b", ssn 219-09-9999;", b" and " + CARD + b" again"))
    (reading,) = engine.read([stream])

    assert [
        (0, 2, len(CARD), "pci.card.visa"),
        (0, 27, 11, "pii.us.ssn"),
    ] == [(one.segment, one.offset, one.length, one.signature) for one in reading.matches]
    assert 0 == reading.missed
    assert {"***************1111", "***********"} == {one.masked for one in reading.matches}


def test_read_over_segments(engine):
    """A value that is cut is found, and where an end only seemed to be one there is none."""
    cut, open_ = Stream((CARD[:7], CARD[7:])), Stream((b"x " * 1698 + b"    " + CARD[:0], b""))
    longer = Stream((b" " * (3400 - len(CARD)) + CARD, b"5 and on"))
    first, second, third = engine.read([cut, open_, longer])

    assert ["pci.card.visa"] == [one.signature for one in first.matches]
    assert () == second.matches
    assert () == third.matches


def test_read_datagrams(engine):
    """Each stands alone, and a match says in which it was."""
    whole, halves = Stream((b"x", b" " + CARD), True), Stream((CARD[:7], CARD[7:]), True)
    first, second = engine.read([whole, halves])

    assert [(1, 1)] == [(one.segment, one.offset) for one in first.matches]
    assert () == second.matches


def test_no_value_shows(engine):
    """Neither a match's text nor its repr holds a value."""
    (reading,) = engine.read([Stream((CARD + b" ",))])

    assert reading.matches
    assert CARD.decode() not in repr(reading)
    assert CARD.decode() not in repr(Stream((CARD,)))


def test_a_match_that_begins_before_the_stream():
    """Before a stream stands NUL: what begins with that is stopped, and has no place to tell."""
    made = [making.pack(making.signature(r"\x00ustar-[0-9]{4}", id_="made.one.nul"))]
    engine = ModelEngine(compile_packs(made))

    assert [FOUND] == engine.judge(0, [[b"ustar-1234"]])
    assert () == engine.read([Stream((b"ustar-1234 on",))])[0].matches
    assert [1] == [one.offset for one in engine.read([Stream((b"x\0ustar-1234",))])[0].matches]


@pytest.mark.kernel
def test_they_agree(kernel, modelled, packs):
    """On samples between ordinary bytes both read the same matches at the same places."""
    rng = random.Random(11)
    samples = [
        sample
        for pack in packs
        for one in pack.signatures
        for sample in (*one.must_match, *one.must_not_match)
    ]
    streams = []
    for _ in range(60):
        pieces = rng.sample(samples, 5)
        text = b"\n".join(piece + rng.choice((b"", b" x", b" 17", b";")) for piece in pieces)
        place = rng.randrange(1, len(text))
        streams.append(Stream((text[:place], text[place:])))

    theirs, ours = kernel.read(streams), modelled.read(streams)
    assert sum(len(one.matches) for one in theirs) > 100
    for one, other in zip(theirs, ours, strict=True):
        assert one.matches == other.matches
