import pytest

from dlp.errors import PackError
from dlp.signatures.samples import check, finds
from tests.signatures.making import signature


def test_builtin_samples(packs):
    """Every sample of the built-in packs agrees with `re` and the validator."""
    for pack in packs:
        for one in pack.signatures:
            check(one)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ({"must_match": (b"token9",)}, r"must_match\[0\] does not match"),
        ({"must_not_match": (b"a token1",)}, r"must_not_match\[0\] matches"),
    ],
)
def test_disagreement(samples, message):
    """A sample that disagrees refuses the pack, named by its number and line, not shown."""
    with pytest.raises(PackError, match=message) as caught:
        check(signature("token[0-8]", **samples))

    assert "token1" not in str(caught.value)
    assert caught.value.place is not None
    assert caught.value.place.line in (11, 13)


def test_unknown_validator():
    """A validator that is not there is named with those that are."""
    with pytest.raises(PackError, match=r"no such validator.*luhn"):
        check(signature("token[0-8]", validator="adler"))


def test_every_start():
    """Overlapping matches are found at each start, with what stands before in view."""
    assert [(0, 2), (1, 3)] == list(finds("aa", "", b"aaa"))
    assert [(1, 2)] == list(finds(r"(?<=x)a", "", b"xaa"))
