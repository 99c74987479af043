"""VAT identification numbers of the EU, the United Kingdom and Northern Ireland.

The rule of each country is that of its tax authority, as the Commission's VIES algorithms
document collects them. Numbers with letters in them (Austria, Cyprus, Ireland, the
Netherlands, Spain) are other signatures' business.
"""

# ruff: noqa: PLR2004 - the numbers are those of the rules

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Final

from dlp.signatures import rules

_Rule = Callable[[list[int]], bool]


def eu_vat(value: bytes) -> bool:
    """Two letters of a country and a number that its rule takes."""
    text = rules.alphanumeric(value)
    rule = _RULES.get(text[:2].decode("ascii"))
    return rule is not None and text[2:].isdigit() and rule(rules.digits(text))


def _sum(found: Sequence[int], weights: Sequence[int]) -> int:
    return sum(value * weight for value, weight in zip(found, weights, strict=False))


def _number(found: Sequence[int]) -> int:
    return int("".join(map(str, found)) or "0")


def _zero(length: int, weights: Sequence[int], modulus: int) -> _Rule:
    """The whole sum is divisible by the modulus."""
    return lambda found: len(found) == length and _sum(found, weights) % modulus == 0


def _less(length: int, weights: Sequence[int], modulus: int, *, over: int | None = 0) -> _Rule:
    """The modulus less the remainder is the last digit; over nine it is `over`."""

    def rule(found: list[int]) -> bool:
        if len(found) != length:
            return False
        check = -_sum(found[:-1], weights) % modulus
        return (check if check < 10 else over) == found[-1]

    return rule


def _luhn(length: int) -> _Rule:
    def rule(found: list[int]) -> bool:
        doubled = [d if place % 2 == length % 2 else d * 2 for place, d in enumerate(found, 1)]
        return len(found) == length and sum(d // 10 + d % 10 for d in doubled) % 10 == 0

    return rule


def _iso(length: int) -> _Rule:
    return lambda found: (
        len(found) == length and rules.mod_11_10(bytes(0x30 + digit for digit in found))
    )


def _mod_97(found: list[int]) -> bool:
    """Belgium: the first eight and the last two are divisible by 97; the first is 0 or 1."""
    return len(found) == 10 and found[0] < 2 and (_number(found[:8]) + _number(found[8:])) % 97 == 0


def _british(found: list[int]) -> bool:
    """HMRC: weights 8 to 2, mod 97, from 2010 on 55 more or less; twelve have a branch."""
    if len(found) not in (9, 12):
        return False
    total = _sum(found, range(8, 1, -1)) + _number(found[7:9])
    return total % 97 in (0, 42, 55)


def _bulgarian(found: list[int]) -> bool:
    """Legal entities of nine digits: weights 1 to 8, then 3 to 10."""
    if len(found) != 9:
        return False
    check = _sum(found[:8], range(1, 9)) % 11
    if check == 10:
        check = _sum(found[:8], range(3, 11)) % 11 % 10
    return check == found[8]


def _czech(found: list[int]) -> bool:
    """IČO of eight digits, or a birth number of ten."""
    if len(found) == 8:
        return (11 - _sum(found[:7], range(8, 1, -1)) % 11) % 10 == found[7]
    return len(found) == 10 and _number(found) % 11 == 0


def _french(found: list[int]) -> bool:
    """A key of two digits, 12 and three times the SIREN mod 97, and the SIREN's Luhn digit."""
    siren = found[2:]
    return (
        len(found) == 11
        and _luhn(9)(siren)
        and (12 + 3 * (_number(siren) % 97)) % 97 == _number(found[:2])
    )


def _latvian(found: list[int]) -> bool:
    """Legal entities: weights 9 1 4 8 3 10 2 5 7 6 1, mod 11 is 3."""
    weights = (9, 1, 4, 8, 3, 10, 2, 5, 7, 6, 1)
    return len(found) == 11 and found[0] > 3 and _sum(found, weights) % 11 == 3


def _lithuanian(found: list[int]) -> bool:
    """Nine or twelve digits: weights 1 2 3 …, and from 3 on where the first leave ten."""
    if len(found) not in (9, 12) or found[-2] != 1:
        return False
    body = found[:-1]
    check = _sum(body, [1 + place % 9 for place in range(len(body))]) % 11
    if check == 10:
        check = _sum(body, [1 + (place + 2) % 9 for place in range(len(body))]) % 11 % 10
    return check == found[-1]


def _romanian(found: list[int]) -> bool:
    """CUI: up to ten digits, weights 7 5 3 2 1 7 5 3 2 from the right, ten times the sum mod 11."""
    if not 6 <= len(found) <= 10:
        return False
    body = [0] * (10 - len(found)) + found[:-1]
    return 10 * _sum(body, (7, 5, 3, 2, 1, 7, 5, 3, 2)) % 11 % 10 == found[-1]


def _swedish(found: list[int]) -> bool:
    """The organisation number with its Luhn digit, and 01."""
    return len(found) == 12 and found[10:] == [0, 1] and _luhn(10)(found[:10])


def _greek(found: list[int]) -> bool:
    """AFM: powers of two, mod 11 mod 10."""
    return (
        len(found) == 9 and _sum(found[:8], (256, 128, 64, 32, 16, 8, 4, 2)) % 11 % 10 == found[8]
    )


_RULES: Final = MappingProxyType[str, _Rule](
    {
        "BE": _mod_97,
        "BG": _bulgarian,
        "CZ": _czech,
        "DE": _iso(9),
        "DK": _zero(8, (2, 7, 6, 5, 4, 3, 2, 1), 11),
        "EE": _less(9, (3, 7, 1, 3, 7, 1, 3, 7), 10),
        "EL": _greek,
        "FI": _zero(8, (7, 9, 10, 5, 8, 4, 2, 1), 11),
        "FR": _french,
        "GB": _british,
        "HR": _iso(11),
        "HU": _less(8, (9, 7, 3, 1, 9, 7, 3), 10),
        "IT": _luhn(11),
        "LT": _lithuanian,
        "LU": lambda found: len(found) == 8 and _number(found[:6]) % 89 == _number(found[6:]),
        "LV": _latvian,
        "MT": lambda found: len(found) == 8 and _sum(found, (3, 4, 6, 7, 8, 9, 10, 1)) % 37 == 0,
        "PL": _zero(10, (6, 5, 7, 2, 3, 4, 5, 6, 7, -1), 11),
        "PT": _less(9, range(9, 1, -1), 11),
        "RO": _romanian,
        "SE": _swedish,
        "SI": _less(8, range(8, 1, -1), 11),
        "SK": lambda found: len(found) == 10 and _number(found) % 11 == 0,
        "XI": _british,
    }
)
