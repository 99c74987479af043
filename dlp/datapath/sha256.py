"""SHA-256 (FIPS 180-4) as far as hashlib hides it: its constants, and its state in mid-message.

The kernel programs compute digests themselves. They need the round constants, and of the key of
an HMAC the states behind its blocks, so that these are not hashed anew for every value.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Final

BLOCK: Final = 64  # bytes
_WORD = 0xFFFF_FFFF


def round_constants() -> list[int]:
    """The 64 words of section 4.2.2: fractions of the cube roots of the first primes."""
    return [_fraction_of_root(prime, 3) for prime in _primes(64)]


def state_behind(block: bytes, before: Sequence[int] = ()) -> list[int]:
    """The eight words of the state behind a block of 64 bytes (section 6.2.2).

    `before`: the state in front of it; empty for a message's first block.
    """
    if len(block) != BLOCK:
        raise ValueError(f"a block has {BLOCK} bytes, this one {len(block)}")
    schedule = [int.from_bytes(block[at : at + 4], "big") for at in range(0, BLOCK, 4)]
    for at in range(16, 64):
        early, late = schedule[at - 15], schedule[at - 2]
        first = _rotated(early, 7) ^ _rotated(early, 18) ^ early >> 3
        second = _rotated(late, 17) ^ _rotated(late, 19) ^ late >> 10
        schedule.append((schedule[at - 16] + first + schedule[at - 7] + second) & _WORD)
    begin = before or [_fraction_of_root(prime, 2) for prime in _primes(8)]
    a, b, c, d, e, f, g, h = begin
    for constant, word in zip(round_constants(), schedule, strict=True):
        mixed = _rotated(e, 6) ^ _rotated(e, 11) ^ _rotated(e, 25)
        one = h + mixed + (e & f ^ ~e & g) + constant + word
        mixed = _rotated(a, 2) ^ _rotated(a, 13) ^ _rotated(a, 22)
        two = mixed + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = (one + two) & _WORD, a, b, c, (d + one) & _WORD, e, f, g
    after = (a, b, c, d, e, f, g, h)
    return [(old + new) & _WORD for old, new in zip(begin, after, strict=True)]


def _rotated(word: int, by: int) -> int:
    return (word >> by | word << (32 - by)) & _WORD


def _primes(count: int) -> list[int]:
    numbers = (n for n in itertools.count(2) if all(n % d for d in range(2, math.isqrt(n) + 1)))
    return list(itertools.islice(numbers, count))


def _fraction_of_root(number: int, degree: int) -> int:
    """The first 32 bits behind the point of a square or cube root, by whole numbers."""
    scaled = number << (32 * degree)
    low, high = 0, 1 << 40
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**degree <= scaled else (low, middle)
    return low & _WORD
