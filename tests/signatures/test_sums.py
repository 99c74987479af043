"""Weighted sums of identifiers against python-stdnum, and numbers that authorities publish."""

import itertools

import pytest

from dlp.signatures.sums import SUMS, behind, luhn, prefix, told
from dlp.signatures.validators import VALIDATORS
from dlp.signatures.weighted import ANY, numbers
from tests.signatures.oracles import ORACLES, Oracle

# Of rules that python-stdnum does not know: examples of the authorities' own papers.
PUBLISHED = {
    "dea_word": "DEA AB1234563",
    "npi": "1234567893",
    "npi_word": "NPI: 1234567893",
    "au_medicare_word": "Medicare 2123 45670 1",
    "mx_clabe_word": "CLABE 032180000118359719",
    "mx_nss_word": "NSS 92919084431",
    "sg_nric": "S1234567D",
    "sg_fin": "F1234567N",
    "pl_dowod_word": "dowod ABA300000",
    "de_ausweis_word": "Personalausweis T220001293",
    "de_pass_word": "Reisepass C01X00T478",
    "br_pis_word": "PIS 170.33259.50-4",
    "br_cns_word": "CNS 898 0011 6066 0761",
    "uatp_word": "UATP 1354 10014 004955",
    "fi_hetu_word": "hetu 131052A308T",
    "za_tax_word": "tax number 0001339050",
}


@pytest.mark.parametrize(
    "oracle", [one for one in ORACLES if one.validator in SUMS], ids=lambda one: one.validator
)
def test_agrees_with_stdnum(oracle: Oracle):
    """Right and wrong check digits are told apart as python-stdnum does."""
    found = {True: 0, False: 0}
    for value in oracle.values(40):
        mine = VALIDATORS[oracle.validator](f"{oracle.word} {value}".encode())
        theirs = oracle.valid(value)
        found[theirs] += 1
        assert mine or not theirs
        assert theirs or oracle.strict or not mine

    assert min(found.values()) > 0


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_number(name):
    """The number that the authority gives holds; with one digit changed it does not."""
    text = PUBLISHED[name]
    places = [place for place, one in enumerate(text) if one.isdigit()]

    assert VALIDATORS[name](text.encode())
    changed = [f"{text[:p]}{(int(text[p]) + 1) % 10}{text[p + 1 :]}" for p in places]
    kept = sum(VALIDATORS[name](one.encode()) for one in changed)
    # The digit of a Medicare card's holder is no part of its sum; one weight of a CNS is 11.
    assert (1 if name in ("au_medicare_word", "br_cns_word") else 0) == kept


def test_every_sum_is_tried():
    """Each name is compared with an oracle or has an example, alone or behind its word."""
    tried = {one.validator for one in ORACLES} | set(PUBLISHED)
    cards = {"mastercard", "discover", "jcb", "diners", "rupay", "verve"}
    luhns = {"ca_bn_word", "uatp_word", "uzcard_word", "humo_word", "imei_word"}
    twins = {name for name in SUMS if name.removesuffix("_word") in tried}
    no_oracle = {"pt_niss_word"}

    assert set(SUMS) <= tried | cards | luhns | twins | no_oracle


def test_portuguese_niss():
    """Weights are the primes from 29 down, and the check digit is 9 less the sum."""
    body = [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    total = sum(d * p for d, p in zip(body, (29, 23, 19, 17, 13, 11, 7, 5, 3, 2), strict=True))
    right = 9 - total % 10

    valid = [d for d in range(10) if VALIDATORS["pt_niss_word"](f"niss 1234567890{d}".encode())]
    assert [right] == valid


CARDS = {
    # the first digits that the expression lets through, and what the scheme's ranges are
    "mastercard": (("25", "1234567", "0123456789", "0123456789"),
                   lambda p: 5100 <= p <= 5599 or 2220 <= p <= 2720),
    "discover": (("6", "045", "0123456789", "0123456789"),
                 lambda p: p == 6011 or 6440 <= p <= 6599),
    "jcb": (("3", "5", "2345678", "0123456789"), lambda p: 3528 <= p <= 3589),
    "diners": (("3", "0689", "0123456789", "0123456789"),
               lambda p: 3000 <= p <= 3059 or p // 100 in (36, 38, 39)),
    "rupay": (("568", "0125", "0123456789", "0123456789"),
              lambda p: p // 10 in (508, 607, 608, 652, 653, 817, 818, 819, 820)
              or p == 6069),
    "verve": (("5", "0", "67", "0189"), lambda p: p in (5060, 5061, 5078, 5079)),
}  # fmt: skip


@pytest.mark.parametrize("brand", CARDS)
def test_prefixes(brand):
    """Of all first four digits that the expression lets through those in the ranges hold."""
    classes, right = CARDS[brand]
    body = "0000000000" if brand != "diners" else "00000000"
    for first in map("".join, itertools.product(*classes)):
        valid = [VALIDATORS[brand](f"{first}{body}0{check}".encode()) for check in range(10)]
        assert (1 if right(int(first)) else 0) == sum(valid), first


def test_behind_a_word():
    """Letters before the number do not count, and the told position moves with it."""
    total = told((1, 1, 0), 10, range(10), 2)

    assert total.holds(numbers(b"358"))
    assert behind(3, total).holds(numbers(b"nif: 358"))
    assert not behind(3, total).holds(numbers(b"nif: 357"))
    assert behind(2, luhn(2)).holds(numbers(b"ab 18"))


def test_prefix_tells():
    """A remainder may ask for one more digit."""
    total = prefix(4, (1,), {2}, {3: 7}, 1)

    assert ANY == total.expected[2]
    assert (True, True, False) == tuple(
        total.holds(numbers(v)) for v in (b"2999", b"3799", b"3899")
    )
