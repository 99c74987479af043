"""Samples of a signature judged by Python's `re` and the validator.

The judge of a pack: what it says here is what the kernel image must find. Messages
name a sample by its number, never by its text.
"""

from __future__ import annotations

from collections.abc import Iterator

from dlp.errors import PackError
from dlp.signatures import regex
from dlp.signatures.pack import Signature
from dlp.signatures.validators import VALIDATORS


def check(signature: Signature) -> None:
    """Raise PackError unless every sample agrees with the expression and its validator."""
    if signature.validator and signature.validator not in VALIDATORS:
        raise PackError(
            f"signature {signature.id}: there is no such validator",
            place=signature.at("validator"),
            remedy=f"one of {', '.join(sorted(VALIDATORS))}",
        )
    for key, wanted in (("must_match", True), ("must_not_match", False)):
        for index, sample in enumerate(getattr(signature, key)):
            if any(finds(signature.regex, signature.validator, sample)) is not wanted:
                raise PackError(
                    f"signature {signature.id}: {key}[{index}] "
                    f"{'does not match' if wanted else 'matches'}",
                    place=signature.at(f"{key}[{index}]"),
                    remedy="mend the regex, the validator or the sample",
                )


def finds(source: str, validator: str, data: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of the match at every byte where there is a valid one."""
    pattern = regex.compiled(source)
    valid = VALIDATORS.get(validator)
    start = 0
    while (found := pattern.search(data, start)) is not None:
        if valid is None or valid(found.group()):
            yield found.span()
        start = found.start() + 1
