"""The model's checks of identifiers behind words and of those with digits of more than one kind.

Written from the authorities' papers in the terms they use, and without a look at the product's
tables. A check is given the last letters and digits of the value, as many as the number has.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable

ALPHABET = string.digits + string.ascii_uppercase
Numbers = list[int]


def luhn(numbers: Iterable[int]) -> bool:
    doubled = (n * 2 if place % 2 else n for place, n in enumerate(reversed(list(numbers))))
    return sum(n // 10 + n % 10 for n in doubled) % 10 == 0


def weighed(weights: str, numbers: Numbers) -> int:
    return sum(int(w) * n for w, n in zip(weights.split(), numbers, strict=False))


def from_eleven(total: int) -> int:
    """11 less the remainder of a division by 11; 0 for what would have two digits."""
    left = 11 - total % 11
    return 0 if left > 9 else left


def integer(numbers: Numbers) -> int:
    return int("".join(map(str, numbers)))


def prefixed(length: int, right: Callable[[int], bool]) -> Callable[[Numbers], bool]:
    return lambda n: len(n) == length and luhn(n) and right(integer(n[:4]))


def cpf(n: Numbers) -> bool:
    first = from_eleven(sum((10 - i) * n[i] for i in range(9)))
    second = from_eleven(sum((11 - i) * n[i] for i in range(10)))
    return n[9:] == [first, second]


def cnpj(n: Numbers) -> bool:
    def digit(body: Numbers) -> int:
        return from_eleven(sum(d * (2 + i % 8) for i, d in enumerate(reversed(body))))

    return n[12:] == [digit(n[:12]), digit(n[:13])]


def kimlik(n: Numbers) -> bool:
    return n[9] == (7 * sum(n[0:9:2]) - sum(n[1:8:2])) % 10 and n[10] == sum(n[:10]) % 10


def fodselsnummer(n: Numbers) -> bool:
    first = (11 - weighed("3 7 6 1 8 9 4 5 2", n) % 11) % 11
    second = (11 - weighed("5 4 3 2 7 6 5 4 3 2", n) % 11) % 11
    return n[9:] == [first, second]


def hetu(n: Numbers) -> bool:
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[integer(n[:9]) % 31] == ALPHABET[n[9]]


def singapore(letters: str, other: str) -> Callable[[Numbers], bool]:
    def check(n: Numbers) -> bool:
        total = weighed("2 7 6 5 4 3 2", n[1:8]) + (4 if ALPHABET[n[0]] == other else 0)
        return letters[total % 11] == ALPHABET[n[8]]

    return check


def registered(weights: str, letters: str) -> Callable[[Numbers], bool]:
    """The letter behind digits of Singapore's register, by the remainder of a division by 11."""
    count = len(weights.split())
    return lambda n: letters[weighed(weights, n[:count]) % 11] == ALPHABET[n[count]]


def pps(n: Numbers) -> bool:
    total = sum((8 - i) * n[i] for i in range(7))
    if len(n) == 9:
        total += 9 * (string.ascii_uppercase.index(ALPHABET[n[8]]) + 1)
    # W is nought, and as the twenty-third letter no remainder has it.
    return "WABCDEFGHIJKLMNOPQRSTUV"[total % 23] == ALPHABET[n[7]]


def national_be(n: Numbers) -> bool:
    body, check = integer(n[:9]), integer(n[9:])
    return check in (97 - body % 97, 97 - (2_000_000_000 + body) % 97) or (
        check in (0, 97, 98, 99)
        and ((body + check) % 97 == 0 or (2 * 10**9 + body + check) % 97 == 0)
    )


def resident_cn(n: Numbers) -> bool:
    total = sum(d * pow(2, 17 - i, 11) for i, d in enumerate(n[:17]))
    return "10X98765432"[total % 11] == ALPHABET[n[17]]


def routing(n: Numbers) -> bool:
    head = n[0] * 10 + n[1]
    known = head <= 12 or 21 <= head <= 32 or 61 <= head <= 72 or head == 80
    total = 3 * (n[0] + n[3] + n[6]) + 7 * (n[1] + n[4] + n[7]) + n[2] + n[5] + n[8]
    return known and total % 10 == 0


def dea(n: Numbers) -> bool:
    d = n[2:]
    return (d[0] + d[2] + d[4] + 2 * (d[1] + d[3] + d[5])) % 10 == d[6]


