"""Packs made of expressions, for tests that need no file."""

from __future__ import annotations

import re
from pathlib import Path

from dlp.errors import Place
from dlp.signatures.pack import Pack, Signature
from dlp.signatures.proximity import Proximity

FILE = Path("made.yaml")


def signature(
    regex: str,
    *,
    id_: str = "made.one.signature",
    validator: str = "",
    must_match: tuple[bytes, ...] = (),
    must_not_match: tuple[bytes, ...] = (),
    proximity: Proximity | None = None,
) -> Signature:
    """A signature with this expression."""
    return Signature(
        id=id_,
        name="Made",
        severity="low",
        description="For a test.",
        category="test",
        regex=regex,
        validator=validator,
        normalise=bool(validator),
        mask_head=2,
        mask_tail=4,
        controls=(),
        must_match=must_match,
        must_not_match=must_not_match,
        proximity=proximity,
        place=Place(FILE, 7, "signatures[0]"),
        lines=(("regex", 9), ("must_match[0]", 11), ("must_not_match[0]", 13)),
    )


def pack(*signatures: Signature) -> Pack:
    """A pack of them."""
    return Pack(name="made", version=1, description="", signatures=signatures, file=FILE)


def regex_pack(regex: str, validator: str = "") -> Pack:
    """A pack of one signature with this expression."""
    return pack(signature(regex, validator=validator))


def begun(regex: str) -> str:
    """The expression without a long optional part in front, which a match does without."""
    return re.sub(r"^((?:\(\?i\))?)\[[^]]*\]\{0,\d\d+\}\??", r"\1", regex)
