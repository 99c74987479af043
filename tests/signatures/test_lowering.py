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
    found = lowered("[a-z]{0,90}token_[0-9]{4}", checked=True)

    assert "variable length" in found.why
    assert [10] == [sum(run.max for run in form.runs) for form in found.forms]


def test_long_beginning():
    """A long first run without a boundary counts with its least length; a short one with each."""
    assert lowered("token_[0-9]{4}") == lowered(r"[\w.-]{0,50}?token_[0-9]{4}")
    assert lowered("[a-z]{2}token_[0-9]{4}") == lowered("[a-z]{2,50}token_[0-9]{4}")
    (form,) = lowered("-{0,2}token_[0-9]{4}").forms
    assert Run(of(b"-"), 0, 2) == form.runs[0]


@pytest.mark.parametrize(
    "source",
    [
        r"token[ \t\w.-]{0,20}[\s'\"]{0,3}[=:][a-f]{9}",
        "token[ab]{0,9}[a-c]{0,9}[b-d]{0,9}-",
        "token[ab]{2,90}[a-c]{0,9}(?![a-c])",
    ],
)
def test_optional_runs_between(source):
    """A run may take what optional runs behind it could have had, not what must follow."""
    found = lowered(source)

    assert "" == found.why
    assert 1 == len(found.forms)


def test_required_runs_stay_apart():
    """Where what must follow overlaps, the run is written out: possessive, it would take it."""
    assert 5 == len(lowered("token[ab]{0,4}[bc]-").forms)
    assert 5 == len(lowered("token[ab]{0,4}[ac]?b-").forms)


def test_ends():
    """A last byte of a set, and the end of the data, are one boundary."""
    (form,) = lowered(r"token[0-9]{4}(?:[;,]|\s|$)").forms
    assert of(b";, \t\n\r\f\v\0") == form.right
    assert form.runs[-1] == Run(DIGITS, 4, 4)

    (form,) = lowered(r"token[0-9]{4}(?:[^0-9]|\Z)").forms
    assert ALL ^ DIGITS == form.right

    # What is no end belongs to the value.
    assert {4} == {len(form.runs) for form in lowered("ab-1|ab-[7-9]").forms}
    # Without an end, a NUL behind must be there.
    (form,) = lowered(r"token[0-9]{4}[^0-9]").forms
    assert ALL == form.right


def test_lists_of_literals():
    """A list of fixed texts is exact however long it is; one of variable length is not."""
    words = [f"word-{number:04}" for number in range(1000)]

    assert 1000 == len(lowered("|".join(words)).forms)
    assert "" == lowered(rf"\b(?i:{'|'.join(words)})\b").why
    assert "forms" in lowered(rf"(?:{'|'.join(words)})[ab]{{1,2}};").why


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
