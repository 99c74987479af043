"""Confidence: the chance that a random candidate of a signature's shape matches it.

The shape is the expression with each byte generalised to its kind: a digit to all ten, a
byte of a hexadecimal class to all of those, a letter to all of its case, and so on; other
bytes stay as they are. The chance is the product over the positions of class to kind, times
that of the checksum. Alternatives of one shape add up; that of the signature is the worst.

A number, not a promise: what stands in traffic is not random. It tells the author who claims
more than the expression can bear, and policies select by it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from dlp.errors import PackError
from dlp.signatures import byteset, frequency, triggers
from dlp.signatures.anchors import MEGABYTE
from dlp.signatures.branches import Run, branches
from dlp.signatures.branches import Sequence as Alternative
from dlp.signatures.pack import CONFIDENCES, Signature
from dlp.signatures.regex import Look, parse
from dlp.signatures.validators import SUMS, VALIDATORS
from dlp.signatures.weighted import ANY, NEVER, Weighted

# With room for what floats lose.
HIGH: Final = 1.001e-5
MEDIUM: Final = 1.001e-2
# Of a prefix: fixed bytes other than digits and spaces, and how often a megabyte of
# ordinary text may hold it.
DISTINCT: Final = 3
RARE: Final = 1.0
WORD: Final = 3  # letters in a row

_SMALL: Final = 4  # members of a class that a prefix may hold
_DRAWS: Final = 100
_LONGEST: Final = 64
_UPPER: Final = byteset.span(0x41, 0x5A)
_LOWER: Final = byteset.span(0x61, 0x7A)
_HEX_LOWER: Final = byteset.span(0x61, 0x66)
_HEX_UPPER: Final = byteset.span(0x41, 0x46)

# Of validators that are no weighted sums: the share of random values that pass.
_CHANCES: Final = {
    "luhn": 1 / 10,
    "iban": 1 / 97,
    "us_ssn": 0.9,
    "nhs": 1 / 11,
    "de_tax": 1 / 10,
    "es_dni": 1 / 23,
    "fr_nir": 1 / 97,
    "base58check": 2.0**-32,
    "base58check_ripple": 2.0**-32,
    "bech32": 2.0**-30,
}


@dataclass(frozen=True, slots=True)
class Confidence:
    """`level`: low, medium or high. `chance`: of a random candidate. `why`: one sentence."""

    level: str
    chance: float
    why: str


def assess(signature: Signature) -> Confidence:
    """The confidence of a signature. Raises PackError where its expression does not parse."""
    return _assessed(signature.regex, signature.validator, signature.proximity is not None)


def placed(signature: Signature) -> Confidence:
    """As `assess`; its PackError says which signature, and where."""
    try:
        return assess(signature)
    except PackError as error:
        raise PackError(
            f"signature {signature.id}: {error.message}",
            place=signature.expression,
            remedy=error.remedy,
        ) from error


def claimed(signature: Signature) -> Confidence:
    """As `assess`. Raises PackError, with the place, where the author claims more."""
    computed = assess(signature)
    rank = CONFIDENCES.index
    if signature.confidence and rank(signature.confidence) > rank(computed.level):
        raise PackError(
            f"signature {signature.id}: claims {signature.confidence} confidence, which its "
            f"expression does not bear: {computed.why}, which makes it {computed.level}",
            place=signature.at("confidence"),
            remedy=f"claim {computed.level}, or add a checksum, a keyword near or fixed bytes",
        )
    return computed


@lru_cache(maxsize=16384)
def _assessed(source: str, validator: str, near: bool) -> Confidence:  # noqa: FBT001 - a key
    alternatives = branches(parse(source))
    passing = _passing(validator, alternatives)
    shapes: dict[tuple[tuple[int, int, int], ...], float] = {}
    for one in alternatives:
        shape = _shape(one)
        shapes[shape] = shapes.get(shape, 0.0) + _chance(one)
    judged = [
        _judged(one, min(shapes[_shape(one)], 1.0) * passing, near=near) for one in alternatives
    ]
    return min(judged, key=lambda found: (CONFIDENCES.index(found.level), -found.chance))


def _judged(alternative: Alternative, chance: float, *, near: bool) -> Confidence:
    odds = f"a random candidate of its shape matches with a chance of {chance:.1g}"
    if chance <= HIGH:
        return Confidence("high", chance, odds)
    if length := _prefix(alternative):
        return Confidence("high", chance, f"it begins with a distinctive prefix of {length} bytes")
    if near:
        return Confidence("medium", chance, f"{odds}, and a keyword must stand near")
    if _word(alternative):
        return Confidence("medium", chance, f"{odds}, and it holds a word of {WORD} letters")
    return Confidence("medium" if chance <= MEDIUM else "low", chance, odds)


def _runs(alternative: Alternative) -> list[Run]:
    return [part for part in alternative.elements if isinstance(part, Run)]


def _shape(alternative: Alternative) -> tuple[tuple[int, int, int], ...]:
    """The kinds of its bytes, so that alternatives of one shape are equal."""
    shape: list[tuple[int, int, int]] = []
    for run in _runs(alternative):
        kind, low, high = _kind(run.mask), run.min, run.max
        if shape and shape[-1][0] == kind:
            _, more_low, more_high = shape.pop()
            low, high = low + more_low, high + more_high
        shape.append((kind, low, high))
    return tuple(shape)


def _chance(alternative: Alternative) -> float:
    """Product over the positions there must be of class to kind."""
    return math.prod(
        (run.mask.bit_count() / _kind(run.mask).bit_count()) ** run.min
        for run in _runs(alternative)
        if run.mask
    )


@lru_cache(maxsize=4096)
def _kind(mask: int) -> int:
    """What a byte of a class is generalised to; bytes other than letters and digits stay."""
    digits, upper, lower = (mask & kind for kind in (byteset.DIGITS, _UPPER, _LOWER))
    hexadecimal = digits and not (upper & ~_HEX_UPPER or lower & ~_HEX_LOWER)
    kind = mask
    if digits:
        kind |= byteset.DIGITS
    if upper:
        kind |= _HEX_UPPER if hexadecimal else _UPPER
    if lower:
        kind |= _HEX_LOWER if hexadecimal else _LOWER
    return kind


def _prefix(alternative: Alternative) -> int:
    """Length of the distinctive prefix; 0 where it begins with none.

    Optional parts may stand before it or in it: the longest stretch without one counts.
    """
    return max(map(_distinctive, _stretches(alternative)), default=0)


def _stretches(alternative: Alternative) -> Iterator[list[int]]:
    """The byte before and the fixed bytes in a row, as far as nothing but optional is between."""
    stretch = [byteset.ALL]
    for part in alternative.elements:
        if isinstance(part, Run):
            fixed = part.min == part.max and part.mask.bit_count() <= _SMALL
            if fixed:
                stretch.extend([part.mask] * min(part.min, _LONGEST))
                continue
            yield stretch
            if part.min:
                return
            stretch = [byteset.ALL]
        elif len(stretch) == 1:
            stretch = [part.mask if isinstance(part, Look) else byteset.ALL ^ byteset.WORD]
    yield stretch


def _distinctive(stretch: list[int]) -> int:
    """How many bytes there are up to the last fixed one, where they are distinctive; else 0."""
    left, *masks = stretch[:_LONGEST]
    while masks and not byteset.single(masks[-1]):
        masks.pop()
    fixed = sum(
        byteset.single(mask) is not None and not mask & (byteset.DIGITS | byteset.SPACE)
        for mask in masks
    )
    if fixed < DISTINCT:
        return 0
    share = frequency.share([byteset.folded(mask) for mask in (left, *masks)])
    return len(masks) if MEGABYTE * share * triggers.case(masks) <= RARE else 0


def _word(alternative: Alternative) -> bool:
    """Whether letters in a row are fixed somewhere, in either case or one."""
    row = 0
    for part in alternative.elements:
        if not isinstance(part, Run):
            continue
        fixed = byteset.single(part.mask) and not part.mask & ~byteset.LETTERS
        row = row + part.min if fixed and part.min == part.max else 0
        if row >= WORD:
            return True
    return False


def _passing(validator: str, alternatives: Sequence[Alternative]) -> float:
    """The share of random values that pass a checksum; 1 where there is none."""
    if not validator:
        return 1.0
    if validator in SUMS:
        return math.prod(map(_satisfied, SUMS[validator]))
    if validator in _CHANCES:
        return _CHANCES[validator]
    return _sampled(validator, alternatives)


def _satisfied(one: Weighted) -> float:
    """Of random values of the right length, the share whose sum holds."""
    told = [number for number in one.expected if number not in (ANY, NEVER)]
    most = max(10, len(set(told)))
    return (one.expected.count(ANY) + len(told) / most) / one.modulus


def _sampled(validator: str, alternatives: Sequence[Alternative]) -> float:
    """Of made-up values of the expression, the share that passes, never less than one in all."""
    valid = VALIDATORS.get(validator)
    if valid is None or not alternatives:
        return 1.0
    rng = random.Random(0)  # noqa: S311 - the same each time
    values = (_value(rng, rng.choice(alternatives)) for _ in range(_DRAWS))
    return (sum(map(valid, values)) + 1) / (_DRAWS + 1)


def _value(rng: random.Random, alternative: Alternative) -> bytes:
    value = bytearray()
    for run in _runs(alternative):
        members = byteset.members(run.mask)
        for _ in range(min(run.min, _LONGEST) if members else 0):
            value.append(members[int(rng.random() * len(members))])
    return bytes(value)
