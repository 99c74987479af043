"""A way to write a policy file and read what is wrong with it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dlp.config import Config, PolicyFileError, load
from dlp.errors import ConfigError

MINIMAL = """\
version: 1
signatures: [pci]
policies:
  - name: default
    rules: []
"""


class PolicyFile:
    """A policy file in a directory of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self, text: str) -> Config:
        self.path.write_text(text, encoding="utf-8")
        return load(self.path)

    def problems(self, text: str | bytes) -> list[tuple[int | None, str, str, str]]:
        """Line, key, message and remedy of each problem."""
        data = text if isinstance(text, bytes) else text.encode()
        self.path.write_bytes(data)
        with pytest.raises(ConfigError) as raised:
            load(self.path)
        error = raised.value
        found = error.problems if isinstance(error, PolicyFileError) else (error,)
        assert all(problem.place and problem.place.file == self.path for problem in found)
        assert all(problem.remedy for problem in found)
        return [
            (problem.place.line, problem.place.key, problem.message, problem.remedy)
            for problem in found
        ]


@pytest.fixture
def policy_file(tmp_path: Path) -> PolicyFile:
    return PolicyFile(tmp_path / "dlp.yaml")


@pytest.fixture
def minimal() -> str:
    return MINIMAL


@pytest.fixture
def with_policy() -> Callable[[str], str]:
    """The minimal file with further keys in its policy; they begin in line 5."""

    def build(keys: str) -> str:
        head = "version: 1\nsignatures: [pci]\npolicies:\n  - name: default\n"
        body = "".join(f"    {line}\n" for line in keys.splitlines())
        return head + body + ("" if "rules:" in keys else "    rules: []\n")

    return build
