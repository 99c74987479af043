"""Weighted sums: values, bounds, letters."""

import pytest

from dlp.signatures.weighted import ANY, NEVER, Weighted, numbers

ISBN = Weighted(weights=(10, 9, 8, 7, 6, 5, 4, 3, 2, 0), modulus=11, check=9,
                expected=(0, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1))  # fmt: skip


def test_remainder_names_the_check():
    """The number at the check's position is the one that the remainder tells."""
    assert ISBN.holds(numbers(b"0-306-40615-2"))
    assert not ISBN.holds(numbers(b"0-306-40615-3"))
    assert not ISBN.holds(numbers(b"0-306-40615"))


def test_any_and_never():
    """ANY asks for the remainder alone, NEVER refuses it."""
    even = Weighted(weights=(1, 1), modulus=2, check=0, expected=(ANY, NEVER))

    assert (True, False) == (even.holds([1, 3]), even.holds([1, 2]))


def test_sum_of_digits():
    """As Luhn has it: a doubled number over nine counts as its digits' sum, letters fail."""
    luhn = Weighted(weights=(2, 1, 2, 1), modulus=10, check=0, expected=(ANY,) + (NEVER,) * 9,
                    digits=True)  # fmt: skip

    assert (True, False) == (luhn.holds([6, 1, 7, 1]), luhn.holds([6, 1, 7, 2]))
    assert not luhn.holds([10, 1, 7, 1])


@pytest.mark.parametrize(
    "wrong", [{"modulus": 128}, {"check": 10}, {"expected": (1,)}, {"weights": ()}]
)
def test_bounds(wrong):
    """What the kernel has no room for is refused."""
    right = {"weights": ISBN.weights, "modulus": 11, "check": 9, "expected": ISBN.expected}

    with pytest.raises(ValueError, match="out of its bounds"):
        Weighted(**{**right, **wrong})
