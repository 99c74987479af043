import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlp.inspector.anchor import Anchor, find_anchor, span
from dlp.signatures import regex


@pytest.mark.parametrize(
    ("source", "longest"),
    [("abc", 3), ("a{2,5}b?", 6), ("(?:ab|c)", 2), (r"\bx(?!y)", 1), ("(?:ab){3}", 6)],
)
def test_span(source, longest):
    """The longest match is read off the expression's tree."""
    assert longest == span(regex.parse(source))


def test_span_without_bound():
    """A repeat without an upper bound has none."""
    assert regex.UNBOUNDED == span(regex.parse("a+b"))


@pytest.mark.parametrize(
    ("source", "anchor"),
    [
        ("abc", Anchor(b"abc", 0)),
        ("[0-9]{2,5}abc", Anchor(b"abc", 5)),
        ("x[0-9]+abc", Anchor(b"abc", regex.UNBOUNDED)),
        ("ab[0-9]cdef?", Anchor(b"cde", 3)),
        (r"-{3}BEGIN\b \bK", Anchor(b"---BEGIN K", 0)),
        ("(?:ab|cd)ef", Anchor(b"ef", 2)),
        ("(?:abc)?de", Anchor(b"de", 3)),
        ("(?i)ab12", Anchor(b"12", 2)),
    ],
)
def test_anchor(source, anchor):
    """The longest literal that no match can lack, and how far into a match it can stand."""
    assert anchor == find_anchor(regex.parse(source))


@pytest.mark.parametrize("source", ["[0-9]+", "(?:ab|cd)", "(?i)ab", "a[0-9]b", "(?:abc)*"])
def test_no_anchor(source):
    """Where no literal must stand in every match, there is none."""
    assert find_anchor(regex.parse(source)) is None


PIECE = st.sampled_from(
    ["a", "b", "ab", "[ab]", "a{2}", "a{1,3}", "b?", "b*", "(?:a|bb)", r"\b", " "]
)


@given(st.lists(PIECE, min_size=1, max_size=6).map("".join), st.text("ab ", max_size=30))
def test_every_match_holds_the_anchor(source, text):
    """Each match found by `re` is no longer than its span and holds the literal in its place."""
    tree = regex.parse(source)
    anchor = find_anchor(tree)
    for match in re.finditer(source.encode(), text.encode()):
        assert len(match.group()) <= span(tree)
        if anchor is not None:
            assert 0 <= match.group().find(anchor.literal) <= anchor.before
