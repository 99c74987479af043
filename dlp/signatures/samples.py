"""Samples of a signature judged by Python's `re` and the validator.

The judge of a pack: what it says here is what the kernel image must find. Messages
name a sample by its number, never by its text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from dlp.errors import PackError
from dlp.signatures import regex, trial
from dlp.signatures.effort import ways
from dlp.signatures.finding import finds
from dlp.signatures.pack import Signature
from dlp.signatures.validators import VALIDATORS

EFFORT: Final = 1e8  # ways to try, which takes some seconds at the very most

_TOO_LONG: Final = f"its samples cannot be tried within {trial.SECONDS:g} s: it backtracks"


def check(signatures: Iterable[Signature]) -> None:
    """Raise PackError unless every sample agrees with its expression and validator.

    What could take `re` too long is tried in a process of its own, all of it together.
    """
    late: list[Signature] = []
    for signature in signatures:
        if signature.validator and signature.validator not in VALIDATORS:
            raise PackError(
                f"signature {signature.id}: there is no such validator",
                place=signature.at("validator"),
                remedy=f"one of {', '.join(sorted(VALIDATORS))}",
            )
        if not _harmless(signature):
            late.append(signature)
            continue
        _agree(signature, [any(_findings(signature, one)) for one in _samples(signature)])
    if late:
        _check_apart(late)


def _check_apart(signatures: Sequence[Signature]) -> None:
    trials = [
        trial.Trial(one.regex, one.validator, _samples(one), one.proximity) for one in signatures
    ]
    for signature, found in zip(signatures, trial.tried(trials), strict=True):
        if found is None:
            raise PackError(
                f"signature {signature.id}: {_TOO_LONG}",
                place=signature.expression,
                remedy="let no repeat stand in another that can take the same bytes; bound repeats",
            )
        _agree(signature, found)


def _harmless(signature: Signature) -> bool:
    """Whether `re` is soon done with the samples, whatever they hold."""
    longest = max(map(len, _samples(signature)), default=0)
    try:
        tree = regex.parse(signature.regex)
    except PackError as error:
        raise PackError(
            f"signature {signature.id}: {error.message}",
            place=signature.expression,
            remedy=error.remedy,
        ) from error
    return ways(tree, longest) * longest <= EFFORT


def _findings(signature: Signature, data: bytes) -> Iterator[tuple[int, int]]:
    return finds(signature.regex, signature.validator, data, signature.proximity)


def _samples(signature: Signature) -> tuple[bytes, ...]:
    return (*signature.must_match, *signature.must_not_match)


def _agree(signature: Signature, found: Sequence[bool]) -> None:
    """Raise PackError where a sample was found that should not be, or the reverse."""
    for number, matches in enumerate(found):
        index = number - len(signature.must_match)
        key = f"must_not_match[{index}]" if index >= 0 else f"must_match[{number}]"
        if matches is not (index < 0):
            raise PackError(
                f"signature {signature.id}: {key} {'matches' if matches else 'does not match'}",
                place=signature.at(key),
                remedy="mend the regex, the validator, the keywords or the sample",
            )
