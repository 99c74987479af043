"""Validators: what a regular expression cannot say about a number.

Each takes the bytes of a match and says whether its checksum holds; separators are
passed over. Those of enum Check are computed by the kernel too, in exactly the same
way: a rule added here must be added there. Those of SUMS are data, which the kernel reads;
all others are decided by the inspector.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from dlp.signatures import rules, vat
from dlp.signatures.base58 import base58check, base58check_ripple
from dlp.signatures.bech32 import bech32
from dlp.signatures.image import Check
from dlp.signatures.mnemonic import bip39
from dlp.signatures.rules import alphanumeric, digits
from dlp.signatures.sums import SUMS
from dlp.signatures.weighted import Weighted, numbers

__all__ = [
    "SUMS",
    "VALIDATORS",
    "Validator",
    "alphanumeric",
    "digits",
    "dihedral",
    "kernel_check",
    "verhoeff_place",
]

Validator = Callable[[bytes], bool]

SHORTEST_IBAN: Final = 15
LONGEST_IBAN: Final = 34
_DNI_LETTERS: Final = b"TRWAGMYFPDXBNJZSQVHLCKE"


def luhn(value: bytes) -> bool:
    """ISO/IEC 7812-1 annex B over all digits of the value."""
    total = 0
    numbers = digits(value)
    for place, digit in enumerate(reversed(numbers)):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled  # noqa: PLR2004 - digit sum
    return bool(numbers) and total % 10 == 0


def iban(value: bytes) -> bool:
    """ISO 13616: first four to the end, letters as 10..35, the number mod 97 is 1.

    15 to 34 letters and digits; country and its length are the expression's business.
    """
    text = alphanumeric(value)
    number = 0
    for character in (text[4:] + text[:4]).decode("ascii"):
        weight = int(character, 36)
        number = (number * (100 if weight > 9 else 10) + weight) % 97  # noqa: PLR2004 - digits
    return SHORTEST_IBAN <= len(text) <= LONGEST_IBAN and number == 1


def us_ssn(value: bytes) -> bool:
    """SSA ranges since 2011: area not 000, 666 or 9xx, group not 00, serial not 0000."""
    numbers = digits(value)
    if len(numbers) != 9:  # noqa: PLR2004 - of a social security number
        return False
    area, group, serial = numbers[:3], numbers[3:5], numbers[5:]
    return area not in ([0, 0, 0], [6, 6, 6]) and area[0] != 9 and any(group) and any(serial)  # noqa: PLR2004


def nhs(value: bytes) -> bool:
    """NHS number: weights 10 to 2, 11 less the sum mod 11; 11 stands for 0, 10 is invalid."""
    numbers = digits(value)
    if len(numbers) != 10:  # noqa: PLR2004 - of an NHS number
        return False
    total = sum(weight * digit for weight, digit in zip(range(10, 1, -1), numbers, strict=False))
    return (11 - total % 11) % 11 == numbers[9]


def de_tax(value: bytes) -> bool:
    """German tax id: 11 digits, the first not 0, ISO 7064 MOD 11,10.

    The rule on repeated digits is left out on purpose: it changed in 2016, and the
    kernel does not compute it.
    """
    numbers = digits(value)
    if len(numbers) != 11 or numbers[0] == 0:  # noqa: PLR2004 - of a tax id
        return False
    product = 10
    for digit in numbers[:10]:
        total = (digit + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == numbers[10]


def es_dni(value: bytes) -> bool:
    """DNI and NIE: 8 digits mod 23 name the letter; X, Y, Z in front stand for 0, 1, 2."""
    text = alphanumeric(value)
    if len(text) != 9:  # noqa: PLR2004 - of a DNI
        return False
    body = text[:1].translate(bytes.maketrans(b"XYZ", b"012")) + text[1:8]
    return body.isdigit() and _DNI_LETTERS[int(body) % 23] == text[8]


def fr_nir(value: bytes) -> bool:
    """NIR: 97 less the first 13 digits mod 97 is the key; Corsica's 2A, 2B count as 19, 18."""
    text = alphanumeric(value)
    if len(text) != 15:  # noqa: PLR2004 - with its key
        return False
    department = {b"2A": b"19", b"2B": b"18"}.get(text[5:7], text[5:7])
    body, key = text[:5] + department + text[7:13], text[13:]
    return body.isdigit() and key.isdigit() and 97 - int(body) % 97 == int(key)


# Verhoeff 1969: the group of a pentagon's turns (0 to 4) and flips (5 to 9), and the
# permutation of the first place, of which that of place n is the n-th power.
_TURN: Final = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def dihedral(one: int, other: int) -> int:
    """The product of two elements of the dihedral group of ten."""
    if one < 5:  # noqa: PLR2004 - a turn
        return (one + other) % 5 + (0 if other < 5 else 5)  # noqa: PLR2004
    return (one - other) % 5 + (5 if other < 5 else 0)  # noqa: PLR2004


def verhoeff_place(place: int, digit: int) -> int:
    """What a digit counts as, `place` places from the right."""
    for _ in range(place % 8):
        digit = _TURN[digit]
    return digit


def verhoeff(value: bytes) -> bool:
    """Verhoeff's check over all digits, as of an Aadhaar: their product is 0."""
    product, given = 0, digits(value)
    for place, digit in enumerate(reversed(given)):
        product = dihedral(product, verhoeff_place(place, digit))
    return bool(given) and product == 0


def _summed(sums: tuple[Weighted, ...]) -> Validator:
    return lambda value: all(each.holds(numbers(value)) for each in sums)


VALIDATORS: Final = MappingProxyType[str, Validator](
    {
        "luhn": luhn,
        "iban": iban,
        "us_ssn": us_ssn,
        "nhs": nhs,
        "de_tax": de_tax,
        "es_dni": es_dni,
        "fr_nir": fr_nir,
        "verhoeff": verhoeff,
        "track": rules.track,
        "mod_11_10": rules.mod_11_10,
        "de_rvnr": rules.de_rvnr,
        "de_kvnr": rules.de_kvnr,
        "es_cif": rules.es_cif,
        "es_nuss": rules.es_nuss,
        "it_codice_fiscale": rules.it_codice_fiscale,
        "fr_spi": rules.fr_spi,
        "pt_cc": rules.pt_cc,
        "kr_brn": rules.kr_brn,
        "in_gstin": rules.in_gstin,
        "nz_ird": rules.nz_ird,
        "nz_nhi": rules.nz_nhi,
        "br_cnh": rules.br_cnh,
        "br_titulo": rules.br_titulo,
        "mx_curp": rules.mx_curp,
        "tr_vkn": rules.tr_vkn,
        "cl_rut": rules.cl_rut,
        "baltic": rules.baltic,
        "bic": rules.bic,
        "iban_word": rules.iban_word,
        "eu_vat": vat.eu_vat,
        **{name: _summed(sums) for name, sums in SUMS.items()},
        "base58check": base58check,
        "base58check_ripple": base58check_ripple,
        "bech32": bech32,
        "bip39": bip39,
    }
)


def kernel_check(validator: str) -> Check:
    """The kernel's number for a validator; NONE where the kernel lacks it."""
    if validator in SUMS:
        return Check.WEIGHTED
    if validator == Check.WEIGHTED.name.lower():
        return Check.NONE  # no name of a validator
    return Check.__members__.get(validator.upper(), Check.NONE)
