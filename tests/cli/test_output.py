"""How commands print."""

import json
from pathlib import Path

import pytest

from dlp.cli.output import clock, plain, print_json_line, print_table, printable
from dlp.model import Action, Endpoint, Mode


def test_plain():
    """Values nest as JSON has them; enums are lower-case words."""
    value = {
        "a": (Action.DROP, Mode.MONITOR),
        1: Endpoint(address="::1", port=2),
        "b": [b"\x01\xff", Path("/x"), None, True, 1.5],
    }

    expected = {
        "a": ["drop", "monitor"],
        "1": {"address": "::1", "port": 2},
        "b": ["01ff", "/x", None, True, 1.5],
    }
    assert expected == plain(value)


def test_json_lines(capsys):
    """One line, whatever the value holds; nothing that a terminal obeys."""
    print_json_line({"a": "x\ny\x1b[2J\u2028é"})

    out = capsys.readouterr().out
    assert out.isascii()
    assert 1 == out.count("\n")
    assert {"a": "x\ny\x1b[2J\u2028é"} == json.loads(out)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("", "-"),
        ([], "-"),
        (0, "0"),
        (True, "yes"),
        (1.25, "1.2"),
        (["a", "b"], "a, b"),
        ("a\x1b\n\u202eb", "a???b"),
    ],
)
def test_printable(value, text):
    """Cells are short and hold no control characters."""

    assert text == printable(value)


def test_table_is_not_folded(capsys):
    """Into a pipe a row is a line, however long, and markup is text."""
    print_table(("a", "b"), [("x" * 300, "[bold]y")], empty="none")

    out = capsys.readouterr().out
    assert 2 == len(out.splitlines())
    assert "[bold]y" in out


def test_empty_table(capsys):
    """A sentence instead of a head without rows."""
    print_table(("a",), [], empty="none [here]")

    assert "none [here]\n" == capsys.readouterr().out


def test_clock():
    """UTC, to the millisecond."""

    assert "2023-11-14T22:13:20.250Z" == clock(1_700_000_000.25)
