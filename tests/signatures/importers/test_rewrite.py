"""Expressions for files become expressions for streams, with what that changes."""

import re

import pytest

from dlp.errors import PackError
from dlp.signatures import regex
from dlp.signatures.importers.rewrite import rewrite

END = r"""(?:[\x60'"\s;]|\\[nr]|$)"""


def test_what_ends_a_token():
    """Its end becomes a look at the byte behind: the match is the token, and the data may end."""
    made = rewrite(rf"\b(tok_(?i)[a-z0-9]{{8}}){END}")
    pattern = re.compile(made.regex.encode())

    assert made.regex.startswith(r"\btok_(?i:[a-z0-9]{8})(?!")
    for behind in (b"", b" ", b"\n", b"'", b";", b"\\n"):
        found = pattern.search(b"x tok_abcd1234" + behind)
        assert found is not None
        assert b"tok_abcd1234" == found.group()
    assert pattern.search(b"x tok_abcd1234-") is None
    assert made.bare
    assert ("tok_",) == made.words
    regex.parse(made.regex)  # packs take it


def test_what_stands_in_front():
    """What may be missing in front of a match is left out, up to what may not."""
    made = rewrite(rf"(?i)[\w.-]{{0,50}}?(?:acme)(?:[ \t]{{0,20}})=\s{{0,3}}([a-f]{{8}}){END}")

    assert made.regex.startswith(r"(?i)acme[ \t]{0,20}=")
    assert not made.bare
    assert any("in front" in note for note in made.notes)


def test_group_of_the_secret():
    """A second group may hold the secret; then the match is more than the secret."""
    assert not rewrite("(acme|corp)=([a-f]{8})", 2).bare
    assert rewrite(r"\b(acme_[a-f]{8})\b").bare
    with pytest.raises(PackError, match="no group 3"):
        rewrite("(a)(b)", 3)


@pytest.mark.parametrize(
    ("source", "found", "silent"),
    [
        (r"acme_[a-f]{4}(?:[^\w-]|\z)", [b"acme_abcd", b"acme_abcd."], [b"acme_abcdx"]),
        (r"(?:^|[^a-z])acme_[a-f]{4}", [b"acme_abcd", b"-acme_abcd"], [b"xacme_abcd"]),
        (r"(acme_[a-f]{4})(?:\s|$|\b)", [b"acme_abcd", b"acme_abcd-"], [b"acme_abcdx"]),
        (r"(?m)^acme_[a-f]{4}$", [b"acme_abcd", b"x\nacme_abcd\ny"], [b"xacme_abcd"]),
    ],
)  # fmt: skip
def test_ends(source, found, silent):
    """Ends of texts and lines that a stream knows too."""
    pattern = re.compile(rewrite(source).regex.encode())

    assert [] == [text for text in found if not pattern.search(text)]
    assert [] == [text for text in silent if pattern.search(text)]


def test_end_of_a_file():
    """An end that only a file has is not asked for, and that is told."""
    made = rewrite("^acme_[a-f]{4}$")

    assert "acme_[a-f]{4}" == made.regex
    assert 2 == sum("not asked for" in note for note in made.notes)


def test_an_end_within():
    """An end in the middle has no meaning in a stream: refused."""
    with pytest.raises(PackError, match="beginning or end of the text"):
        rewrite("(?:a$|b)cd")


def test_alternatives():
    """Each alternative has its own beginning and end."""
    made = rewrite(rf"[a-z]{{0,9}}?(acme_[a-f]{{8}}){END}|\b(corp_[a-f]{{8}}){END}")
    pattern = re.compile(made.regex.encode())

    assert made.regex.startswith("acme_")
    assert pattern.search(b"corp_abcdefab")
    assert pattern.search(b"acme_abcdefabc") is None
