"""Checksums that are no weighted sum, against python-stdnum and published numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import iban as std_iban

from dlp.signatures import rules
from dlp.signatures.sums import SUMS
from dlp.signatures.validators import VALIDATORS
from tests.signatures.oracles import ORACLES, Oracle

PUBLISHED = {
    "track": ("%B4111111111111111^DOE/J^2512101", "%B4111111111111112^DOE/J^2512101"),
    "de_rvnr": ("65 180539 W 001", "65 180539 W 002"),
    "de_kvnr": ("A123456780", "A123456781"),
    "es_nuss": ("28 12345678 40", "28 12345678 41"),
    "nz_nhi": ("ZAC5361", "ZAC5362"),
    "br_cnh": ("02650306461", "02650306462"),
    "br_titulo": ("1066 4444 0302", "1066 4444 0303"),
    "kr_brn": ("220-81-62517", "220-81-62518"),
    "bic": ("DEUTDEFF500", "DEUTXXFF500"),
}


@pytest.mark.parametrize(
    "oracle",
    [one for one in ORACLES if one.validator not in SUMS],
    ids=lambda one: f"{one.validator}-{one.shape}",
)
def test_agrees_with_stdnum(oracle: Oracle):
    """Right and wrong check digits are told apart as python-stdnum does."""
    found = {True: 0, False: 0}
    for value in oracle.values(40):
        mine = VALIDATORS[oracle.validator](value.encode())
        theirs = oracle.valid(value)
        found[theirs] += 1
        assert mine or not theirs
        assert theirs or oracle.strict or not mine

    assert min(found.values()) > 0


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_number(name):
    """The number that the authority gives holds, its neighbour does not."""
    right, wrong = PUBLISHED[name]

    assert VALIDATORS[name](right.encode())
    assert not VALIDATORS[name](wrong.encode())


def test_every_function_is_tried():
    """Each function is compared with an oracle, has an example, or a test of its own."""
    own = {
        "base58check",
        "base58check_ripple",
        "bech32",
        "bip39",
        "iban_word",
        "eu_vat",
        "luhn",
        "iban",
        "us_ssn",
        "nhs",
        "de_tax",
        "es_dni",
        "fr_nir",
    }

    assert set(VALIDATORS) - set(SUMS) <= {one.validator for one in ORACLES} | set(PUBLISHED) | own


def test_new_nhi():
    """The form of 2026 ends in a letter, by modulus 23."""
    assert rules.nz_nhi(b"NHI: ZBN77VL")
    assert not rules.nz_nhi(b"NHI: ZBN77VK")


def test_track():
    """Track 2 has = or D before the expiry, whose month must be one."""
    assert rules.track(b";4111111111111111=2512101")
    assert rules.track(b"4111111111111111D2512101")
    assert not rules.track(b";4111111111111111=2513101")
    assert not rules.track(b";4111111111111112=2512101")


@given(st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=11, max_size=30))
def test_iban_word(account):
    """Check digits that python-stdnum computes are taken behind the word, others are not."""
    check = std_iban.calc_check_digits("RO00" + account)

    assert rules.iban_word(f"IBAN: RO{check}{account}".encode())
    assert not rules.iban_word(f"IBAN: RO{(int(check) + 1) % 100:02}{account}".encode())
