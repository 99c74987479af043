"""What can be asked of a tree."""

import pytest

from dlp.signatures.importers import notation, syntax, tree


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("key_[0-9]+-end", ["key_", "-end"]),
        ("(?i)KEY(?:a|b)x", ["key", "x"]),
        (r"\bab(cd)\b", ["abcd"]),
        ("a?b", ["b"]),
        ("(?:ab)+c", ["ab", "c"]),
        ("a|b", []),
    ],
)
def test_words(source, expected):
    """Text that every match holds, in lower case."""
    assert expected == tree.words(syntax.parse(source))


@pytest.mark.parametrize(
    ("source", "expected"),
    [("a?", True), ("a", False), ("(a|b*)", True), ("a?b", False), ("(?:ab){0,3}", True)],
)
def test_nullable(source, expected):
    """Whether it can match nothing."""
    assert expected is tree.nullable(syntax.parse(source))


def test_captures():
    """Groups are numbered by their opening bracket, as RE2 does."""
    assert [1, 2, 3] == tree.captures(syntax.parse("(a(b))(?:c)(?P<x>d)"))


def test_marks():
    """Places are told by kind."""
    assert ["begin", "word", "end"] == tree.marks(syntax.parse(r"^(?:\ba)(?:b|$)"))


def test_without_captures():
    """Groups that only capture go; those that hold alternatives or are repeated stay."""
    plain = tree.without_captures(syntax.parse("(ab)(c|d)(ef){2}((g))"))

    assert "ab(?:c|d)(?:ef){2}g" == notation.render(plain)
