"""Matches of a signature as Python's `re` and the validator see them."""

from __future__ import annotations

from collections.abc import Iterator

from dlp.signatures import regex
from dlp.signatures.validators import VALIDATORS


def finds(source: str, validator: str, data: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of the match at every byte where there is a valid one."""
    pattern = regex.compiled(source)
    valid = VALIDATORS.get(validator)
    start = 0
    while (found := pattern.search(data, start)) is not None:
        if valid is None or valid(found.group()):
            yield found.span()
        start = found.start() + 1
