import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlp.inspector.anchor import Anchor, Digits, find_anchor, find_digits, leading, span
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


@pytest.mark.parametrize(
    ("source", "digits"),
    [
        (r"(?<![0-9])4[0-9]{3}(?:[ -]?[0-9]{4}){3}(?![0-9])", Digits(4, 0)),
        (r"[0-9]{3}-[0-9]{2}-[0-9]{4}", Digits(4, 7)),
        (r"(?:6011|65[0-9]{2})(?:[ -]?[0-9]{4}){3}", Digits(4, 5)),
        (r"[A-Z]{2}[0-9]{2}(?: ?[0-9]{4}){6}", Digits(4, 5)),
        (r"50[0-9]{8,15}x", Digits(10, 0)),
        (r"[0-9]{2}\b[0-9][0-9]?[0-9]{2}", Digits(3, 0)),
        (r"x{40}[0-9]{9}", None),
        (r"[0-9a]{9}", None),
        (r"(?:[0-9]{4})?x", None),
    ],
)
def test_digits(source, digits):
    """The longest run of digits that no match can lack, and how far into a match it can stand."""
    assert digits == find_digits(regex.parse(source))


DIGIT_PIECE = st.sampled_from(
    ["[0-9]{3}", "[0-9]{3,4}", "1[0-9]{2}", "-?", "[ab]", "a?", "(?:-?[0-9]{3}){2}", r"\b", "(?!1)"]
)
DIGIT_TEXT = st.lists(st.sampled_from(["111", "1", "22", "-", "a", " "]), max_size=20)


@given(st.lists(DIGIT_PIECE, min_size=1, max_size=5).map("".join), DIGIT_TEXT, st.integers(0, 9))
def test_digits_find_what_the_expression_finds(source, parts, at):
    """The search by digits gives the expression's own match, from wherever it begins."""
    tree, data = regex.parse(source), bytearray("".join(parts).encode())
    digits = find_digits(tree)
    pattern = re.compile(source.encode())
    if digits is not None:
        expected, found = pattern.search(data, at), digits.search(pattern, data, at)
        assert (expected and expected.span()) == (found and found.span())


def test_many_digits_are_left_to_the_expression():
    """Text of nothing but numbers is searched, too."""
    pattern, data = re.compile(rb"[0-9]{3}-[0-9]{4}!"), bytearray(b"123 4567 " * 500 + b"123-4567!")

    assert (4500, 4509) == Digits(4, 4).search(pattern, data, 0).span()
    assert Digits(4, 4).search(pattern, data[:-1], 0) is None


@pytest.mark.parametrize(
    ("source", "literal"), [(r"\bab[cd]e", b"ab"), ("a{3}b?", b"aaa"), ("[ab]c", b""), ("a?b", b"")]
)
def test_leading(source, literal):
    """The literal at a match's beginning."""
    assert literal == leading(regex.parse(source))
