"""Negatives of the built-in packs are near misses: what honest traffic holds that looks alike."""

import difflib
import re

import pytest

from dlp.model import DecidedBy

TEXTUAL = ("secrets", "crypto", "source-code", "confidential", "exfil")
PACKS = ("pci", "phi", "pii", *TEXTUAL)
SIMILAR = 0.7
# Numbers of other kinds, which no signature may take for its own.
STRANGERS = {
    "uuid": re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    "version": re.compile(rb"(?<![0-9.])v?[0-9]+\.[0-9]+\.[0-9]+(?![0-9.])"),
    "time": re.compile(
        rb"[0-9]{4}-[0-9]{2}-[0-9]{2}|(?<![0-9])1[67][0-9]{8}(?:[0-9]{3})?(?![0-9])"
    ),
    "decimal": re.compile(rb"[0-9]\.[0-9]"),
}
# Values without a run of digits that could be longer: words, names in capitals, addresses.
NO_RUN = {
    *("phi.intl.blood-type", "phi.intl.hiv", "pii.intl.bic", "pii.intl.mrz"),
    *("pii.intl.email-bulk", "pii.intl.email-freemail", "pci.track.one"),
}
NO_DIGIT = {"pii.intl.bic"}


def numeric(packs):
    return [one for pack in packs if pack.name not in TEXTUAL for one in pack.signatures]


def changed(one) -> bool:
    """Some negative is a positive with one character changed."""
    return any(
        len(good) == len(bad) and sum(a != b for a, b in zip(good, bad, strict=True)) == 1
        for good in one.must_match
        for bad in one.must_not_match
    )


def runs(text: bytes) -> list[bytes]:
    return [run for run in re.findall(rb"[0-9A-Za-z]+", text) if re.search(rb"[0-9]", run)]


def longer(one) -> bool:
    """Some negative has a run of digits and letters of a positive within a longer one."""
    own = [run for good in one.must_match for run in runs(good)]
    return any(
        len(run) > len(each) and each in run
        for bad in one.must_not_match
        for run in runs(bad)
        for each in own
    )


def test_a_digit_changed(packs):
    """Where there is a checksum, a number with one digit changed is among the negatives."""
    checked = [one for one in numeric(packs) if one.validator and one.id not in NO_DIGIT]

    assert not [one.id for one in checked if not changed(one)]


def test_a_longer_run(packs):
    """A longer run of digits or letters around the value is among them."""
    assert not [one.id for one in numeric(packs) if one.id not in NO_RUN and not longer(one)]


def test_strangers(packs):
    """So is a UUID, a version, a time or a decimal; each of these in cards, ids and health data."""
    lacking = []
    met = {}
    for one in numeric(packs):
        kinds = {
            kind
            for kind, pattern in STRANGERS.items()
            if any(map(pattern.search, one.must_not_match))
        }
        met.setdefault(one.id.partition(".")[0], set()).update(kinds)
        if not kinds:
            lacking.append(one.id)

    assert not lacking
    assert {key: set(STRANGERS) for key in ("pci", "pii", "phi")} == met


@pytest.mark.parametrize("name", TEXTUAL)
def test_texts_that_differ_little(packs, name):
    """Two negatives at least are nearly a positive: a character less, another word."""
    (pack,) = [each for each in packs if each.name == name]
    lacking = []
    for one in pack.signatures:
        near = sum(
            any(
                difflib.SequenceMatcher(None, good, bad, autojunk=False).ratio() >= SIMILAR
                for good in one.must_match
            )
            for bad in one.must_not_match
        )
        if near < 2:
            lacking.append(one.id)

    assert not lacking


@pytest.mark.parametrize("name", PACKS)
def test_decided_in_the_kernel(packs, image, name):
    """Half of each pack's signatures or more, the family `pii` as one."""
    chosen = [
        signature.decided
        for signature in image.signatures
        if signature.id.partition(".")[0] == name
    ]

    assert sum(one is DecidedBy.KERNEL for one in chosen) * 2 >= len(chosen) > 0
