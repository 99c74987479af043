from hypothesis import given
from hypothesis import strategies as st

from dlp.signatures.image import BLOOM_WORDS, BLOOM_WORDS_MOST, bloom_bits


@given(st.binary(min_size=4, max_size=4), st.sampled_from([2048, 4096, 8192]))
def test_bloom_bits(gram, words):
    """A gram's word lies in the filter, and a larger filter splits each word of a smaller."""
    word, one, two = bloom_bits(gram, words)

    assert 0 <= word < words
    assert 0 <= one < 64
    assert 0 <= two < 64
    assert (word * BLOOM_WORDS // words, one, two) == bloom_bits(gram)
    assert words <= BLOOM_WORDS_MOST
