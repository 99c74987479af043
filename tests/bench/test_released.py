"""Another version's sources beside this one's."""

import pytest

from bench import namespaces
from bench.namespaces import BenchError
from bench.released import checkout


def test_a_checkout_is_there_and_goes(tmp_path):
    """The repository is left as it was, work trees included."""
    before = namespaces.run("git", "worktree", "list")

    with checkout("HEAD", tmp_path) as tree:
        assert (tree / "bench" / "gateway.py").is_file()
    assert not tree.exists()
    assert before == namespaces.run("git", "worktree", "list")


def test_an_unknown_commit_is_an_error(tmp_path):
    """The message names it."""
    with pytest.raises(BenchError, match="no-such-commit"), checkout("no-such-commit", tmp_path):
        pass
