"""Checksums of the model, written from the standards and without a look at the product's.

Each takes the matched bytes as they stand, separators included.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.oracle import identifiers

Check = Callable[[bytes], bool]


def digits(value: bytes) -> list[int]:
    return [byte - 48 for byte in value if 48 <= byte <= 57]


def alphanumerics(value: bytes) -> str:
    return "".join(chr(byte) for byte in value if chr(byte).isalnum() and byte < 128).upper()


def luhn(value: bytes) -> bool:
    """ISO/IEC 7812-1, annex B, over all digits."""
    total = 0
    for position, digit in enumerate(reversed(digits(value))):
        doubled = digit * 2 if position % 2 else digit
        total += doubled // 10 + doubled % 10
    return total % 10 == 0


def iban(value: bytes) -> bool:
    """ISO 13616: four characters to the back, letters as two digits, remainder of 97 is 1."""
    text = alphanumerics(value)
    text = text[4:] + text[:4]
    return int("".join(str(int(character, 36)) for character in text)) % 97 == 1


def us_ssn(value: bytes) -> bool:
    """What the Social Security Administration never issues does not count."""
    number = "".join(map(str, digits(value)))
    area, group, serial = number[:3], number[3:5], number[5:9]
    return area not in {"000", "666"} and area < "900" and group != "00" and serial != "0000"


def nhs(value: bytes) -> bool:
    """NHS Data Dictionary: weights 10 to 2, 11 less the remainder, 11 reads 0, 10 is invalid."""
    number = digits(value)
    check = 11 - sum(digit * (10 - index) for index, digit in enumerate(number[:9])) % 11
    return check != 10 and check % 11 == number[9]


def de_tax(value: bytes) -> bool:
    """ISO/IEC 7064, MOD 11,10, over eleven digits."""
    number = digits(value)
    product = 10
    for digit in number[:10]:
        total = (digit + product) % 10
        product = (total or 10) * 2 % 11
    return (11 - product) % 10 == number[10]


def es_dni(value: bytes) -> bool:
    """Eight digits modulo 23 name the letter; the X, Y, Z of a NIE stand for 0, 1, 2."""
    text = alphanumerics(value)
    if text[0] in "XYZ":
        text = str("XYZ".index(text[0])) + text[1:]
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(text[:-1]) % 23] == text[-1]


def fr_nir(value: bytes) -> bool:
    """97 less the first thirteen modulo 97; Corsica's 2A counts as 19 and 2B as 18."""
    text = alphanumerics(value)
    department = {"2A": "19", "2B": "18"}.get(text[5:7], text[5:7])
    number = text[:5] + department + text[7:13]
    return number.isdigit() and 97 - int(number) % 97 == int(text[13:15])


def pl_pesel(value: bytes) -> bool:
    """Weights 1, 3, 7, 9 over the first ten digits; the eleventh fills the sum up to tens."""
    *number, check = digits(value)
    return (sum(d * w for d, w in zip(number, (1, 3, 7, 9) * 3, strict=False)) + check) % 10 == 0


# Verhoeff 1969: the multiplication table, and the permutation of the second place.
_DIHEDRAL = (
    *("0123456789", "1234067895", "2340178956", "3401289567", "4012395678"),
    *("5987604321", "6598710432", "7659821043", "8765932104", "9876543210"),
)
_SECOND = "1576283094"


def verhoeff(value: bytes) -> bool:
    """Aadhaar and others: digits from the right, each permuted by its place, multiplied to 0."""
    product = "0"
    for place, digit in enumerate(str(d) for d in reversed(digits(value))):
        for _ in range(place % 8):
            digit = _SECOND[int(digit)]  # noqa: PLW2901  (its image)
        product = _DIHEDRAL[int(product)][int(digit)]
    return product == "0"


def none(_value: bytes) -> bool:
    return True


CHECKS: dict[str, Check] = {
    "": none,
    "none": none,
    "luhn": luhn,
    "iban": iban,
    "us_ssn": us_ssn,
    "nhs": nhs,
    "de_tax": de_tax,
    "es_dni": es_dni,
    "fr_nir": fr_nir,
    "pl_pesel": pl_pesel,
    "verhoeff": verhoeff,
    **identifiers.CHECKS,
}
