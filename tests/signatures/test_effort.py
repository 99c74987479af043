import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlp.signatures.effort import ways
from dlp.signatures.regex import parse


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("abc", 1),
        ("a{3}", 1),
        ("a{2,5}", 4),
        ("a*", 21),
        ("a*b*", 441),
        ("ab|cd|[ef]g", 3),
        ("(?:ab|cd){3}", 8),
        ("(?:ab|cd){1,3}", 16),
        (r"\ba(?=b)", 1),
    ],
)
def test_ways(expression, expected):
    """Choices of repeats and alternations multiply; a text of 20 bytes bounds repeats."""
    assert expected == ways(parse(expression), 20)


@pytest.mark.parametrize("expression", ["(a+)+", "(?:ab|cde)*", "(?:a*b*){9}"])
def test_endless(expression):
    """Repeats inside repeats have too many ways."""
    assert ways(parse(expression), 60) > 1e15


@given(st.lists(st.sampled_from(["a", "a?", "a*", "a{1,3}", "(?:a|aa)", "(?:ab?){2}"]), max_size=4))
def test_bounds_what_matches(parts):
    """No text has more ways to be taken apart than the bound says."""
    text = "aaaa"
    counted = _count([_options(part, text) for part in parts], len(text))

    assert counted <= ways(parse("".join(parts) or "a"), len(text))


def _options(part: str, text: str) -> list[int]:
    """Lengths of a row of a that the part can take, each once."""
    return [length for length in range(len(text) + 1) if re.fullmatch(part, "a" * length)]


def _count(options: list[list[int]], room: int) -> int:
    if not options:
        return 1
    return sum(_count(options[1:], room - one) for one in options[0] if one <= room)
