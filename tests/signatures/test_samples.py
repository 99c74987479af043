import pytest

from dlp.errors import PackError
from dlp.signatures import samples as judging
from dlp.signatures import trial
from dlp.signatures.samples import check
from tests.signatures.making import signature


def test_builtin_samples(packs):
    """Every sample of the built-in packs agrees with `re` and the validator."""
    check(one for pack in packs for one in pack.signatures)


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
        check([signature("token[0-8]", **samples)])

    assert "token1" not in str(caught.value)
    assert caught.value.place is not None
    assert caught.value.place.line in (11, 13)


def test_unknown_validator():
    """A validator that is not there is named with those that are."""
    with pytest.raises(PackError, match=r"no such validator.*luhn"):
        check([signature("token[0-8]", validator="adler")])


@pytest.mark.parametrize(
    "expression",
    ["(a+)+b", "(a|a)*b", "(?:a{0,9}){9}(?:a{0,9}){9}b", r"(?:\w+[ ]?)+:", "a+a+a+a+a+a+b"],
)
def test_endless(expression):
    """An expression that backtracks on its sample is refused, with its place."""
    sample = b"a" * (60 if expression != "a+a+a+a+a+a+b" else 400)
    good = signature("token[0-8]", must_match=(b"token1",))
    bad = signature(expression, id_="made.slow.one", must_not_match=(sample,))

    with pytest.raises(PackError, match=r"made\.slow\.one: its samples cannot be tried") as caught:
        check([good, bad])
    assert 9 == caught.value.place.line


def test_tried_apart(monkeypatch):
    """What is tried in a process of its own is judged alike, validators too."""
    monkeypatch.setattr(judging, "EFFORT", 0)
    card = b"4111 1111 1111 1111"
    good = signature(
        r"[0-9 ]{19}", validator="luhn", must_match=(card,), must_not_match=(card[1:],)
    )

    check([good, signature("b", must_match=(b"abc",))])
    with pytest.raises(PackError, match=r"must_match\[1\] does not match"):
        check([good, signature("b", must_match=(b"abc", b"xyz"))])
    with pytest.raises(PackError, match=r"must_not_match\[0\] matches"):
        check([signature("b", must_match=(b"abc",), must_not_match=(b"b",)), good])


def test_slow_ones_do_not_hide_others():
    """Each of those that are tried apart gets its own time."""
    slow = trial.Trial("(a+)+b", "", (b"a" * 60,))
    quick = trial.Trial("a", "", (b"xay", b"xy"))

    assert [(True, False), None, (True, False)] == trial.tried([quick, slow, quick])
