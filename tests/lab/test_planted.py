import pytest
from planted import KINDS, SEPARATED, Planted, luhn_digit, normalise, plant
from stdnum import iban, luhn
from stdnum.es import dni
from stdnum.gb import nhs
from stdnum.us import ssn


@pytest.mark.parametrize("kind", ["visa", "visa-spaced", "mastercard", "amex"])
def test_cards_pass_luhn(kind):
    """Planted cards have the check digit of real ones, by an independent implementation."""

    for seed in range(50):
        assert luhn.is_valid(normalise(plant(kind, str(seed))).decode())


def test_decoy_fails_luhn():
    """A bad card is one in its check digit only."""

    for seed in range(50):
        assert not luhn.is_valid(plant("bad-luhn", str(seed)).decode())


@pytest.mark.parametrize(
    ("kind", "check"),
    [("iban", iban), ("nhs", nhs), ("dni", dni), ("ssn", ssn)],
)
def test_identifiers_are_valid(kind, check):
    """Planted identifiers are valid, by an independent implementation."""

    for seed in range(50):
        assert check.is_valid(plant(kind, str(seed)).decode())


def test_luhn_digit_of_the_published_example():
    """The example of ISO/IEC 7812-1, annex B."""

    assert "3" == luhn_digit("7992739871")


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_decide(kind):
    """The same seed plants the same value, another seed another."""

    assert plant(kind, "a") == plant(kind, "a")
    assert plant(kind, "a") != plant(kind, "b")


def test_planted_never_shows_its_value():
    """Failures are printed; what is planted is not."""

    value = plant("visa", "x")
    shown = repr(Planted(scenario="s", name="card", kind="visa", value=value))

    assert value.decode() not in shown


def test_separated_kinds_hold_enough_to_tell_them_apart():
    """Without separators a value is still too long to be found by chance."""

    for kind in SEPARATED:
        assert 9 <= len(normalise(plant(kind, "x")))