def icao(n: Numbers) -> bool:
    return sum(c * (7, 3, 1)[i % 3] for i, c in enumerate(n[:9])) % 10 == n[9]


def nip(n: Numbers) -> bool:
    return weighed("6 5 7 2 3 4 5 6 7", n) % 11 == n[9]


def regon(n: Numbers) -> bool:
    return weighed("8 9 2 3 4 5 6 7", n) % 11 % 10 == n[8]


def dowod(n: Numbers) -> bool:
    return weighed("7 3 1 0 7 3 1 7 3", n) % 10 == n[3]


def svnr(n: Numbers) -> bool:
    return weighed("3 7 9 0 5 8 4 2 1 6", n) % 11 == n[3]


def niss(n: Numbers) -> bool:
    return 9 - weighed("29 23 19 17 13 11 7 5 3 2", n) % 10 == n[10]


def mod_11(weights: str) -> Callable[[Numbers], bool]:
    return lambda n: weighed(weights, n) % 11 == 0


def nhs(n: Numbers) -> bool:
    return (11 - weighed("10 9 8 7 6 5 4 3 2", n) % 11) % 11 == n[9]


def abn(n: Numbers) -> bool:
    return weighed("10 1 3 5 7 9 11 13 15 17 19", [n[0] - 1, *n[1:]]) % 89 == 0


def clabe(n: Numbers) -> bool:
    return sum(d * (3, 7, 1)[i % 3] % 10 for i, d in enumerate(n[:17])) % 10 == -n[17] % 10


def corporate_jp(n: Numbers) -> bool:
    total = sum(d * (1 + i % 2) for i, d in enumerate(reversed(n[1:])))
    return n[0] == 9 - total % 9


def last_of_eleven(weights: str, at: int) -> Callable[[Numbers], bool]:
    """The last digit of 11 less the remainder."""
    return lambda n: (11 - weighed(weights, n[:at]) % 11) % 10 == n[at]


def rest_of_eleven(weights: str, at: int, ten: int) -> Callable[[Numbers], bool]:
    """The remainder itself, or `ten` for ten."""

    def check(n: Numbers) -> bool:
        left = weighed(weights, n[:at]) % 11
        return (ten if left == 10 else left) == n[at]

    return check


def filled(weights: str, at: int) -> Callable[[Numbers], bool]:
    return lambda n: from_eleven(weighed(weights, n[:at])) == n[at]


CUIT = "012345678990"
UTR = "21987654321"

