"""A configuration with all that is made of it, before anything outside this process changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog

from dlp.config import Config, load, with_netns
from dlp.inspector.messages import Rule
from dlp.model import DecidedBy
from dlp.policy import PolicySet, held_signatures
from dlp.signatures.cache import Cache
from dlp.signatures.image import KernelImage
from dlp.signatures.pack import load_packs


@dataclass(frozen=True, slots=True)
class Loaded:
    """One configuration with all that was made of it."""

    config: Config
    image: KernelImage
    policies: PolicySet


def prepare(path: Path, netns: Iterable[str] = (), *, cache: Path | None = None) -> Loaded:
    """Read, compile and check a configuration; nothing outside this process changes.

    `cache`: directory in which compiled sets are kept, so that they need not be made again.

    Raises:
        ConfigError, PackError: with file, line and key.
    """
    config = with_netns(load(path), netns)
    packs = load_packs(config.signatures, config.base)
    compiler = Cache(cache)
    known = compiler.subjects(packs)
    image = compiler.image(packs, held=held_signatures(config, known))
    return Loaded(config, image, PolicySet(config, known))


def matcher_rules(image: KernelImage) -> list[Rule]:
    """What the matcher process looks for: the signatures that the kernel cannot decide."""
    return [
        Rule.of(index, one)
        for index, one in enumerate(image.signatures)
        if one.decided is DecidedBy.INSPECTOR
    ]


def warn_of_late_keys(old: Config, new: Config) -> None:
    """Some keys are read once, at the start."""
    for key in ("state_dir", "api"):
        if getattr(old, key) != getattr(new, key):
            structlog.get_logger().warning(
                "this key is read at the start only", key=key, remedy="restart the gateway"
            )
