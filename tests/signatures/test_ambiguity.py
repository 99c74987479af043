import pytest

from dlp.signatures.ambiguity import ambiguous
from dlp.signatures.lowering import lower
from dlp.signatures.regex import parse


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("(?:[0-9]{4}|[0-9]{6})(?![0-9])", False),
        ("(?:[0-9]{4}|[0-9]{4}-[0-9]{2})(?![0-9])", True),
        ("(?:[0-9]{4}|[0-9]{4}-[0-9]{2})(?![0-9-])", False),
        ("(?:a[0-9]{4}|b[0-9]{4}-[0-9]{2})(?![0-9])", False),
        ("(?:[0-9]{4}-?|[0-9]{4}[.-][0-9]{2})(?![0-9])", True),
    ],
)
def test_ends(source, expected):
    """Two ends at one start are seen where, and only where, a text has them."""
    forms = lower(parse(source), checked=True).forms

    assert expected == ambiguous(list(forms))
