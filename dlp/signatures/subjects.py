"""A signature set as policies see it."""

from __future__ import annotations

from collections.abc import Iterable

from dlp.model import Subject
from dlp.signatures import confidence
from dlp.signatures.pack import Pack, Signature


def subjects(packs: Iterable[Pack]) -> tuple[Subject, ...]:
    """What policies select by, in the order of the image's signatures.

    Raises PackError where an expression does not parse.
    """
    return tuple(_subject(one) for pack in packs for one in pack.signatures)


def _subject(signature: Signature) -> Subject:
    return Subject(
        id=signature.id,
        category=signature.category,
        tags=signature.tags,
        confidence=confidence.placed(signature).level,
        severity=signature.severity,
        controls=signature.controls,
        threshold=signature.threshold,
    )
