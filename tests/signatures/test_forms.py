from dlp.signatures import byteset
from dlp.signatures.branches import Run, branches
from dlp.signatures.forms import Form, resolve
from dlp.signatures.regex import parse


def forms(source: str) -> list[Form]:
    return [form for sequence in branches(parse(source)) for form in resolve(sequence)]


def test_boundaries_at_the_ends():
    r"""`\b` beside word bytes asks for no word byte, or none, beyond."""
    (form,) = forms(r"\bab\b")

    assert (byteset.ALL ^ byteset.WORD, byteset.ALL ^ byteset.WORD, "") == (
        form.left,
        form.right,
        form.why,
    )


def test_mixed_class_is_split():
    r"""Beside a class of word and other bytes `\b` has two cases."""
    found = forms(r"\b[a-]x")

    assert {byteset.of(b"a"), byteset.of(b"-")} == {form.runs[0].mask for form in found}
    assert {byteset.WORD, byteset.ALL ^ byteset.WORD} == {form.left for form in found}


def test_inside():
    """An assertion inside narrows the byte beside it, or rules the sequence out."""
    (narrowed,) = forms("a(?=[0-4])[0-9]{3}")

    assert Run(byteset.span(0x30, 0x34), 1, 1) == narrowed.runs[1]
    assert [] == forms("a(?=b)c")
    assert [] == forms(r"a\bb")


def test_the_end_of_data():
    """A class that takes NUL where there must be a byte, or the reverse, is not exact."""
    assert not forms("ab(?![0-9])")[0].why
    assert not forms("ab(?=[0-9])")[0].why
    assert "NUL" in forms("ab(?=[^0-9])")[0].why
    assert "NUL" in forms("ab(?![^0-9])")[0].why
    assert "NUL" in forms("(?<=[^0-9])ab")[0].why


def test_optional_neighbours():
    """An assertion beside an optional run looks past it where it takes nothing."""
    found = forms("a?(?<![a-c])xy")

    assert [byteset.ALL ^ byteset.of(b"abc")] == [form.left for form in found]
