"""Synthetic secrets: values of the right shape with the right checksums, of nobody.

Each comes from a seed, so that a scenario plants the same value each time and no two scenarios
plant one alike: what is found at a sink tells where it came from. Written on the published
checksum rules alone, not on the product's validators.
"""

# ruff: noqa: PLR2004 - the numbers are those of the checksum rules
from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable
from dataclasses import dataclass

ALPHANUMERIC = string.ascii_letters + string.digits
BASE32 = string.ascii_uppercase + "234567"
DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
NOT_ALPHANUMERIC = bytes(
    byte for byte in range(256) if not chr(byte).isalnum() or byte > 127
)  # beyond ASCII


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A secret and where it was planted. `may_leave`: the policy lets it out."""

    scenario: str
    name: str
    kind: str
    value: bytes
    may_leave: bool = False

    @property
    def normalised(self) -> bytes:
        """Letters and digits only, for kinds that are written with separators; else as it is."""
        return normalise(self.value) if self.kind in SEPARATED else self.value

    def __repr__(self) -> str:
        """Without the value: failures are printed."""
        return f"<{self.kind} {self.name!r} of {self.scenario}>"


def normalise(data: bytes) -> bytes:
    """What is left of data without separators."""
    return data.translate(None, NOT_ALPHANUMERIC)


def plant(kind: str, seed: str) -> bytes:
    """A value of a kind, the same for the same seed.

    Raises:
        KeyError: no such kind; `KINDS` holds them.
    """
    return KINDS[kind](random.Random(f"{kind} {seed}")).encode()


def luhn_digit(digits: str) -> str:
    """The check digit of ISO/IEC 7812-1."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return str(-total % 10)


def _pick(rng: random.Random, alphabet: str, length: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(length))


def _card(prefix: str, length: int) -> Callable[[random.Random], str]:
    def make(rng: random.Random) -> str:
        body = prefix + _pick(rng, string.digits, length - len(prefix) - 1)
        return body + luhn_digit(body)

    return make


def _spaced_card(rng: random.Random) -> str:
    digits = _card("4", 16)(rng)
    return "-".join(digits[start : start + 4] for start in range(0, 16, 4))


def _bad_card(rng: random.Random) -> str:
    good = _card("4", 16)(rng)
    return good[:-1] + str((int(good[-1]) + rng.randint(1, 9)) % 10)


def _ssn(rng: random.Random) -> str:
    # 666, 000 and 900 up are no areas; 01-0001 and the like are real.
    area = rng.choice([number for number in range(101, 772) if number != 666])
    return f"{area}-{rng.randint(11, 99)}-{rng.randint(1001, 9998)}"


def _iban(rng: random.Random) -> str:
    account = _pick(rng, string.digits, 18)
    check = 98 - int(account + "131400") % 97  # DE00 moved behind, letters as 13 and 14
    return f"DE{check:02d}{account}"


def _nhs(rng: random.Random) -> str:
    while True:
        body = "4" + _pick(rng, string.digits, 8)
        weights = range(10, 1, -1)
        check = -sum(int(digit) * at for digit, at in zip(body, weights, strict=True)) % 11
        if check < 10:
            digits = body + str(check)
            return f"{digits[:3]} {digits[3:6]} {digits[6:]}"


def _dni(rng: random.Random) -> str:
    number = rng.randint(10_000_000, 99_999_999)
    return f"{number}{DNI_LETTERS[number % 23]}"


def _jwt(rng: random.Random) -> str:
    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    head = part(b'{"alg":"HS256","typ":"JWT"}')
    claims = {"sub": _pick(rng, string.digits, 10), "name": "Lab User", "iat": 1700000000}
    return f"{head}.{part(json.dumps(claims).encode())}.{part(rng.randbytes(32))}"


def _token(prefix: str, alphabet: str, length: int) -> Callable[[random.Random], str]:
    return lambda rng: prefix + _pick(rng, alphabet, length)


def _slack(rng: random.Random) -> str:
    digits = string.digits
    return f"xoxb-{_pick(rng, digits, 12)}-{_pick(rng, digits, 12)}-{_pick(rng, ALPHANUMERIC, 24)}"


KINDS: dict[str, Callable[[random.Random], str]] = {
    "visa": _card("4", 16),
    "visa-spaced": _spaced_card,
    "mastercard": _card("53", 16),
    "amex": _card("37", 15),
    "bad-luhn": _bad_card,
    "ssn": _ssn,
    "iban": _iban,
    "nhs": _nhs,
    "dni": _dni,
    "aws": _token("AKIA", BASE32, 16),
    "github": _token("ghp_", ALPHANUMERIC, 36),
    "gitlab": _token("glpat-", ALPHANUMERIC, 20),
    "google": _token("AIza", ALPHANUMERIC, 35),
    "slack": _slack,
    "stripe": _token("sk_live_", ALPHANUMERIC, 24),
    "jwt": _jwt,
    "marker": _token("mark-", string.ascii_lowercase, 24),  # fits no signature
}

# Their digests are over letters and digits only, and so is the search for leaks.
SEPARATED = frozenset({"visa", "visa-spaced", "mastercard", "amex", "ssn", "iban", "nhs", "dni"})
