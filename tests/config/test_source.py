"""YAML text to nodes: what is refused, and where."""

import os
from pathlib import Path

import pytest

from dlp.config.problems import PolicyFileError, Problems
from dlp.config.source import Mapping, Scalar, Sequence, parse
from dlp.errors import ConfigError


def test_nodes_know_their_lines():
    """Keys and values carry the 1-based line they stand in."""
    root = parse("a: 1\nb:\n  - x\n  - 'y'\n", Problems(Path("f")))

    expected = Mapping(
        line=1,
        values={
            "a": Scalar(line=1, text="1", plain=True),
            "b": Sequence(
                line=3,
                items=(
                    Scalar(line=3, text="x", plain=True),
                    Scalar(line=4, text="y", plain=False),
                ),
            ),
        },
        lines={"a": 1, "b": 2},
    )
    assert expected == root


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n...\n"])
def test_nothing(policy_file, text):
    """A file without content is told from one that holds something else."""

    assert "the file is empty" == policy_file.problems(text)[0][2]


@pytest.mark.parametrize(
    ("addition", "line", "key", "part"),
    [
        ("x: &a 1\n", 6, "x", "anchors"),
        ("x: 1\ny: *a\n", 7, "y", "aliases"),
        ("x: [1, *a]\n", 6, "x[1]", "aliases"),
        ("x: {<<: *a}\n", 6, "x.<<", "aliases"),
        ("x: !!str 1\n", 6, "x", "tags"),
        ("x: !own {a: 1}\n", 6, "x", "tags"),
        ("x: !!python/object/apply:os.system [id]\n", 6, "x", "tags"),
        ("version: 1\n", 6, "", "the key 'version' stands here twice, first in line 1"),
        ("api: {unix: /a, unix: /b}\n", 6, "api", "stands here twice"),
        ("? [a]\n: 1\n", 6, "", "a list as a key"),
        ("? {a: b}\n: 1\n", 6, "", "a mapping as a key"),
        ("---\nx: 1\n", 6, "", "a second document"),
        ("x: " + "[" * 17 + "]" * 17 + "\n", 6, "", "nested deeper than 16"),
        ("x: " + "[" * 100_000, 6, "", "nested deeper than 16"),
        ("x: [\n", 7, "", "is not YAML"),
        ("x: 'y\n", 7, "", "is not YAML"),
        (" x: 1\n", 6, "", "is not YAML"),
        ("\tx: 1\n", 6, "", "is not YAML"),
        ("x: @\n", 6, "", "is not YAML"),
        ('x: "\\q"\n', 6, "", "is not YAML"),
        ("x: !a!b 1\n", 6, "", "is not YAML"),
        ("x: \x01\n", 6, "", "a character that YAML does not allow"),
    ],
)
def test_refused(policy_file, minimal, addition, line, key, part):
    """What a policy file never needs is refused with its line and key."""
    found = policy_file.problems(minimal + addition)

    assert any((line, key) == problem[:2] and part in problem[2] for problem in found), found


def test_size(policy_file, minimal):
    """Files over 1 MiB are refused, those of that size are read."""
    filled = minimal.encode() + b"#" * (2**20 - len(minimal))

    policy_file.load(filled.decode())
    assert "larger than 1 MiB" == policy_file.problems(filled + b"#")[0][2]


def test_not_utf8(policy_file, minimal):
    """Other encodings are refused with the line of the first bad byte."""
    found = policy_file.problems(minimal.encode() + b"# caf\xe9\n")

    assert [(6, "", "is not UTF-8 text")] == [problem[:3] for problem in found]


def test_byte_order_mark(policy_file, minimal):
    """A byte order mark, as some editors write it, is no content."""

    assert 1 == len(policy_file.load("\ufeff" + minimal).policies)


def test_unreadable(policy_file, tmp_path: Path):
    """A missing file and a directory are told apart."""
    policy_file.path = tmp_path / "missing.yaml"
    with pytest.raises(ConfigError, match="there is no such file"):
        parse_path(policy_file.path)
    with pytest.raises(ConfigError, match="cannot be read: is a directory"):
        parse_path(tmp_path)


def test_endless_file():
    """A device that never ends is read up to the limit only."""
    assert os.path.exists("/dev/zero")  # noqa: PTH110 - no fixture needed

    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        parse_path(Path("/dev/zero"))


def test_all_or_nothing(policy_file, minimal):
    """Problems of form and of content are told together."""
    found = policy_file.problems(minimal + "x: &a 1\ncgroup_level: no\n")

    assert [6, 6, 7] == [problem[0] for problem in found]


def parse_path(path: Path) -> None:
    """Read and parse as `load` does."""
    from dlp.config.source import read

    parse(read(path), Problems(path))


def test_fails_with_what_was_found_before(policy_file, minimal):
    """When reading must stop, the problems before are not lost."""
    with pytest.raises(PolicyFileError) as raised:
        policy_file.load(minimal + "x: &a 1\ny: [\n")

    assert 2 == len(raised.value.problems)
