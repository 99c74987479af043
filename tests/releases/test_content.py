"""The packs of a release."""

from __future__ import annotations

import pytest

from dlp.errors import PackError
from dlp.releases.content import check_fit, packs_of
from tests.releases.conftest import OTHER, PACK


def test_packs():
    """Packs are read by name, and errors say where in the release they are."""
    packs = packs_of({"own": PACK.encode(), "other": OTHER.encode()}, "release-7")

    assert ["other", "own"] == [pack.name for pack in packs]
    assert "release-7/packs/own.yaml" == str(packs[1].file)
    check_fit(packs)


def test_shared_id():
    """Two packs with one id are refused."""
    twin = PACK.replace("pack: own", "pack: own-key").replace("own.key.long", "own.key.long")

    with pytest.raises(PackError, match="twice"):
        packs_of({"own": PACK.encode(), "own-key": twin.encode()}, "release-7")


def test_drafts():
    """A draft cannot be released, nor a signature with two samples; the line is told."""
    draft = PACK.replace("    category:", "    draft: true\n    category:")
    few = PACK.replace(', "LONGKEY-000000000000"', "")
    for text, told in ((draft, "is a draft"), (few, "fewer than 3")):
        with pytest.raises(PackError, match=told) as caught:
            check_fit(packs_of({"own": text.encode()}, "release-7"))
        assert caught.value.place.line


@pytest.mark.parametrize(
    "text",
    [
        b"a: &a [x]\nb: *a\n",
        b"pack: own\n" + b"x: " + b"[" * 1000 + b"]" * 1000,
        b"!!python/object/apply:os.system ['true']",
        b"pack: other\nversion: 1\n",
        b"\x00\xff",
        b"x" * (5 << 20),
    ],
    ids=["alias", "deep", "tag", "keys", "bytes", "large"],
)
def test_hostile(text):
    """Aliases, depth, tags, other bytes and megabytes end in an error with the file."""
    with pytest.raises(PackError) as caught:
        packs_of({"own": text}, "release-7")

    assert "release-7/packs/own.yaml" == str(caught.value.place.file)
