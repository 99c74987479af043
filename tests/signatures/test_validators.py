import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn as std_luhn
from stdnum import verhoeff as std_verhoeff
from stdnum.de import idnr
from stdnum.es import dni, nie
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.iso7064 import mod_11_10, mod_97_10
from stdnum.pl import pesel
from stdnum.us import ssn

from dlp.signatures.image import Check
from dlp.signatures.validators import SUMS, VALIDATORS, kernel_check


def numbers(length: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=length, max_size=length)


@given(st.integers(1, 24).flatmap(numbers))
def test_luhn(text):
    """Luhn agrees with python-stdnum."""
    assert std_luhn.is_valid(text) == VALIDATORS["luhn"](text.encode())


@given(numbers(9))
def test_us_ssn(text):
    """SSN ranges agree with python-stdnum, but for numbers it lists as misused."""
    mine = VALIDATORS["us_ssn"](text.encode())

    assert not (ssn.is_valid(text) and not mine)
    assert not mine or ssn.is_valid(text) or text in ("078051120", "457555462", "219099999")


@given(numbers(10))
def test_nhs(text):
    """NHS numbers agree with python-stdnum."""
    assert nhs.is_valid(text) == VALIDATORS["nhs"](text.encode())


@given(numbers(11))
def test_de_tax(text):
    """German tax ids agree with ISO 7064 and the rule on the first digit."""
    expected = mod_11_10.is_valid(text) and text[0] != "0"

    assert expected == VALIDATORS["de_tax"](text.encode())
    assert not idnr.is_valid(text) or expected


@given(numbers(8), st.sampled_from("TRWAGMYFPDXBNJZSQVHLCKE"))
def test_es_dni(text, letter):
    """DNI and NIE agree with python-stdnum."""
    assert dni.is_valid(text + letter) == VALIDATORS["es_dni"]((text + letter).encode())
    foreign = "XYZ"[int(text[0]) % 3] + text[1:] + letter
    assert nie.is_valid(foreign) == VALIDATORS["es_dni"](foreign.encode())


@given(st.sampled_from("12"), numbers(4), st.sampled_from(["2A", "2B", "75", "01"]), numbers(6))
def test_fr_nir(sex, birth, department, serial):
    """A key that python-stdnum computes is taken, any other is not."""
    body = sex + birth + department + serial
    key = nir.calc_check_digits(body)

    assert VALIDATORS["fr_nir"]((body + key).encode())
    assert not VALIDATORS["fr_nir"](f"{body}{(int(key) % 97) + 1:02}".encode()) or key == "97"


@given(st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=11, max_size=30))
def test_iban(account):
    """Check digits that python-stdnum computes are taken, others are not."""
    digits = mod_97_10.calc_check_digits(account + "DE")
    wrong = f"{(int(digits) + 1) % 100:02}"

    assert VALIDATORS["iban"](f"DE{digits}{account}".encode())
    assert not VALIDATORS["iban"](f"DE{wrong}{account}".encode())


@given(numbers(11))
def test_pl_pesel(text):
    """The check digit of a PESEL agrees with python-stdnum."""
    assert pesel.calc_check_digit(text[:-1]) == text[-1] or not VALIDATORS["pl_pesel"](
        text.encode()
    )
    assert VALIDATORS["pl_pesel"]((text[:-1] + pesel.calc_check_digit(text[:-1])).encode())


@given(st.integers(1, 24).flatmap(numbers))
def test_verhoeff(text):
    """Verhoeff's check agrees with python-stdnum."""
    assert std_verhoeff.is_valid(text) == VALIDATORS["verhoeff"](text.encode())
    assert VALIDATORS["verhoeff"]((text + std_verhoeff.calc_check_digit(text)).encode())


@pytest.mark.parametrize("name", sorted(VALIDATORS))
def test_separators_and_lengths(name):
    """No validator trips over empty, short, long or odd values."""
    rng = random.Random(1)
    for length in (0, 1, 8, 15, 40):
        value = bytes(rng.randrange(256) for _ in range(length))
        assert VALIDATORS[name](value) in (True, False)


def test_every_check_has_its_validator():
    """Each checksum of the kernel has the validator of its name, or of the sums it computes."""
    own = {check.name.lower() for check in Check} - {"none", "weighted"}

    assert own | set(SUMS) <= set(VALIDATORS)
    assert not own & set(SUMS)
    assert all(kernel_check(name).name == name.upper() for name in own)
    assert {Check.WEIGHTED} == {kernel_check(name) for name in SUMS}
    assert kernel_check("weighted") is Check.NONE
    assert kernel_check("unknown") is Check.NONE
    assert kernel_check("none") is Check.NONE
