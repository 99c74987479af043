"""The signature sets that are measured: the built-in digit packs, filled up with tokens.

The tokens are made up, in the form of real ones: a vendor's prefix of three to eight bytes
behind a word boundary, then a fixed number of characters of a class. A larger set holds the
smaller one. Pure: no kernel, no compiler.
"""

from __future__ import annotations

import json
import random
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass

SEED = 7
PACK = "bench"
DIGIT_PACKS = ("pci", "pii-iban", "pii-us")
CARD = "4111 1111 1111 1111"  # a test number that every payment provider publishes

_ALNUM = string.ascii_letters + string.digits
_CLASSES = {
    "[0-9a-f]": "0123456789abcdef",
    "[0-9a-z]": string.ascii_lowercase + string.digits,
    "[0-9A-Z]": string.ascii_uppercase + string.digits,
    "[0-9A-Za-z]": _ALNUM,
    "[0-9A-Za-z_-]": _ALNUM + "_-",
}
# Prefix, class and length of tokens in the wild: GitHub, Stripe, AWS, Slack, GitLab, Google,
# DigitalOcean, Hugging Face, npm, Shopify, Postman, Linear, Mailgun, Sentry, ReadMe, Vault,
# EasyPost, SendGrid, Figma, Notion, Bitbucket, Tailscale, Databricks, Square, PyPI, OpenAI.
_FORMS = (
    ("ghp_", "[0-9A-Za-z]", 36),
    ("sk_live_", "[0-9A-Za-z]", 24),
    ("AKIA", "[0-9A-Z]", 16),
    ("xoxb-", "[0-9A-Za-z]", 48),
    ("glpat-", "[0-9A-Za-z_-]", 20),
    ("AIza", "[0-9A-Za-z_-]", 35),
    ("dop_v1_", "[0-9a-f]", 64),
    ("hf_", "[0-9A-Za-z]", 34),
    ("npm_", "[0-9A-Za-z]", 36),
    ("shpat_", "[0-9a-f]", 32),
    ("PMAK-", "[0-9a-f]", 24),
    ("lin_api_", "[0-9A-Za-z]", 40),
    ("gho_", "[0-9A-Za-z]", 36),
    ("whsec_", "[0-9A-Za-z]", 32),
    ("key-", "[0-9a-f]", 32),
    ("sntrys_", "[0-9A-Za-z]", 64),
    ("rdme_", "[0-9a-z]", 70),
    ("hvs.", "[0-9A-Za-z_-]", 92),
    ("rk_live_", "[0-9A-Za-z]", 24),
    ("EZAK", "[0-9A-Za-z]", 54),
    ("shpss_", "[0-9a-f]", 32),
    ("SG.", "[0-9A-Za-z_-]", 66),
    ("figd_", "[0-9A-Za-z_-]", 40),
    ("secret_", "[0-9A-Za-z]", 43),
    ("ATBB", "[0-9A-Za-z]", 32),
    ("sk_test_", "[0-9A-Za-z]", 24),
    ("doo_v1_", "[0-9a-f]", 64),
    ("ghs_", "[0-9A-Za-z]", 36),
    ("xoxp-", "[0-9A-Za-z]", 72),
    ("tskey-", "[0-9A-Za-z]", 32),
    ("dapi", "[0-9a-f]", 32),
    ("sq0atp-", "[0-9A-Za-z_-]", 22),
    ("pypi-", "[0-9A-Za-z_-]", 85),
    ("glptt-", "[0-9a-f]", 40),
    ("ghu_", "[0-9A-Za-z]", 36),
    ("sk-proj-", "[0-9A-Za-z_-]", 48),
    ("pplx-", "[0-9A-Za-z]", 48),
    ("EAAA", "[0-9A-Za-z_-]", 60),
    ("shpca_", "[0-9a-f]", 32),
    ("sk-", "[0-9A-Za-z]", 48),
)
# Vendors abbreviate by dropping vowels.
_LOWER = string.ascii_lowercase + "bcdfghjklmnpqrstvwxz" * 2


@dataclass(frozen=True, slots=True)
class Token:
    """A made-up vendor's token.

    Attributes:
        name: last part of the signature's id.
        prefix: three to eight ASCII characters.
        cls: character class of the rest, as a regex.
        length: of the rest.
    """

    name: str
    prefix: str
    cls: str
    length: int

    @property
    def id(self) -> str:
        return f"{PACK}.token.{self.name}"

    @property
    def regex(self) -> str:
        # A class with a hyphen can end where no word ends.
        end = "" if "-" in _CLASSES[self.cls] else r"\b"
        return rf"\b{re.escape(self.prefix)}{self.cls}{{{self.length}}}{end}"

    def value(self, seed: int = SEED) -> str:
        """A value that the regex accepts, the same for the same seed."""
        rng = random.Random(f"{self.name} {seed}")
        return self.prefix + "".join(rng.choices(_CLASSES[self.cls], k=self.length))


def tokens(count: int, seed: int = SEED) -> tuple[Token, ...]:
    """The first `count` tokens of the seed's endless row; no prefix occurs twice."""
    rng = random.Random(seed)
    out: dict[str, Token] = {}
    while len(out) < count:
        model, cls, length = _FORMS[len(out) % len(_FORMS)]
        prefix = "".join(_like(rng, character) for character in model)
        out.setdefault(prefix, Token(f"vendor{len(out):04}", prefix, cls, length))
    return tuple(out.values())


# As many as a signature needs to be released.
_SAMPLES = (SEED, SEED + 1, SEED + 2)


def pack_text(members: Sequence[Token]) -> str:
    """A pack of the tokens, as the text of PACK.yaml (JSON, which is YAML too)."""
    signatures = [
        {
            "id": token.id,
            "name": f"Token of {token.name}",
            "severity": "high",
            "description": "Made up, in the form of a real one.",
            "category": "secret",
            "regex": token.regex,
            "must_match": [token.value(seed) for seed in _SAMPLES],
            "must_not_match": [token.value(seed)[:-1] for seed in _SAMPLES],
        }
        for token in members
    ]
    return json.dumps(
        {"pack": PACK, "version": 1, "description": "Made-up tokens", "signatures": signatures},
        indent=1,
    )


def _like(rng: random.Random, character: str) -> str:
    if character.islower():
        return rng.choice(_LOWER)
    if character.isupper():
        return rng.choice(_LOWER).upper()
    return rng.choice(string.digits) if character.isdigit() else character
