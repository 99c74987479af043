"""Generated samples: right, of many kinds, and the same each time."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlp.errors import PackError
from dlp.signatures import generate
from dlp.signatures.finding import finds
from dlp.signatures.proximity import Proximity

TOKEN = r"\btok_(?:live|test)_[A-Za-z0-9]{24}\b"
CARD = r"(?<![0-9])4[0-9]{3}(?:[ -]?[0-9]{4}){3}(?![0-9])"


def test_positives_match():
    """Each matches, and stands in other surroundings than the one before."""
    found = generate.positives(TOKEN, count=5)

    assert 5 == len(set(found))
    assert all(re.search(TOKEN.encode(), sample) for sample in found)
    assert len({re.sub(TOKEN.encode(), b"", sample) for sample in found}) > 2


def test_near_misses_do_not():
    """Each is a positive with one thing wrong, and no two alike."""
    positives = generate.positives(TOKEN)
    found = generate.near_misses(TOKEN, of=positives, count=5)

    assert 5 == len(set(found))
    assert not any(re.search(TOKEN.encode(), sample) for sample in found)
    assert any(sample.startswith(positives[0][:-1]) for sample in found)


def test_checksum():
    """A value with a checksum is drawn until that holds; a near miss has a digit wrong."""
    positives = generate.positives(CARD, "luhn", count=4)
    near = generate.near_misses(CARD, "luhn", of=positives, count=4)

    assert all(list(finds(CARD, "luhn", sample)) for sample in positives)
    assert not any(list(finds(CARD, "luhn", sample)) for sample in near)
    assert any(re.search(CARD.encode(), sample) for sample in near), "the checksum alone fails"


def test_the_same_each_time():
    """Expression and seed give the samples; another seed gives others."""
    first = generate.positives(TOKEN)

    assert first == generate.positives(TOKEN)
    assert first != generate.positives(TOKEN, seed=1)
    assert generate.near_misses(TOKEN, of=first) == generate.near_misses(TOKEN, of=first)


def test_words():
    """Where a word must stand near, one does."""
    before = Proximity((b"acme", b"corp"), 40, "before")
    for sample in generate.positives(TOKEN, near=before):
        assert sample.startswith((b"acme: ", b"corp: "))
        assert list(finds(TOKEN, "", sample, before))
    for sample in generate.positives(TOKEN, near=Proximity((b"acme",), 40, "after")):
        assert sample.endswith(b" acme")


def test_a_word_that_is_missing():
    """Where a word must stand near, a near miss is the value without one."""
    near = Proximity((b"acme",), 40, "before")
    positives = generate.positives(TOKEN, near=near)
    first, *_ = generate.near_misses(TOKEN, of=positives, near=near)

    assert re.search(TOKEN.encode(), first)
    assert b"acme" not in first


def test_an_expression_of_one_value():
    """It stands in three surroundings."""
    found = generate.positives(r"\bTOPSECRET\b")

    assert 3 == len(set(found))
    assert all(b"TOPSECRET" in sample for sample in found)


def test_what_no_pack_can_hold():
    """An expression of bytes beyond text has no samples, and says so."""
    with pytest.raises(PackError, match="no sample"):
        generate.positives(r"\xff\xfe[\x80-\xff]{4}")


PARTS = st.sampled_from(
    ["[a-f]{4}", "x", "(?:ab|cd|[0-9]{2})", "[0-9]{2,5}", "(?i:key)", r"\s?", "[^a-z]{3}", "z+"]
)


@settings(max_examples=80, deadline=None)
@given(parts=st.lists(PARTS, min_size=1, max_size=5))
def test_any_expression(parts):
    """Whatever the expression, positives match and negatives do not."""
    source = r"\bqq" + "".join(parts)
    positives = generate.positives(source)

    assert positives
    for sample in positives:
        assert re.search(source.encode(), sample)
    for sample in generate.near_misses(source, of=positives):
        assert not re.search(source.encode(), sample)
