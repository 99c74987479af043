"""What is written means what was read."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlp.signatures.importers import notation, syntax


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("(?i)abc", "(?i)abc"),
        ("ab(?i)cd", "ab(?i:cd)"),
        ("(?i)a(?-i:b)1c", "(?i:a)(?:b)1(?i:c)"),
        ("(?i)1[_-]2", r"1[_\-]2"),
        ("(?:a|b)c", "(?:a|b)c"),
        ("a|b", "a|b"),
    ],
)
def test_flags(source, expected):
    """Case is folded by one flag in front where all folds, else by groups."""
    assert expected == notation.render(syntax.parse(source))


_ATOMS = st.sampled_from(["a", "B", "[a-c]", "[^b]", r"\.", "1", "-", r"\b", "."])
_NODES = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.builds("(?:{}|{})".format, inner, inner),
        st.builds("(?i:{})".format, inner),
        st.builds("(?-i:{})".format, inner),
        st.builds("({}{})".format, inner, inner),
        st.builds("(?:{}){}".format, inner, st.sampled_from(["?", "{2}", "{0,2}"])),
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(
    source=_NODES, fold=st.booleans(), texts=st.lists(st.text("abcABC1-.", max_size=8), max_size=9)
)
def test_round(source, fold, texts):
    """Python finds the same with what was read as with what is written, place by place."""
    source = f"(?i){source}" if fold else source
    before = re.compile(source)
    after = re.compile(notation.render(syntax.parse(source)))

    for text in texts:
        assert [m.span() for m in before.finditer(text)] == [m.span() for m in after.finditer(text)]
