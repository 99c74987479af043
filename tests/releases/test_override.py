"""Single packs and signatures of development mode."""

from __future__ import annotations

import pytest

from dlp.errors import PackError, UsageError
from dlp.releases.content import packs_of
from dlp.releases.override import check_name, one, overridden
from tests.releases.conftest import OTHER, PACK

LIVE = packs_of({"own": PACK.encode(), "other": OTHER.encode()}, "live")
BODY = "\n".join(line[4:] for line in PACK.splitlines()[4:]) + "\n"


def ids(packs):
    return [(signature.id, signature.regex[:7]) for pack in packs for signature in pack.signatures]


def test_pack():
    """A pack takes the place of that name, or stands beside the others."""
    again = PACK.replace("LONGKEY", "EDITKEY").encode()
    third = PACK.replace("own", "third").encode()

    assert [("other.key.long", "OTHERKE"), ("own.key.long", "EDITKEY")] == ids(
        overridden(LIVE, {"own": again})
    )
    assert "third.key.long" in dict(ids(overridden(LIVE, {"third": third})))


def test_signature():
    """A signature takes the place of that id in its order, or stands behind its pack's others."""
    text = BODY.replace("LONGKEY", "EDITKEY")
    more = BODY.replace("own.key.long", "own.key.more")
    alone = BODY.replace("own.key.long", "new.key.long")

    assert [("other.key.long", "OTHERKE"), ("own.key.long", "EDITKEY")] == ids(
        overridden(LIVE, {"own.key.long": text.encode()})
    )
    found = overridden(LIVE, {"own.key.more": more.encode(), "new.key.long": alone.encode()})
    assert ["other", "own", "new"] == [pack.name for pack in found]
    assert ["own.key.long", "own.key.more"] == [one.id for one in found[1].signatures]


def test_nothing():
    """Without overrides the packs are what they are."""
    assert LIVE == overridden(LIVE, {})


def test_line():
    """An error has the line in what was sent."""
    text = BODY.replace("severity: high", "severity: huge")

    with pytest.raises(PackError) as caught:
        one("own.key.long", text.encode(), "own")
    assert ("development/own.key.long.yaml", 3) == (
        str(caught.value.place.file),
        caught.value.place.line,
    )


@pytest.mark.parametrize(
    "text",
    [
        BODY.replace("own.key.long", "own.key.else"),
        BODY + "- id: own.key.two\n",
        BODY + "&a x: *a\n",
        "",
        "[]",
        "\xff",
        "x" * 5_000_000,
    ],
)
def test_hostile(text):
    """Another id, two signatures, aliases, nothing, other bytes: refused."""
    with pytest.raises(PackError):
        one("own.key.long", text.encode("latin-1"), "own")


def test_two_packs():
    """An id that another pack has cannot be taken."""
    thief = PACK.replace("pack: own", "pack: own-key").replace("own.key.long", "own.key.long")

    with pytest.raises(PackError, match="twice"):
        overridden(LIVE, {"own-key": thief.encode()})


@pytest.mark.parametrize("name", ["", "../x", "a.b", "A", "x/y", "a..b.c", "a" * 65, "x\n"])
def test_names(name):
    """A name becomes a file's: only names of packs and ids of signatures."""
    with pytest.raises(UsageError):
        check_name(name)
