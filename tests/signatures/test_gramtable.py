import pytest

from dlp.errors import PackError
from dlp.signatures.gramtable import GramTable
from dlp.signatures.image import ANCHORS_PER_GRAM, bloom_bits
from dlp.signatures.lowering import lower
from dlp.signatures.regex import parse


def test_crowded_grams_are_avoided():
    """Shapes of one prefix are told apart further on, and refused where they cannot be."""
    table = GramTable(2)
    same = lower(parse("token"), checked=False).forms[0]
    more = lower(parse("token[0-9]zq"), checked=False).forms[0]

    for number in range(ANCHORS_PER_GRAM):
        table.add(same, number)
    with pytest.raises(PackError, match="shared by more than"):
        table.add(same, ANCHORS_PER_GRAM)
    assert {offset for _, offset in table.add(more, ANCHORS_PER_GRAM)} - {0, 1}


def test_bloom_holds_every_gram():
    """Each gram of the table passes the filter."""
    table = GramTable(3)
    table.add(lower(parse(r"\bghp_[0-9a-z]{36}"), checked=False).forms[0], 0)
    words = table.bloom()

    for gram in table.frozen():
        word, one, two = bloom_bits(gram, len(words))
        assert words[word] >> one & words[word] >> two & 1


def test_bloom_grows():
    """A larger set gets a larger filter, up to what the kernel has room for."""
    sizes = []
    for count in (10, 5000, 40000):
        table = GramTable(2)
        table.entries = {number.to_bytes(4, "big"): [(0, 0)] for number in range(count)}
        sizes.append(len(table.bloom()))

    assert [2048, 4096, 8192] == sizes
