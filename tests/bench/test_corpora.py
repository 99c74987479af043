"""The measured traffic: the right size, the same each time, planted without a loss."""

import itertools

import pytest

from bench import corpora


@pytest.mark.parametrize("size", [1000, 300_000])
def test_every_corpus_has_the_size_asked_for(size):
    """Figures per byte of two corpora compare only if both have their bytes."""
    made = corpora.corpora(size)

    assert ["source", "documents", "json", "random"] == [corpus.name for corpus in made]
    assert [size] * 4 == [len(corpus.data) for corpus in made]


def test_the_same_seed_gives_the_same_traffic():
    """Two runs on one machine measure the same bytes."""
    assert corpora.corpora(50_000) == corpora.corpora(50_000)


def test_json_is_rich_in_digits():
    """The digit lane has work: about a third of the bytes are digits."""
    data = corpora.digit_rich_json(100_000)

    share = sum(48 <= byte <= 57 for byte in data) / len(data)

    assert 0.3 < share < 0.4


def test_prose_fills_in_for_missing_documents(monkeypatch, tmp_path):
    """A bare machine without licence texts still has documents to send."""
    monkeypatch.setattr(corpora, "_DOCUMENTS", tmp_path)

    assert corpora.documents(10_000) == corpora.prose(10_000)


def test_planted_values_each_occur_once_and_keep_the_length():
    """What is due per copy of a corpus is exactly what was planted."""
    values = [b"first-value", b"second-value", b"third"]

    data = corpora.planted(bytes(5000), values)

    assert 5000 == len(data)
    assert [1, 1, 1] == [data.count(b"\n" + value + b"\n") for value in values]


def test_values_that_do_not_fit_are_refused():
    """A corpus too small for its plants would overwrite one with the next."""
    with pytest.raises(ValueError, match="no room"):
        corpora.planted(bytes(20), [b"x" * 12, b"y" * 12])


def test_pieces_lie_inside_and_apart():
    """Test runs see samples of the whole corpus, not one place of it."""
    data = bytes(itertools.islice(itertools.cycle(range(256)), 10_000))

    cut = corpora.pieces(data, 100, 12)

    assert 12 == len(cut)
    assert all(len(piece) == 100 for piece in cut)
    assert 12 == len(set(cut))
