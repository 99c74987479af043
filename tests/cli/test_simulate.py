"""The command that runs the lab's attacks."""

import json
import sys
from pathlib import Path

import pytest

from dlp.cli import simulate
from dlp.errors import MissingDependency


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """The commands that were run; each finds something and writes the document asked for."""
    seen = []

    def run(command, *, quiet):
        seen.append((command[2:], quiet))
        if "--json" in command:
            target = Path(command[command.index("--json") + 1])
            target.write_text(json.dumps({"bytes_leaked": 0}))
        return 1

    monkeypatch.setattr(simulate, "lab", lambda: tmp_path)
    monkeypatch.setattr(simulate, "run", run)
    return seen


def test_options_reach_the_lab(dlp, commands):
    """Its options are the lab's, and the lab's exit status is its own."""

    result = dlp("simulate", "attack", "--only", "af-*", "--only", "urgent", "--no-gateway")

    assert 1 == result.code
    words = "attack --flows 100000 --only af-* --only urgent --no-gateway"
    assert [(words.split(), False)] == commands


def test_json_is_all_of_the_output(dlp, commands):
    """With --json standard output is one document."""

    result = dlp("simulate", "attack", "--json")

    assert {"bytes_leaked": 0} == json.loads(result.out)
    assert [True] == [quiet for _, quiet in commands]


@pytest.mark.parametrize(("quiet", "shown"), [(False, ("told\n", "")), (True, ("", "told\n"))])
def test_output_of_the_lab(capfd, monkeypatch, quiet, shown):
    """What the lab prints goes on, or to standard error; its exit status comes back."""

    monkeypatch.setattr(sys, "stderr", sys.__stderr__)
    code = simulate.run([sys.executable, "-c", "print('told'); exit(5)"], quiet=quiet)

    assert 5 == code
    assert shown == capfd.readouterr()


def test_no_source_tree(tmp_path):
    """An installation without the lab says where it is."""

    with pytest.raises(MissingDependency, match="checkout"):
        simulate.lab(tmp_path)


def test_the_lab_is_there():
    """In this checkout it is found."""

    assert (simulate.lab() / "attacks").is_dir()
