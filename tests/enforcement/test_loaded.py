"""What is made of a configuration file before anything changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlp.enforcement.loaded import prepare
from dlp.errors import ConfigError, PackError

TEXT = """version: 1
state_dir: {state}
signatures: [{packs}]
workloads: {{netns: [web]}}
policies:
  - {{name: default, rules: [{{signatures: ["{glob}"], action: drop}}]}}
"""


@pytest.fixture
def write(tmp_path):
    """A policy file; returns its path."""

    def make(packs: str = "pci", glob: str = "pci.*") -> Path:
        file = tmp_path / "dlp.yaml"
        file.write_text(TEXT.format(state=tmp_path, packs=packs, glob=glob))
        return file

    return make


def test_everything_is_made(write):
    """The image has the packs' signatures; the policies name them; namespaces are added."""
    loaded = prepare(write(), ["billing"])

    assert ("web", "billing") == loaded.config.workloads.netns
    assert all(one.id.startswith("pci.") for one in loaded.image.signatures)
    assert loaded.policies.action_for(1, 0) is not None


def test_bad_pack(write, tmp_path):
    """A pack that does not compile refuses the whole."""
    (tmp_path / "own.yaml").write_text("pack: own\n")
    with pytest.raises(PackError):
        prepare(write(packs="pci, ./own.yaml"))


def test_rule_without_signature(write):
    """So does a rule that names none."""
    with pytest.raises(ConfigError):
        prepare(write(glob="nothing.*"))
