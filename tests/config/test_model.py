"""Limits of the policy file are those of the kernel's tables."""

import re
from pathlib import Path

from dlp.config import model

ABI = Path(__file__).resolve().parents[2] / "bpf" / "abi.h"


def test_limits():
    """A file that is accepted fits the kernel's tables."""
    defined = dict(re.findall(r"#define (DLP_\w+) (\d+)", ABI.read_text()))

    assert int(defined["DLP_POLICIES"]) - 1 == model.POLICIES
    assert int(defined["DLP_DESTINATIONS"]) == model.DESTINATION_ROWS
