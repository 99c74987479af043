"""The model's checks of identifiers and the product's, each from its own reading of the rules."""

import random
import re
from pathlib import Path

import pytest

from dlp.signatures.pack import Signature, load_packs
from dlp.signatures.sums import SUMS
from dlp.signatures.validators import VALIDATORS
from tests.oracle.checks import CHECKS

SUMMED = [
    one
    for pack in load_packs(["pci", "pii", "phi"], Path())
    for one in pack.signatures
    if one.validator in SUMS
]


@pytest.mark.parametrize("signature", SUMMED, ids=lambda one: one.id)
def test_same_answers(signature: Signature):
    """Over values near the samples, right and wrong ones, both say the same."""
    rng = random.Random(signature.id)
    pattern = re.compile(signature.regex.encode())
    right = 0
    for sample in (*signature.must_match, *signature.must_not_match):
        for _ in range(200):
            changed = bytes(
                rng.randrange(0x30, 0x3A) if chr(byte).isdigit() and rng.random() < 0.4 else byte
                for byte in sample
            )
            for value in pattern.findall(changed):
                mine = VALIDATORS[signature.validator](value)
                right += mine
                assert mine == CHECKS[signature.validator](value)

    assert right > 0
