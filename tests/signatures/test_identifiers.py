"""The packs of cards, persons' identifiers and health data: what each signature must have."""

import re
from pathlib import Path

import pytest

from dlp.model import DecidedBy
from dlp.signatures.compiler import compile_packs
from dlp.signatures.pack import builtin_names, load_packs
from tests.signatures.generate_ids import finder, matching, near_misses

NAMES = ("pci", "pii", "phi")
REGIONS = (
    "us ca uk ie de fr es it nl be pl se dk fi no ch at pt gr cz eu "
    "in jp kr sg au nz br mx za il tr iban intl"
)
WORD = re.compile(r"[A-Za-z\\]{3}")


@pytest.fixture(scope="module")
def every():
    return [one for pack in load_packs(NAMES, Path()) for one in pack.signatures]


def test_regions():
    """Each region has its pack, and `pii` stands for all of them."""
    packs = {pack.name for pack in load_packs(["pii"], Path())}

    assert {f"pii-{region}" for region in REGIONS.split()} <= packs
    assert {name for name in builtin_names() if name.startswith("pii")} == packs


def test_count(every):
    """More than enough of them, in every pack some."""
    assert len(every) >= 150


def test_samples(every):
    """Three of each kind at least, none of them twice."""
    for one in every:
        assert len(set(one.must_match)) == len(one.must_match) >= 3, one.id
        assert len(set(one.must_not_match)) == len(one.must_not_match) >= 3, one.id


def test_no_shape_alone(every):
    """Digits alone are no signature: a check, words near or a word in the expression."""
    bare = [
        one.id
        for one in every
        if not one.validator and not one.proximity and not WORD.search(one.regex)
    ]

    assert not bare


def test_near_misses(every):
    """Where there is a check, some negative is a positive but for digits and letters."""
    capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    kinds = str.maketrans("0123456789" + capitals, "#" * 10 + "@" * 26)
    lacking = [
        one.id
        for one in every
        if one.validator
        and not {sample.decode().translate(kinds) for sample in one.must_match}
        & {sample.decode().translate(kinds) for sample in one.must_not_match}
    ]

    assert not lacking


def test_decided(every):
    """In each category half or more are decided in the kernel, but where letters are checked."""
    image = compile_packs(load_packs(NAMES, Path()))
    kernel = {one.id for one in image.signatures if one.decided is DecidedBy.KERNEL}

    assert len(kernel) >= len(every) * 3 // 4
    for category in {one.category for one in every} - {"contact"}:
        ids = [one.id for one in every if one.category == category]
        assert sum(id_ in kernel for id_ in ids) * 2 >= len(ids), category


def test_generator(every):
    """It makes numbers that match, the same each time, and near misses that do not."""
    pesel = next(one for one in every if one.id == "pii.pl.pesel")
    found = finder(pesel.regex, pesel.validator)
    text = matching("PESEL: ##0#1######", found, 1)

    assert found(text)
    assert text == matching("PESEL: ##0#1######", found, 1)
    misses = list(near_misses("PESEL: ##0#1######", text, found))
    assert len(misses) >= 3
    assert not any(map(found, misses))
    with pytest.raises(LookupError, match="no match"):
        matching("###", found, 1)
