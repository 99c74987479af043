from hypothesis import given
from hypothesis import strategies as st

from dlp.signatures import byteset


@given(st.frozensets(st.integers(0, 255)))
def test_members(values):
    """A set gives back its members."""
    assert tuple(sorted(values)) == byteset.members(byteset.of(values))


@given(st.frozensets(st.integers(0, 255)))
def test_folded(values):
    """Folding sets bit 5, each value once."""
    assert tuple(sorted({value | 32 for value in values})) == byteset.folded(byteset.of(values))


def test_ignore_case():
    """Letters get their other case, nothing else does."""
    assert byteset.of(b"aA[{7") == byteset.ignore_case(byteset.of(b"a[{7"))
    assert byteset.of(b"zZ@`") == byteset.ignore_case(byteset.of(b"Z@`"))


def test_single():
    """One byte, or a pair that differs in bit 5, can stand in a literal."""
    assert (ord("a"), 0) == byteset.single(byteset.of(b"a"))
    assert (ord("a"), 32) == byteset.single(byteset.of(b"aA"))
    assert byteset.single(byteset.of(b"ab")) is None
    assert byteset.single(byteset.of(b"abc")) is None
    assert byteset.single(0) is None


def test_render():
    """Sets read as classes."""
    assert byteset.render(byteset.of(b"abcxz-")) == r"[\-a-cxz]"
    assert byteset.render(byteset.ALL ^ byteset.of(b"\n")) == r"[^\x0a]"
    assert byteset.render(byteset.DIGITS) == "[0-9]"
