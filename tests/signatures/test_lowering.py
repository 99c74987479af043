import pytest

from dlp.errors import PackError
from dlp.signatures.branches import Run
from dlp.signatures.byteset import ALL, DIGITS, of
from dlp.signatures.image import SPAN, STEPS
from dlp.signatures.literal import steps
from dlp.signatures.lowering import Lowered, lower
from dlp.signatures.regex import parse


def lowered(source: str, *, checked: bool = False) -> Lowered:
    return lower(parse(source), checked=checked)


def test_disjoint_runs_stay_variable():
    """A run of variable length stays one where what follows is disjoint from it."""
    (form,) = lowered("ab[0-9]{2,5}-c").forms

    assert Run(DIGITS, 2, 5) in form.runs


def test_overlapping_runs_are_written_out():
    """A run that overlaps with its follower is written out in all its lengths."""
    found = lowered("ab[0-9]{1,3}7x")

    assert "" == found.why
    assert 3 == len(found.forms)


def test_too_many_lengths_make_a_prefilter():
    """Where that is too much the form is cut before the trouble."""
    found = lowered("abcdef[0-9]{1,99}7x")

    assert "overlaps" in found.why
    assert [7] == [sum(run.max for run in form.runs) for form in found.forms]
    assert [ALL] == [form.right for form in found.forms]


def test_last_run_without_boundary():
    """The first bytes that suffice are a match: the last run is cut to its least length."""
    (form,) = lowered("ab[0-9]{2,}").forms

    assert (Run(of(b"a"), 1, 1), Run(of(b"b"), 1, 1), Run(DIGITS, 2, 2)) == form.runs
    assert not form.closed
    assert "checked value has no end" in lowered("ab[0-9]{2,}", checked=True).why


def test_long_spans():
    """A match longer than the kernel's tail is prefiltered."""
    found = lowered("abcdef[0-9]{200}x")

    assert str(SPAN) in found.why
    assert all(sum(run.max for run in form.runs) <= SPAN for form in found.forms)


def test_many_steps():
    """More steps than a shape has make a prefilter of those that fit."""
    found = lowered("abcd" + "[0-9]{2}[a-f]{2}" * 9)

    assert str(STEPS) in found.why
    assert all(len(steps(form.runs)) <= STEPS for form in found.forms)


def test_ambiguous_ends():
    """A checksum over forms of different ends is the inspector's."""
    source = "ab(?:[0-9]{4} [0-9]{4}|[0-9]{4})(?![0-9])"

    assert "different lengths" in lowered(source, checked=True).why
    assert "" == lowered(source).why


def test_variable_beginning():
    """Behind a beginning that cannot be lowered the rest still is a prefilter."""
    found = lowered("[a-z]{0,90}token_[0-9]{4}")

    assert "variable length" in found.why
    assert [10] == [sum(run.max for run in form.runs) for form in found.forms]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("[a-z]*", "can match nothing"),
        (r"a\Bx(?=y)z", "can never match"),
        ("(?:ab)*secret", "no anchor: a group repeats"),
    ],
)
def test_refused(source, message):
    """What cannot be found at all is refused with what is missing."""
    with pytest.raises(PackError, match=message):
        lowered(source)
