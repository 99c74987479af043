"""A set that exceeds a table says what takes most of it."""

import pytest

from dlp.errors import PackError
from dlp.signatures import image
from dlp.signatures.compiler import compile_packs
from tests.signatures.making import pack, signature


def test_lane():
    """More lane shapes than there are bits: the largest are named, the first with its place."""
    many = [
        signature(f"(?<![0-9]){n:02}[0-9]{{9}}(?![0-9])", id_=f"made.digits.n{n}")
        for n in range(image.LANE_SHAPES)
    ]
    large = signature("(?<![0-9])(?:[0-9]{9}|[A-Z][0-9]{10})(?![0-9])", id_="made.large.one")

    with pytest.raises(PackError, match="66 of the 64 shapes that the digit lane") as raised:
        compile_packs([pack(*many, large)])
    assert "the packs made (66)" in raised.value.message
    assert "the signatures made.large.one (2), made.digits.n0 (1)" in raised.value.message
    assert "drop" in raised.value.remedy
    assert large.place == raised.value.place


def test_shapes(monkeypatch):
    """More shapes than the table has rows."""
    monkeypatch.setattr(image, "SHAPES", 3)
    words = signature("alphabetical|betabetical", id_="made.two.words")
    others = [signature(f"{one}-one-two-three", id_=f"made.{one}.x") for one in ("ab", "cd")]

    with pytest.raises(PackError, match="4 of the 3 shapes") as raised:
        compile_packs([pack(*others, words)])
    assert "made.two.words (2)" in raised.value.message


def test_classes(monkeypatch):
    """More byte classes than have numbers; what others need too counts for nobody."""
    monkeypatch.setattr(image, "CLASSES", 3)
    first = signature("first-words-[a-f]{9}[g-p]{9}", id_="made.first.x")
    second = signature("second-words-[a-f]{9}[q-z]{9}", id_="made.second.x")

    with pytest.raises(PackError, match=r"4 of the 3 byte classes.*made\.first\.x \(1\)"):
        compile_packs([pack(first, second)])


def test_signatures():
    """More signatures than the table has rows: the packs that hold most are named."""
    many = [signature("x", id_=f"made.x.n{n}") for n in range(image.SIGNATURES + 1)]

    with pytest.raises(PackError, match=r"4097 signatures of the 4096.*made \(4097\)"):
        compile_packs([pack(*many)])
