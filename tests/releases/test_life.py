"""The life of a release."""

from __future__ import annotations

import itertools

import pytest

from dlp.errors import ConflictError
from dlp.releases.life import BESIDE, State, check_step

WAY = [
    State.UPLOADED,
    State.VERIFIED,
    State.COMPILED,
    State.SHADOW,
    State.CANARY,
    State.LIVE,
    State.SUPERSEDED,
]


def can(now, then):
    try:
        check_step(7, now, then)
    except ConflictError as error:
        return now.value != error.state  # the state is told, else the test fails
    return True


def test_way():
    """Each state follows the one before it; a rollback brings the last one back."""
    for now, then in itertools.pairwise(WAY):
        assert can(now, then)
    assert can(State.SUPERSEDED, State.LIVE)


def test_nothing_unverified_acts():
    """What was not verified and compiled can reach neither shadow, canary nor live."""
    for now in (State.UPLOADED, State.VERIFIED, State.REJECTED):
        for then in (*BESIDE, State.LIVE):
            assert not can(now, then)


def test_old_does_not_come_back():
    """What was superseded or rejected does not go through shadow or canary again."""
    for now in (State.SUPERSEDED, State.REJECTED):
        for then in BESIDE:
            assert not can(now, then)


@pytest.mark.parametrize("now", [State.UPLOADED, State.VERIFIED, *BESIDE, State.LIVE])
def test_rejection(now):
    """A release can fail at any time."""
    assert can(now, State.REJECTED)
