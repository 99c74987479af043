import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlp.inspector.front import front_pattern
from dlp.signatures import regex

JWT = r"\beyJ[h-z0-6][YZa-e][A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
TOKEN = b"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJFWEFNUExFIn0.EXAMPLEexample0123456789"


def begun(source, data, least=1):
    """Where the longest beginning starts; None without one that is long enough."""
    hit = front_pattern(regex.parse(source), least).search(data)
    return None if hit is None or len(data) - hit.start() < least else hit.start()


def expressions():
    """Small expressions over two letters."""
    letters = st.sampled_from(["a", "b", "[ab]"])

    def larger(inner):
        repeats = st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{2,}", "*?"])
        return st.one_of(
            st.builds("{}{}".format, inner, inner),
            st.builds("(?:{}|{})".format, inner, inner),
            st.builds("(?:{}){}".format, inner, repeats),
        )

    return st.recursive(letters, larger, max_leaves=5)


def reaches_end(source, data, start, longest=7):
    """Whether some bytes behind `data` make a match that starts at `start` and covers its end."""
    pattern = re.compile(source.encode())
    whole = data[start:]
    return any(
        pattern.fullmatch(whole + bytes(more)) is not None
        for length in range(longest + 1)
        for more in itertools.product(b"ab", repeat=length)
    )


@settings(max_examples=300, deadline=None)
@given(expressions(), st.text("abc", max_size=6))
def test_a_beginning_is_told_exactly_where_more_bytes_can_complete_it(source, text):
    """The leftmost place from which the bytes up to the end begin a match; all endings tried."""
    data = text.encode()
    expected = next((at for at in range(len(data)) if reaches_end(source, data, at)), None)

    assert expected == begun(source, data)


@pytest.mark.parametrize("least", [1, 4, 5, 9])
def test_every_beginning_of_a_token_is_told(least):
    """Of a token cut anywhere, what is there is told from its first byte on."""
    for cut in range(least, len(TOKEN) + 1):
        assert begun(JWT, b"x: " + TOKEN[:cut], least) == 3
    for cut in range(least):
        assert begun(JWT, b"x: " + TOKEN[:cut], least) is None


def test_what_cannot_become_a_match_is_not_told():
    """A byte that no match holds ends a beginning; so does a left boundary that is not there."""
    assert begun(JWT, b"x: " + TOKEN[:18] + b" ", 5) is None
    assert begun(JWT, b"x" + TOKEN[:18], 5) is None
    assert begun(JWT, b"x: " + TOKEN[:20] + b".abcdef", 5) is None


@pytest.mark.parametrize(
    ("source", "data", "expected"),
    [
        (r"\bab\b", b" ab", 1),
        (r"\bab\b", b" abx", None),
        (r"(?<![a-z])ab(?![a-z])", b"-ab", 1),
        (r"(?<![a-z])ab(?![a-z])", b"xab", None),
        (r"(?<=k)ab(?=;)", b"kab", 1),
        (r"(?<=k)ab(?=;)", b"kab,", None),
        (r"a\B[bc]d", b"ac", 0),
    ],
)
def test_a_look_beyond_the_end_is_open(source, data, expected):
    """What a boundary looks at may come; before a match it is there and counts."""
    assert begun(source, data) == expected
