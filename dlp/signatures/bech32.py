"""Bech32 and Bech32m: the checksum behind addresses such as `bc1…` and keys such as `age1…`.

Six characters at the end make the checksum, a polynomial over GF(32), come out as 1
(BIP-173) or as a constant of Bech32m (BIP-350). The length is the expression's business:
some chains write longer addresses than BIP-173 allows.
"""

from __future__ import annotations

from typing import Final

ALPHABET: Final = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l"
CHECK: Final = 6
CONSTANTS: Final = (1, 0x2BC830A3)
_GENERATORS: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def bech32(value: bytes) -> bool:
    """Whether either checksum holds; case must be one throughout.

    The part before the last `1` is the prefix, and what a match may begin with before that
    (a scheme such as `lightning:`) is passed over.
    """
    if value not in (value.lower(), value.upper()):
        return False
    prefix, mark, data = value.lower().rpartition(b"1")
    prefix = prefix.rpartition(b":")[2]
    if not mark or not prefix or len(data) < CHECK or data.strip(ALPHABET):
        return False
    spread = [*(byte >> 5 for byte in prefix), 0, *(byte & 31 for byte in prefix)]
    return polymod([*spread, *map(ALPHABET.index, data)]) in CONSTANTS


def polymod(values: list[int]) -> int:
    """The checksum of 5-bit values."""
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATORS):
            checksum ^= generator if top >> bit & 1 else 0
    return checksum
