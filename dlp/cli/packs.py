"""What a command without a gateway speaks of: a signature set, a state directory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from dlp.config import load
from dlp.config.model import STATE_DIR
from dlp.signatures.cache import Cache, usual_directory
from dlp.signatures.image import KernelImage
from dlp.signatures.pack import Pack, builtin_names, load_packs


def load_set(
    config: Path | None, names: Sequence[str], *, held: Collection[str] = ()
) -> tuple[tuple[Pack, ...], KernelImage]:
    """The packs named, else those of a policy file, else all that ship with the gateway.

    `held`: ids of signatures to compile as ones that a policy holds.

    Raises:
        DlpError: a file or a pack is bad.
    """
    if names:
        packs = load_packs(names, Path.cwd())
    elif config:
        parsed = load(config)
        packs = load_packs(parsed.signatures, parsed.base)
    else:
        packs = load_packs(builtin_names(), Path.cwd())
    return packs, Cache(usual_directory()).image(packs, held=held)


def state_dir_of(config: Path | None) -> Path:
    """A policy file's state directory, the usual one without a file."""
    return load(config).state_dir if config else STATE_DIR
