"""Until when."""

from datetime import UTC, datetime, timedelta

import pytest

from dlp.cli.expiry import expiry
from dlp.errors import UsageError

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90d", NOW + timedelta(days=90)),
        ("12h", NOW + timedelta(hours=12)),
        ("2030-01-31", datetime(2030, 1, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_moments(text, expected):
    """A duration from now on, or a day to its end."""
    assert expected == expiry(text, NOW)


@pytest.mark.parametrize("text", ["", "0d", "90", "90m", "2030-01-30", "2030-02-30", "-1d", "x"])
def test_none(text):
    """What is none, or has passed, is an error that says how it is written."""
    with pytest.raises(UsageError) as caught:
        expiry(text, NOW)
    assert "90d" in caught.value.remedy