# Name: how many letters and digits its number has, and its rule.
RULES: dict[str, tuple[int, Callable[[Numbers], bool]]] = {
    "mastercard": (16, prefixed(16, lambda p: 5100 <= p <= 5599 or 2220 <= p <= 2720)),
    "discover": (16, prefixed(16, lambda p: p == 6011 or 6440 <= p <= 6599)),
    "jcb": (16, prefixed(16, lambda p: 3528 <= p <= 3589)),
    "diners": (14, prefixed(14, lambda p: 3000 <= p <= 3059 or p // 100 in (36, 38, 39))),
    "rupay": (
        16,
        prefixed(
            16,
            lambda p: p == 6069 or p // 10 in (508, 607, 608, 652, 653, 817, 818, 819, 820),
        ),
    ),
    "verve": (16, prefixed(16, lambda p: p in (5060, 5061, 5078, 5079))),
    "us_aba": (9, routing),
    "npi": (10, lambda n: luhn([8, 0, 8, 4, 0, *n])),
    "ie_pps": (8, pps),
    "ie_pps_9": (9, pps),
    "nl_bsn": (9, lambda n: (weighed("9 8 7 6 5 4 3 2", n) - n[8]) % 11 == 0),
    "be_nn": (11, national_be),
    "se_pnr_12": (12, lambda n: luhn(n[2:])),
    "fi_hetu": (10, hetu),
    "no_fnr": (11, fodselsnummer),
    "ch_ahv": (13, lambda n: (sum(n[0::2]) + 3 * sum(n[1::2])) % 10 == 0),
    "ch_uid": (9, mod_11("5 4 3 2 7 6 5 4 1")),
    "cz_rc": (10, lambda n: integer(n[:9]) % 11 % 10 == n[9]),
    "kr_rrn": (13, last_of_eleven("2 3 4 5 6 7 8 9 2 3 4 5", 12)),
    "sg_nric": (9, singapore("JZIHGFEDCBA", "T")),
    "sg_fin": (9, singapore("XWUTRQPNMLK", "G")),
    "br_cpf": (11, cpf),
    "br_cnpj": (14, cnpj),
    "tr_tckn": (11, kimlik),
    "cn_id": (18, resident_cn),
    "uatp": (15, luhn),
    "uzcard": (16, luhn),
    "humo": (16, luhn),
    "imei": (15, luhn),
    "dea": (9, dea),
    "uk_utr": (10, lambda n: UTR[weighed("6 7 8 9 10 5 4 3 2", n[1:]) % 11] == str(n[0])),
    "uk_chi": (10, nhs),
    "de_ausweis": (10, icao),
    "de_pass": (10, icao),
    "pl_nip": (10, nip),
    "pl_regon": (9, regon),
    "pl_dowod": (9, dowod),
    "pt_nif": (9, filled("9 8 7 6 5 4 3 2", 8)),
    "pt_niss": (11, niss),
    "it_iva": (11, luhn),
    "se_orgnr": (10, luhn),
    "dk_cvr": (8, mod_11("2 7 6 5 4 3 2 1")),
    "fi_ytunnus": (8, mod_11("7 9 10 5 8 4 2 1")),
    "no_orgnr": (9, mod_11("3 2 7 6 5 4 3 2 1")),
    "no_konto": (11, mod_11("5 4 3 2 7 6 5 4 3 2 1")),
    "at_svnr": (10, svnr),
    "gr_amka": (11, luhn),
    "gr_afm": (9, lambda n: weighed("256 128 64 32 16 8 4 2", n) % 11 % 10 == n[8]),
    "cz_ico": (8, last_of_eleven("8 7 6 5 4 3 2", 7)),
    "au_tfn": (9, mod_11("1 4 3 7 5 8 6 9 10")),
    "au_abn": (11, abn),
    "au_acn": (9, lambda n: -weighed("8 7 6 5 4 3 2 1", n) % 10 == n[8]),
    "au_medicare": (10, lambda n: weighed("1 3 7 9 1 3 7 9", n) % 10 == n[8]),
    "br_pis": (11, filled("3 2 9 8 7 6 5 4 3 2", 10)),
    "br_cns": (15, lambda n: sum(d * (15 - i) for i, d in enumerate(n)) % 11 == 0),
    "mx_clabe": (18, clabe),
    "mx_nss": (11, luhn),
    "il_id": (9, luhn),
    "in_epic": (7, luhn),
    "jp_mynumber": (12, filled("6 5 4 3 2 7 6 5 4 3 2", 11)),
    "jp_corporate": (13, corporate_jp),
    "fr_siret": (14, luhn),
    "fr_siren": (9, luhn),
    "ca_bn": (9, luhn),
    "za_tax": (10, luhn),
    "sg_business": (9, registered("10 4 9 3 8 2 7 1", "XMKECAWLJDB")),
    "sg_company": (10, registered("10 8 6 4 9 7 5 3 1", "ZKCMDNERGWH")),
    "ro_cnp": (13, rest_of_eleven("2 7 9 1 4 6 3 5 8 2 7 9", 12, 1)),
    "bg_egn": (10, rest_of_eleven("2 4 8 5 10 9 7 3 6", 9, 0)),
    "ar_cuit": (
        11,
        lambda n: CUIT[11 - weighed("5 4 3 2 7 6 5 4 3 2", n) % 11] == str(n[10]),
    ),
    "th_id": (13, last_of_eleven("13 12 11 10 9 8 7 6 5 4 3 2", 12)),
}


def _check(length: int, rule: Callable[[Numbers], bool]) -> Callable[[bytes], bool]:
    def check(value: bytes) -> bool:
        text = "".join(chr(byte) for byte in value if chr(byte).isalnum() and byte < 128).upper()
        numbers = [ALPHABET.index(one) for one in text[-length:]]
        return len(numbers) == length and rule(numbers)

    return check


def _finnish(value: bytes) -> bool:
    """Of a code with a letter for the century the letter is passed over."""
    text = "".join(chr(byte) for byte in value if chr(byte).isalnum() and byte < 128).upper()
    return hetu([ALPHABET.index(one) for one in text[-11:-5] + text[-4:]])


CHECKS: dict[str, Callable[[bytes], bool]] = {
    **{name: _check(*rule) for name, rule in RULES.items()},
    **{f"{name}_word": _check(*rule) for name, rule in RULES.items()},
    "fi_hetu_word": _finnish,
}
