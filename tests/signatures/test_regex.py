import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlp.errors import PackError
from dlp.signatures import byteset, regex
from dlp.signatures.regex import UNBOUNDED, Boundary, Class, Concat, Look, Repeat, parse


def test_tree():
    """Constructs become the tree's own nodes."""
    assert Concat(
        (
            Boundary(negated=False),
            Class(byteset.of(b"aA")),
            Repeat(Class(byteset.DIGITS), 2, UNBOUNDED),
            Look(ahead=True, mask=byteset.ALL ^ byteset.of(b"-"), edge=True),
        )
    ) == parse(r"\b(?i:a)\d{2,}(?!-)")


@given(st.sampled_from([r"[^a-f\d]", r"(?i)[k-m]", r"\W", ".", "(?s).", r"[\s_]", "(?i)[^x]"]))
def test_classes_are_those_of_re(source):
    """A class holds just the bytes that `re` takes."""
    node = parse(source)

    assert isinstance(node, Class)
    assert [value for value in range(256) if re.fullmatch(source.encode(), bytes([value]))] == list(
        byteset.members(node.mask)
    )


def test_alternation_of_bytes():
    """Single bytes in alternation are one class."""
    assert Class(byteset.of(b"abc")) == parse("(?:a|b|c)")


@pytest.mark.parametrize(
    ("source", "construct"),
    [
        ("(?m:^a)(?<!b)|(?s-i:a$)(?<=ab)", "look-around of more than one byte"),
        (r"(a)\1", "a back-reference"),
        ("(a)?(?(1)b|c)", "a conditional group"),
        ("(?>ab)c", "an atomic group"),
        ("a++b", "a possessive repeat"),
        ("(?=ab)c", "look-around of more than one byte"),
        ("a(", "does not parse"),
        ("ü", "not ASCII"),
        ("a" * 70_000, "longer than"),
        ("[[a]", "refused: FutureWarning"),
    ],
)
def test_refused(source, construct):
    """What is not supported is refused by name."""
    with pytest.raises(PackError, match=construct):
        parse(source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a$", r"a(?![^\x00])"),
        (r"a\z|b\Z", r"a(?![^\x00])|b(?![^\x00])"),
        (r"^a|\Ab", r"(?<![^\x00])a|(?<![^\x00])b"),
        (r"[$^]\$\^[^$\]$][]$]", None),
        (r"(?im)^a\A$\Z", r"(?im)(?<![^\x00\n])a(?<![^\x00])(?![^\x00\n])(?![^\x00])"),
    ],
)
def test_anchors(source, expected):
    """Ends and beginnings become look-arounds; escaped or in a class they are what they are."""
    assert (source if expected is None else expected) == regex.ended(source)


@pytest.mark.parametrize(
    ("source", "data", "expected"),
    [
        ("ab$", b"ab", True),
        ("ab$", b"ab\0", True),
        ("ab$", b"ab\n", False),
        ("(?m)ab$", b"ab\n", True),
        (r"ab(?:;|\\[nr]|$)", b"ab\\r", True),
        ("^ab", b"xab", False),
        (r"(?:\A|x)ab", b"xab", True),
    ],
)
def test_anchors_in_text(source, data, expected):
    """The end of the data and a NUL are ends; a line's end is one only where lines count."""
    assert expected is (regex.compiled(source).search(data) is not None)


def test_single_bytes_are_one_class():
    """Alternatives of one byte are one class beside the longer ones."""
    assert regex.parse("(?:=>|[=,]|:|ab)") == regex.parse("(?:=>|[=,:]|ab)")
