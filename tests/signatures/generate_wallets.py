"""Makes addresses, keys and mnemonics with right checksums, of bytes drawn with a fixed seed.

Nobody ever made a wallet of them. For the samples of signatures/crypto.yaml and for tests.
"""

from __future__ import annotations

import hashlib
import random

from dlp.signatures import base58, bech32, mnemonic


def wallet_base58(version: bytes, length: int, seed: str, alphabet: bytes = base58.ALPHABET) -> str:
    """`version` and `length` drawn bytes with their checksum in base 58."""
    raw = version + random.Random(seed).randbytes(length)
    raw += hashlib.sha256(hashlib.sha256(raw).digest()).digest()[: base58.CHECK]
    number, text = int.from_bytes(raw, "big"), b""
    while number:
        number, digit = divmod(number, 58)
        text = alphabet[digit : digit + 1] + text
    zeros = len(raw) - len(raw.lstrip(b"\0"))
    return (alphabet[:1] * zeros + text).decode()


def wallet_bech32(prefix: str, version: str, length: int, seed: str, constant: int = 1) -> str:
    """`length` drawn characters behind prefix, `1` and version, with their checksum."""
    rng = random.Random(seed)
    data = [bech32.ALPHABET.index(character) for character in version.encode()]
    data += [rng.randrange(32) for _ in range(length)]
    name = prefix.encode()
    spread = [*(byte >> 5 for byte in name), 0, *(byte & 31 for byte in name)]
    sums = bech32.polymod([*spread, *data, *([0] * bech32.CHECK)]) ^ constant
    data += [sums >> 5 * (bech32.CHECK - 1 - place) & 31 for place in range(bech32.CHECK)]
    return f"{prefix}1" + "".join(chr(bech32.ALPHABET[value]) for value in data)


def wallet_words(count: int, seed: str) -> str:
    """A mnemonic of 12, 15, 18, 21 or 24 words."""
    check = count // 3
    entropy = random.Random(seed).randbytes((count * mnemonic.BITS - check) // 8)
    joined = int.from_bytes(entropy, "big") << check
    joined |= hashlib.sha256(entropy).digest()[0] >> 8 - check
    words = list(mnemonic.words())
    numbers = [joined >> mnemonic.BITS * place & 2047 for place in range(count)]
    return b" ".join(words[number] for number in reversed(numbers)).decode()
