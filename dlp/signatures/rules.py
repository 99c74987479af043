"""Checksums of identifiers that are no weighted sum, as functions; the inspector computes them.

Each takes the bytes of a match, a word in front of the number included, and names the
source of its rule.
"""

# ruff: noqa: PLR2004 - the numbers are those of the rules

from __future__ import annotations

import re
from typing import Final

from dlp.signatures.weighted import numbers


def digits(value: bytes) -> list[int]:
    """The decimal digits of a value."""
    return [byte - 0x30 for byte in value if 0x30 <= byte <= 0x39]


def alphanumeric(value: bytes) -> bytes:
    """Letters and digits of a value, letters in upper case."""
    return bytes(byte for byte in value if chr(byte).isascii() and chr(byte).isalnum()).upper()


def _luhn(values: list[int]) -> bool:
    total = 0
    for place, digit in enumerate(reversed(values)):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return bool(values) and total % 10 == 0


def _sum(values: list[int], weights: range | tuple[int, ...]) -> int:
    return sum(value * weight for value, weight in zip(values, weights, strict=False))


def track(value: bytes) -> bool:
    """ISO/IEC 7813: the number before the first separator has its Luhn digit, the month is one.

    Track 1 has the name between two `^` and then the expiry as YYMM, track 2 `=` or D before it.
    """
    parts = re.split(rb"[\^=D]", value, maxsplit=1) if b"^" not in value else value.split(b"^")
    expiry = digits(parts[-1])[:4]
    return len(expiry) == 4 and 1 <= expiry[2] * 10 + expiry[3] <= 12 and _luhn(digits(parts[0]))


