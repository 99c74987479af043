"""Base58 with a checksum, as Bitcoin and what came after it write addresses and keys.

The last four bytes are the first four of the double SHA-256 of those before. A validator
is given a whole match, which may begin with a keyword: it looks at the run of the alphabet
that the match ends with. Source: Bitcoin's src/base58.h, XRP Ledger's base58 encodings.
"""

from __future__ import annotations

import hashlib
from typing import Final

ALPHABET: Final = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
RIPPLE: Final = b"rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz"
CHECK: Final = 4
SHORTEST: Final = 16
LONGEST: Final = 128


def base58check(value: bytes) -> bool:
    """Whether the checksum of what the value ends with holds, in Bitcoin's alphabet."""
    return _holds(value, ALPHABET)


def base58check_ripple(value: bytes) -> bool:
    """As `base58check`, in the alphabet of the XRP Ledger."""
    return _holds(value, RIPPLE)


def decode(text: bytes, alphabet: bytes = ALPHABET) -> bytes:
    """The bytes that the text stands for; each leading zero digit is a zero byte.

    Raises ValueError for a character outside the alphabet.
    """
    number = 0
    for character in text:
        number = number * len(alphabet) + alphabet.index(character)
    zeros = len(text) - len(text.lstrip(alphabet[:1]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _holds(value: bytes, alphabet: bytes) -> bool:
    text = value[len(value.rstrip(alphabet)) :]
    if not SHORTEST <= len(text) <= LONGEST:
        return False
    raw = decode(text, alphabet)
    digest = hashlib.sha256(hashlib.sha256(raw[:-CHECK]).digest()).digest()
    return len(raw) > CHECK and digest[:CHECK] == raw[-CHECK:]
