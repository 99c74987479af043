"""How problems are worded."""

from pathlib import Path

import pytest

from dlp.config.problems import PolicyFileError, Problems, did_you_mean, joined, one_of, shown
from dlp.errors import ConfigError


@pytest.mark.parametrize("text", ["enforce", "pci.*", "netns", "10", "web-1", "a/b.yaml"])
def test_words_are_shown(text):
    """An ordinary word is repeated, so that the reader finds it."""

    assert f"'{text}'" == shown(text)


@pytest.mark.parametrize(
    "text", ["41111111", "078-05-1120", "a b", "ghp_0123456789abcdef01", "x" * 41, "\x1b[2J", "é"]
)
def test_content_is_not_shown(text):
    """What could be a value worth protecting, or could harm a terminal, is told by its length."""

    assert f"a text of {len(text)} characters" == shown(text)


def test_joined():
    """A key that is no ordinary word is not part of the dotted key."""

    assert ["api", "api.unix", "api.?"] == [
        joined("", "api"),
        joined("api", "unix"),
        joined("api", "4111 1111 1111 1111"),
    ]


def test_did_you_mean():
    """The nearest known word, whatever its case; nothing where none is near."""

    assert "did you mean 'netns'?" == did_you_mean("NetNS", ["cgroup", "netns"])
    assert not did_you_mean("zzz", ["cgroup", "netns"])


def test_one_of():
    """Lists read as a sentence does."""

    assert ["a", "a or b", "a, b or c"] == [one_of("a"), one_of("ab"), one_of("abc")]


def test_error_of_many():
    """The first problem by line speaks for all, and exit codes are those of ConfigError."""
    problems = Problems(Path("f.yaml"))
    problems.add(7, "b", "late", "x")
    problems.add(2, "a", "early", "y")

    with pytest.raises(PolicyFileError) as raised:
        problems.raise_any()

    error = raised.value
    assert ("early", "y", 2) == (error.message, error.remedy, error.place.line)
    assert "f.yaml:2: a: early (y)\nf.yaml:7: b: late (x)" == str(error)
    assert ConfigError.exit_code == error.exit_code