def mod_11_10(value: bytes) -> bool:
    """ISO/IEC 7064 MOD 11,10 over all digits; Croatian OIB (Zakon o OIB-u), German VAT ids."""
    found = digits(value)
    if not found:
        return False
    product = 10
    for digit in found[:-1]:
        product = ((digit + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == found[-1]


def de_rvnr(value: bytes) -> bool:
    """Versicherungsnummer (VKVV § 4): weights 2 1 2 5 7 1 2 1 2 1 2 1, sums of digits, mod 10.

    The last twelve letters and digits; the letter counts as its two-digit place.
    """
    text = alphanumeric(value)[-12:].decode("ascii")
    match = re.fullmatch(r"(\d{8})([A-Z])(\d{3})", text)
    if not match:
        return False
    body = f"{match[1]}{ord(match[2]) - 64:02}{match[3][:2]}"
    products = (int(a) * b for a, b in zip(body, (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1), strict=True))
    return sum(product // 10 + product % 10 for product in products) % 10 == int(match[3][2])


def de_kvnr(value: bytes) -> bool:
    """Krankenversichertennummer (SGB V § 290): letter as two digits, weights 1 and 2, mod 10."""
    text = alphanumeric(value)[-10:].decode("ascii")
    if not re.fullmatch(r"[A-Z]\d{9}", text):
        return False
    body = f"{ord(text[0]) - 64:02}{text[1:9]}"
    products = (int(digit) * (1 + place % 2) for place, digit in enumerate(body))
    return sum(product // 10 + product % 10 for product in products) % 10 == int(text[9])


def es_cif(value: bytes) -> bool:
    """CIF (Orden EHA/451/2008): Luhn-like control, a digit or a letter by the kind of body."""
    text = alphanumeric(value)[-9:].decode("ascii")
    if not re.fullmatch(r"[A-HJNP-SUVW]\d{7}[0-9A-J]", text):
        return False
    doubled = (int(digit) * 2 for digit in text[1:8:2])
    total = sum(map(int, text[2:8:2])) + sum(one // 10 + one % 10 for one in doubled)
    control = -total % 10
    return text[8] in (str(control), "JABCDEFGHI"[control]) and not (
        (text[0] in "NPQRSW" and text[8].isdigit()) or (text[0] in "ABEH" and text[8].isalpha())
    )


def es_nuss(value: bytes) -> bool:
    """Número de la Seguridad Social: province and number mod 97 are the last two digits.

    A number under ten million is joined to its province without the leading zero.
    """
    text = "".join(map(str, digits(value)))
    if len(text) != 12:
        return False
    body = text[:2] + (text[3:10] if text[2] == "0" else text[2:10])
    return int(body) % 97 == int(text[10:])


_CF_ODD: Final = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22,
                  25, 24, 23)  # fmt: skip


def it_codice_fiscale(value: bytes) -> bool:
    """Codice fiscale (DM 23 dicembre 1976): tables for odd and even places, mod 26 as a letter."""
    found = numbers(value)[-16:]
    if len(found) != 16:
        return False
    places = [number - 10 if number > 9 else number for number in found]
    total = sum(_CF_ODD[one] for one in places[0:15:2]) + sum(places[1:15:2])
    return found[15] == total % 26 + 10


def fr_spi(value: bytes) -> bool:
    """Numéro fiscal (SPI, DGFiP): the first ten digits mod 511 are the last three."""
    text = "".join(map(str, digits(value)))
    return len(text) == 13 and int(text[:10]) % 511 == int(text[10:])


def pt_cc(value: bytes) -> bool:
    """Cartão de Cidadão (IRN): twelve letters and digits, Luhn with letters as 10 to 35."""
    found = numbers(value)[-12:]
    if len(found) != 12:
        return False
    total = 0
    for place, number in enumerate(found):
        doubled = number * 2 if place % 2 == 0 else number
        total += doubled - 9 if place % 2 == 0 and doubled > 9 else doubled
    return total % 10 == 0


def kr_brn(value: bytes) -> bool:
    """Business registration number (Korean NTS): weights 1 3 7 1 3 7 1 3 5 and the last's tens."""
    found = digits(value)
    if len(found) != 10:
        return False
    total = _sum(found, (1, 3, 7, 1, 3, 7, 1, 3, 5)) + found[8] * 5 // 10
    return -total % 10 == found[9]


_BASE_36: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def in_gstin(value: bytes) -> bool:
    """GSTIN (Indian GST Network): Luhn's scheme in base 36 over fifteen letters and digits."""
    found = numbers(value)[-15:]
    if len(found) != 15:
        return False
    total = 0
    for place, number in enumerate(reversed(found)):
        product = number * (1 + place % 2)
        total += product // 36 + product % 36
    return total % 36 == 0


def nz_ird(value: bytes) -> bool:
    """IRD number (Inland Revenue RWT specification): eight or nine digits, two sets of weights."""
    found = digits(value)
    if len(found) == 8:
        found = [0, *found]
    if len(found) != 9:
        return False
    for weights in ((3, 2, 7, 6, 5, 4, 3, 2), (7, 4, 3, 2, 5, 2, 7, 6)):
        check = -_sum(found, weights) % 11
        if check != 10:
            return check == found[8]
    return False


def nz_nhi(value: bytes) -> bool:
    """NHI number (HISO 10046): three letters without I and O, digits, mod 11 or 23.

    The last seven letters and digits: AAANNNC with a digit, AAANNAX with a letter at the end.
    """
    text = alphanumeric(value)[-7:].decode("ascii")
    alphabet = "ABCDEFGHJKLMNPQRSTUVWXYZ"
    if not re.fullmatch(r"[A-HJ-NP-Z]{3}(?:\d{4}|\d{2}[A-HJ-NP-Z]{2})", text):
        return False
    values = [int(one) if one.isdigit() else alphabet.index(one) + 1 for one in text]
    total = _sum(values[:6], range(7, 1, -1))
    if text[6].isdigit():
        return total % 11 != 0 and (11 - total % 11) % 10 == values[6]
    return 23 - total % 23 == values[6]


def br_cnh(value: bytes) -> bool:
    """CNH (Resolução CONTRAN, DENATRAN): two modulus 11 digits, the first lowers the second."""
    found = digits(value)
    if len(found) != 11 or len(set(found)) == 1:
        return False
    first = _sum(found, range(9, 0, -1)) % 11
    second = _sum(found, range(1, 10)) % 11
    if first > 9:
        first, second = 0, second - 2
    if second < 0:
        second += 11
    return found[9:] == [first, 0 if second > 9 else second]


def br_titulo(value: bytes) -> bool:
    """Título de eleitor (TSE, Resolução 21.538): state 01 to 28, two mod 11 digits."""
    found = digits(value)
    if len(found) != 12 or not 1 <= found[8] * 10 + found[9] <= 28:
        return False
    kept = found[8] == 0 and found[9] in (1, 2)  # São Paulo and Minas Gerais have 1 for 0

    def digit(total: int) -> int:
        rest = total % 11
        if rest == 0 and kept:
            return 1
        return 0 if rest == 10 else rest

    first = digit(_sum(found[:8], range(2, 10)))
    return found[10:] == [first, digit(_sum([found[8], found[9], first], (7, 8, 9)))]


_CURP: Final = "0123456789ABCDEFGHIJKLMN&OPQRSTUVWXYZ"  # & stands for Ñ


def mx_curp(value: bytes) -> bool:
    """CURP (Diario Oficial 18-10-2021): weights 18 to 2 over an alphabet with Ñ, mod 10."""
    text = alphanumeric(value)[-18:].decode("ascii")
    if len(text) != 18 or not text[17].isdigit():
        return False
    total = sum(
        _CURP.index(one) * weight for one, weight in zip(text, range(18, 1, -1), strict=False)
    )
    return -total % 10 == int(text[17])


def tr_vkn(value: bytes) -> bool:
    """Vergi kimlik no (Gelir Idaresi Baskanligi): powers of two mod 9 by place."""
    found = digits(value)
    if len(found) != 10:
        return False
    total = 0
    for place, digit in enumerate(found[:9]):
        shifted = (digit + 9 - place) % 10
        power = shifted * 2 ** (9 - place) % 9
        total += 9 if shifted and not power else power
    return -total % 10 == found[9]


def cl_rut(value: bytes) -> bool:
    """RUT (Servicio de Impuestos Internos of Chile): modulus 11, K for ten."""
    text = alphanumeric(value).removeprefix(b"RUT").decode("ascii")
    if not re.fullmatch(r"\d{7,8}[0-9K]", text):
        return False
    total = sum(int(digit) * (2 + place % 6) for place, digit in enumerate(reversed(text[:-1])))
    return "0123456789K0"[11 - total % 11] == text[-1]


def baltic(value: bytes) -> bool:
    """Isikukood and asmens kodas (RT I 2008; Lithuanian law I-1570): two rounds of mod 11."""
    found = digits(value)
    if len(found) != 11:
        return False
    for weights in ((1, 2, 3, 4, 5, 6, 7, 8, 9, 1), (3, 4, 5, 6, 7, 8, 9, 1, 2, 3)):
        check = _sum(found, weights) % 11
        if check < 10:
            return check == found[10]
    return found[10] == 0


# ISO 3166-1, parted by spaces, and XK.
_COUNTRIES: Final = (
    "AD AE AF AG AI AL AM AO AR AT AU AW AZ BA BB BD BE BF BG BH BI BJ BM BN BO BR BS BT BW "
    "BY BZ CA CD CF CG CH CI CL CM CN CO CR CU CV CW CY CZ DE DJ DK DM DO DZ EC EE EG ES ET "
    "FI FJ FO FR GA GB GD GE GG GH GI GL GM GN GQ GR GT GY HK HN HR HT HU ID IE IL IM IN IQ "
    "IR IS IT JE JM JO JP KE KG KH KM KN KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC "
    "MD ME MG MK ML MM MN MO MR MT MU MV MW MX MY MZ NA NC NE NG NI NL NO NP NZ OM PA PE PF "
    "PG PH PK PL PR PS PT PY QA RO RS RU RW SA SB SC SD SE SG SI SK SL SM SN SO SR ST SV SY "
    "SZ TC TD TG TH TJ TL TM TN TO TR TT TW TZ UA UG US UY UZ VA VC VE VG VN VU WS XK YE ZA "
    "ZM ZW"
)


def bic(value: bytes) -> bool:
    """ISO 9362: the fifth and sixth letter of the last eight or eleven are an ISO 3166 country."""
    code = re.split(rb"[^0-9A-Za-z]", value)[-1].upper().decode("ascii", "replace")
    return len(code) in (8, 11) and code[:6].isalpha() and code[4:6] in _COUNTRIES


def iban_word(value: bytes) -> bool:
    """ISO 13616 behind the word IBAN: first four to the end, letters as 10 to 35, mod 97 is 1."""
    text = alphanumeric(value).decode("ascii").removeprefix("IBAN")
    if not 15 <= len(text) <= 34:
        return False
    return int("".join(str(int(one, 36)) for one in text[4:] + text[:4])) % 97 == 1
