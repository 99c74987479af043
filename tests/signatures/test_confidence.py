"""The chance that a random candidate matches, against counting, and what follows from it."""

import random
from dataclasses import replace

import pytest

from dlp.errors import PackError
from dlp.signatures import regex
from dlp.signatures.compiler import compile_packs
from dlp.signatures.confidence import assess, claimed
from dlp.signatures.pack import Proximity
from dlp.signatures.validators import VALIDATORS
from tests.signatures.making import pack, signature

NEAR = Proximity((b"account",), 40, "before")


@pytest.mark.parametrize(
    ("expression", "alphabet", "length"),
    [
        (r"4[0-9]{3}", "0123456789", 4),
        (r"3[47][0-9]{2}", "0123456789", 4),
        (r"[a-f0-9]{2}[0-3]", "0123456789abcdef", 3),
        (r"(?:12|13|99)[0-9]", "0123456789", 3),
        (r"[0-9][A-Z](?:A|B)", None, 3),
    ],
)
def test_chance_is_counted(expression, alphabet, length):
    """Of random texts of a shape as many match as the chance says."""
    rng = random.Random(5)
    upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    kinds = [alphabet] * length if alphabet else ["0123456789", upper, upper]
    # In a hexadecimal run a digit's kind is a digit: its shape has ten values.
    kinds[-1] = "0123456789" if expression.endswith("[0-3]") else kinds[-1]
    pattern = regex.compiled(expression)
    texts = ("".join(map(rng.choice, kinds)).encode() for _ in range(20_000))
    share = sum(pattern.fullmatch(text) is not None for text in texts) / 20_000

    assert share == pytest.approx(assess(signature(expression)).chance, rel=0.15)


@pytest.mark.parametrize("name", sorted(VALIDATORS))
def test_checksums_lower_it(name):
    """A checksum makes a candidate rarer, and none makes it impossible."""
    bare, checked = (
        assess(signature("[0-9A-Z]{9,30}", validator=one)).chance for one in ("", name)
    )

    assert 0 < checked <= bare == 1


@pytest.mark.parametrize(
    ("expression", "level", "why"),
    [
        (r"\bghp_[A-Za-z0-9]{36}", "high", "distinctive prefix of 4 bytes"),
        (r"\bAKIA[A-Z0-9]{16}", "high", "chance of"),
        (r"\": ?\"SG\.[a-z0-9_]{22}", "high", "distinctive prefix of 4 bytes"),
        (r"[a-z0-9]{4}SG\.[a-z0-9_]{22}", "medium", "chance of"),
        (r"[\w.-]{0,50}?gld_[a-z]{9}", "high", "distinctive prefix"),
        (r"(?i)tax[ :]{0,3}[0-9]{9}", "medium", "chance"),
        (r"[0-9]{3}[ ](?:tel)[ ][0-9]{9}", "medium", "chance"),
        (r"[0-9]{3}[ ](?:of|the)[ ][0-9]{9}", "medium", "chance"),
        (r"the[0-9]{8}", "medium", "a word of 3 letters"),
        (r"[0-9]{3}-[0-9]{2}-[0-9]{4}", "low", "chance of 1"),
        (r"4[0-9]{3}", "low", "chance of 0.1"),
        (r"41[0-9]{3}", "medium", "chance of 0.01"),
        (r"\bghp_[A-Za-z0-9]{36}|[0-9]{9}", "low", "chance of 1"),
    ],
)
def test_levels(expression, level, why):
    """High by chance or prefix, medium by chance or word; the worst alternative counts."""
    found = assess(signature(expression))

    assert level == found.level
    assert why in found.why


def test_keyword():
    """A keyword near makes a bare shape medium."""
    bare = signature("[0-9]{3}-[0-9]{2}-[0-9]{4}")

    assert ["low", "medium"] == [assess(one).level for one in (bare, replace(bare, proximity=NEAR))]


def test_claims():
    """Claiming less or as much is fine; more refuses the pack, with place and remedy."""
    bare = replace(
        signature("[0-9]{3}-[0-9]{2}-[0-9]{4}"),
        proximity=NEAR,
        lines=(("regex", 9), ("confidence", 12)),
    )

    for claim in ("low", "medium", ""):
        assert "medium" == claimed(replace(bare, confidence=claim)).level
    with pytest.raises(PackError, match="claims high confidence") as raised:
        compile_packs([pack(replace(bare, confidence="high"))])
    assert (12, "signatures[0].confidence") == (raised.value.place.line, raised.value.place.key)
    assert "claim medium" in raised.value.remedy
