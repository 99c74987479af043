"""Matches of a signature as Python's `re`, the validator and the keywords near see them."""

from __future__ import annotations

from collections.abc import Iterator

from dlp.signatures import proximity, regex
from dlp.signatures.proximity import Proximity
from dlp.signatures.validators import VALIDATORS


def finds(
    source: str, validator: str, data: bytes, near: Proximity | None = None
) -> Iterator[tuple[int, int]]:
    """Start and end of the match at every byte where there is a valid one, a keyword near it."""
    pattern = regex.compiled(source)
    valid = VALIDATORS.get(validator)
    start = 0
    while (found := pattern.search(data, start)) is not None:
        if (valid is None or valid(found.group())) and (
            near is None or proximity.is_near(data, *found.span(), near)
        ):
            yield found.span()
        start = found.start() + 1
