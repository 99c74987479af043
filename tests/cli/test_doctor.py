"""The doctor's rows and exit code."""

import json

import pytest

from dlp.cli import checks
from dlp.cli.checks import Row, State


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ([State.OK], 0),
        ([State.OK, State.WARN], 0),
        ([State.WARN, State.FAIL, State.OK], 1),
    ],
)
def test_exit_code(dlp, monkeypatch, states, code):
    """Only what fails is a failure."""
    rows = tuple(Row(f"check {number}", state, "x", "y") for number, state in enumerate(states))
    monkeypatch.setattr(checks, "run_all", lambda: rows)

    assert code == dlp("doctor").code
    result = dlp("doctor", "--json")
    assert code == result.code
    assert [
        {"name": "check 0", "state": states[0].value, "found": "x", "remedy": "y"}
    ] == json.loads(result.out)[:1]


def test_on_this_host(dlp):
    """Every check comes to an end here, and what is not in order has a remedy."""
    rows = json.loads(dlp("doctor", "--json").out)

    assert 10 == len(rows)
    assert all(row["found"] for row in rows)
    assert all(row["remedy"] for row in rows if row["state"] != "ok")
