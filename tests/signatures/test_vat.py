"""VAT ids against python-stdnum, country by country."""

import random

import pytest
from stdnum.eu import vat as std_vat
from stdnum.gb import vat as std_british

from dlp.signatures.vat import eu_vat

# `c` and `d` are tried in all values: two check digits, or one.
SHAPES = {
    "BE": ("0#######cc",), "BG": ("########d",), "CZ": ("########"[:7] + "d", "9001#####d"),
    "DE": ("1#######d",), "DK": ("2######d",), "EE": ("########d",), "EL": ("########d",),
    "FI": ("#######d",), "FR": ("cc#########",), "GB": ("#######cc", "#######cc001"),
    "HR": ("##########d",), "HU": ("#######d",), "IT": ("#######010d",),
    "LT": ("#######1d", "##########1d"), "LU": ("######cc",), "LV": ("4#########d",),
    "MT": ("1#####cc",), "PL": ("#########d",), "PT": ("2#######d",),
    "RO": ("1#######d", "1########d"), "SE": ("#########d01",), "SI": ("1######d",),
    "SK": ("2########d",),
}  # fmt: skip
# stdnum asks for a kind of number beside the checksum: first digits, birth dates, registers.
STRICT = {"CZ", "GB", "SK", "SI", "RO"}


def numbers(country: str, shape: str) -> list[str]:
    rng = random.Random(country)
    found = []
    for _ in range(60):
        body = "".join(rng.choice("0123456789") if one == "#" else one for one in shape)
        if "cc" in body:
            found.extend(body.replace("cc", f"{check:02}") for check in range(100))
        else:
            found.extend(body.replace("d", str(check)) for check in range(10))
    return found


@pytest.mark.parametrize("country", SHAPES)
def test_agrees_with_stdnum(country):
    """Right and wrong check digits are told apart as python-stdnum does."""
    for shape in SHAPES[country]:
        taken = 0
        for number in numbers(country, shape):
            text = f"{country}{number}"
            theirs = std_british.is_valid(number) if country == "GB" else std_vat.is_valid(text)
            mine = eu_vat(text.encode())
            taken += mine and theirs
            assert mine or not theirs or country in ("CZ", "SK")
            assert theirs or country in STRICT or not mine

        assert taken > 0


def test_other_countries_and_letters():
    """A country without a rule, and a number with letters, are refused."""
    assert not eu_vat(b"US123456789")
    assert not eu_vat(b"DE13669597A")
    assert not eu_vat(b"DE")
    assert eu_vat(b"DE 136695976")
