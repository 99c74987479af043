"""Cursors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlp.api.cursors import flow_cursor, verdict_cursor


@given(number=st.integers(0, 2**64 - 1))
def test_round_trip(number):
    """A place comes back, and one list's cursor is none of another's."""
    text = flow_cursor.encode(number)

    assert number == flow_cursor.decode(text)
    with pytest.raises(ValueError, match="next"):
        verdict_cursor.decode(text)


@given(text=st.text(max_size=30))
def test_made_up(text):
    """What encode never made is refused; nothing else is ever raised."""
    try:
        number = verdict_cursor.decode(text)
    except ValueError:
        return
    assert text == verdict_cursor.encode(number)


def test_beyond_the_top():
    """A number that the list cannot hold is refused."""
    with pytest.raises(ValueError, match="next"):
        verdict_cursor.decode(verdict_cursor.encode(2**63))
