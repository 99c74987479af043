from pathlib import Path

import pytest

from dlp.signatures.anchors import SPREAD, candidates, fixed_bytes, missing, places
from dlp.signatures.byteset import ALL, WORD, of
from dlp.signatures.compiler import compile_packs
from dlp.signatures.forms import Form
from dlp.signatures.lowering import lower
from dlp.signatures.pack import builtin_names, load_packs
from dlp.signatures.regex import parse
from tests.signatures.making import regex_pack


def form(source: str) -> Form:
    return lower(parse(source), checked=False).forms[0]


@pytest.mark.parametrize("stride", [2, 3, 6])
def test_every_remainder_is_served(stride):
    """There is an anchor for each remainder of the offset, the cheapest first."""
    found = candidates(form("-----BEGIN RSA PRIVATE KEY-----"), stride)

    assert found is not None
    assert list(range(stride)) == [choices[0].offset % stride for choices in found]


def test_rare_places_first():
    """A run of hyphens, frequent in text, is passed over."""
    found = candidates(form("----------zqxj"), 2)

    assert found is not None
    assert all(choices[0].offset >= 8 for choices in found)


def test_the_byte_before():
    """A left boundary makes a short prefix long enough for stride 3."""
    assert candidates(form(r"\bAKIA[0-9A-Z]{16}"), 3) is not None
    assert candidates(form(r"\bhf_[0-9A-Za-z]{30}"), 3) is None
    assert candidates(form(r"\bhf_[0-9A-Za-z]{30}"), 2) is not None


def test_fixed_bytes():
    """They run from the byte before the match to the least of the first variable run."""
    assert [ALL ^ WORD, of(b"a"), of(b"1"), of(b"1")] == fixed_bytes(form(r"\ba1{2,3}b"))


def test_folding():
    """Grams are folded: `_` and digits too have bit 5 set."""
    anchor = next(one for one in places(form("AB_7")) if one.offset == 0)

    assert (b"ab\x7f7",) == anchor.grams()


def test_missing():
    """What is missing is told in bytes."""
    assert missing(form("abc"), 2) == "needs 2 more fixed bytes in a row"


def test_anchors_lie_close_together():
    """Anchors of a form lie within what a scan that skips an idle tail reads again."""
    pack = regex_pack("ZQXJW[a-z]{36}ZQKV[a-z]{4}")  # the rarest places are 41 bytes apart
    image = compile_packs([pack, *load_packs(builtin_names(), Path())])

    for shape in image.shapes:
        offsets = [offset for _, offset in shape.grams]
        assert not offsets or max(offsets) - min(offsets) <= SPREAD
