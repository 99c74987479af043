from hypothesis import given
from hypothesis import strategies as st

from dlp.signatures.lane import first_index, plan
from dlp.signatures.lowering import lower
from dlp.signatures.regex import parse


def planned(source: str):
    return plan(lower(parse(source), checked=False).forms[0])


def test_card():
    """A card's groups select it: 16 digits in a row, or 4 with a separator and 4 more or 12."""
    found = planned("(?<![0-9])4[0-9]{3}(?:[ -]?[0-9]{4}){3}(?![0-9])")

    assert found is not None
    assert 0 == found.offset
    assert {first_index(15, 4, separated=sep) for sep in (False, True)} <= found.first
    assert first_index(4, 4, separated=True) in found.first
    assert first_index(4, 4, separated=False) not in found.first
    assert first_index(4, 5, separated=True) not in found.first
    assert {4, 8, 12} <= found.second


def test_separator_that_is_not_one():
    """A hyphen behind the match counts as a separator to the lane, so the tables allow it."""
    found = planned("(?<![0-9])[0-9]{9}(?![0-9])")

    assert found is not None
    assert {first_index(9, 1, separated=sep) for sep in (False, True)} <= found.first
    assert set(range(16)) == found.second


def test_offset():
    """Digits may begin behind letters."""
    found = planned("(?<![0-9A-Z])[XYZ][0-9]{7}[A-Z](?![A-Z])")

    assert found is not None
    assert 1 == found.offset


def test_not_provable():
    """No lane without seven digits near by, with a digit before, or at an unknown place."""
    assert planned("(?<![0-9])[0-9]{6}(?![0-9])") is None
    assert planned("[0-9]{9}(?![0-9])") is None
    assert planned("(?<![0-9])[0-9]{3}[ -]{2}[0-9]{4}x") is None
    assert planned("(?<![0-9])[a-f]{1,2}[0-9]{9}x") is None
    assert planned("(?<![0-9])[0-9]{2}[A-Z]{20}[0-9]{9}x") is None


@given(
    st.sampled_from(
        [
            "(?<![0-9])[0-9]{3}-[0-9]{2}-[0-9]{4}(?![0-9-])",
            "(?<![0-9])[0-9]{2} ?[0-9]{3}[ .]?[0-9]{3}[A-Z0-9]{2}",
            "(?<![0-9])[0-9]{8,12}(?:[.-][0-9]{2}){0,2}(?![0-9])",
        ]
    ),
    st.data(),
)
def test_superset(source, data):
    """Whatever matches has its group lengths in the tables, whatever stands behind it."""
    text = data.draw(st.from_regex(source.encode().decode(), fullmatch=True))
    text += data.draw(st.sampled_from(["", "-", "-1", " 123", "x", ".."]))
    import re

    form = next(iter(lower(parse(source), checked=False).forms))
    found = plan(form)
    assert found is not None
    ascii_text = text.encode("ascii", "replace")
    if (
        not re.match(source.encode(), ascii_text)
        or len(lower(parse(source), checked=False).forms) > 1
    ):
        return
    length = len(re.match(rb"[0-9]*", ascii_text).group())
    behind = ascii_text[length : length + 1]
    separated = behind != b"" and behind in b" -./"
    assert first_index(length, ascii_text[0] & 15, separated=separated) in found.first
    following = len(re.match(rb"[0-9]*", ascii_text[length + 1 :]).group()) if separated else 0
    assert min(following, 15) in found.second
