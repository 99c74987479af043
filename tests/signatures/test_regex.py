import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlp.errors import PackError
from dlp.signatures import byteset
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
        ("^a", "an anchor of line or text"),
        (r"a\Z", "an anchor of line or text"),
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
