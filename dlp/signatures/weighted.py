"""Weighted sums: the checksum of most national identifiers, as data that the kernel reads too.

A value's letters and digits become numbers, 0 to 9 and 10 to 35. Each is multiplied by the
weight of its position, and the remainder of the sum tells which number must stand at the
check's position. ISO/IEC 7064's pure systems, mod 11 numbers with a letter for ten, Luhn
over chosen positions: all are such sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LONGEST: Final = 32  # positions
LARGEST: Final = 127  # modulus
ANY: Final = 254  # the remainder is right, whatever stands at the check's position
NEVER: Final = 255  # no value has this remainder


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighted:
    """One sum; a value that is not `length` letters and digits long fails.

    Attributes:
        weights: one for each position from the left, 0 to 127; 0 leaves it out.
        modulus: 2 to LARGEST.
        check: position whose number the remainder tells.
        expected: for each remainder the number at `check`, ANY or NEVER.
        digits: a product over 9 counts as the sum of its two digits (Luhn); weights are 1 or 2
            then, and a letter at a position with weight 2 fails.

    Raises ValueError where a number is out of its bounds.
    """

    weights: tuple[int, ...]
    modulus: int
    check: int
    expected: tuple[int, ...]
    digits: bool = False

    def __post_init__(self) -> None:
        most = 2 if self.digits else LARGEST
        if not (
            0 < len(self.weights) <= LONGEST
            and 1 < self.modulus <= LARGEST
            and len(self.expected) == self.modulus
            and 0 <= self.check < len(self.weights)
            and all(0 <= weight <= most for weight in self.weights)
        ):
            raise ValueError("a weighted sum out of its bounds")

    @property
    def length(self) -> int:
        """Letters and digits that a value has."""
        return len(self.weights)

    def holds(self, numbers: Sequence[int]) -> bool:
        """Whether the numbers of a value satisfy the sum."""
        if len(numbers) != self.length:
            return False
        total = 0
        for number, weight in zip(numbers, self.weights, strict=True):
            product = number * weight
            if self.digits and weight == 2:  # noqa: PLR2004 - Luhn's double
                if number > 9:  # noqa: PLR2004 - a letter
                    return False
                product -= 9 if product > 9 else 0  # noqa: PLR2004 - sum of two digits
            total += product
        expected = self.expected[total % self.modulus]
        return expected == ANY or expected == numbers[self.check]


def numbers(value: bytes) -> list[int]:
    """Letters (either case, 10 to 35) and digits of a value; other bytes are passed over."""
    return [int(chr(byte), 36) for byte in value if chr(byte).isascii() and chr(byte).isalnum()]
