import pytest

from dlp.signatures.frequency import Corpus, share


def sets(text: str) -> list[tuple[int, ...]]:
    return [(ord(character),) for character in text]


@pytest.mark.parametrize("corpus", Corpus)
def test_whole(corpus):
    """All grams together are all positions, in each corpus."""
    every = tuple(value | 32 for value in range(256) if value & 32)

    assert share([every] * 3, corpus) == pytest.approx(1.0)


def test_order():
    """Common words are likelier than odd letters."""
    assert share(sets(" the")) > 100 * share(sets("zqxj"))


def test_corpora():
    """What JSON is full of is rarer in text, and the other way round."""
    for gram, likelier, rarer in (
        ('":"', Corpus.JSON, Corpus.TEXT),
        ('",', Corpus.JSON, Corpus.TEXT),
        (" of ", Corpus.TEXT, Corpus.JSON),
    ):
        folded = [(ord(character) | 32,) for character in gram]
        assert share(folded, likelier) > 1.5 * share(folded, rarer)
