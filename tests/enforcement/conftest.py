"""Policy sets from the text of their policies, over the card signatures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dlp.config import load
from dlp.model import Subject
from dlp.policy import PolicySet
from dlp.signatures.compiler import compile_packs
from dlp.signatures.image import KernelImage
from dlp.signatures.pack import load_packs


@pytest.fixture(scope="session")
def card_image() -> KernelImage:
    """Card numbers alone; number 0 is Visa."""
    return compile_packs(load_packs(("pci",), Path.cwd()))


@pytest.fixture
def policy_set(tmp_path: Path, card_image: KernelImage) -> Callable[..., PolicySet]:
    """`policy_set("- {name: a, rules: …}")`: the policies of a file."""

    def make(policies: str, *, netns: tuple[str, ...] = ("web",)) -> PolicySet:
        file = tmp_path / "dlp.yaml"
        names = ", ".join(netns)
        file.write_text(
            f"version: 1\nstate_dir: {tmp_path}/state\nsignatures: [pci]\n"
            f"workloads: {{netns: [{names}]}}\npolicies:\n{policies}\n"
        )
        return PolicySet(load(file), [Subject(one.id) for one in card_image.signatures])

    return make
