"""The packs of a release as signatures, fit to be released.

Fit is a set without drafts, of which each signature has enough samples; whether samples
agree and signatures compile is the compiler's business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from dlp.errors import PackError
from dlp.signatures import collector
from dlp.signatures.pack import Pack, check_distinct, parse_pack

SAMPLES: Final = 3


def packs_of(files: Mapping[str, bytes], origin: str) -> tuple[Pack, ...]:
    """Read the packs of a release.

    Args:
        files: content by the pack's name.
        origin: what errors say the file is in, as `release-7`.

    Raises:
        PackError: a pack is bad, is named otherwise than its file, or two share an id.
    """
    with collector.paused():
        packs = tuple(
            parse_pack(files[name], Path(origin) / "packs" / f"{name}.yaml")
            for name in sorted(files)
        )
    check_distinct(packs)
    return packs


def check_fit(packs: Sequence[Pack]) -> None:
    """Raise PackError for a draft, or a signature with too few samples."""
    for pack in packs:
        for signature in pack.signatures:
            if signature.draft:
                raise PackError(
                    f"signature {signature.id} is a draft and cannot be released",
                    place=signature.at("draft"),
                    remedy="confirm its samples and take `draft: true` out",
                )
            for key in ("must_match", "must_not_match"):
                if len(getattr(signature, key)) < SAMPLES:
                    raise PackError(
                        f"signature {signature.id} has fewer than {SAMPLES} samples that "
                        f"{'match' if key == 'must_match' else 'must not match'}",
                        place=signature.at(key),
                        remedy="add samples, near misses among those that must not match",
                    )
