import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlp.errors import PackError
from dlp.model import DecidedBy
from dlp.signatures import keywords, samples
from dlp.signatures.compiler import compile_packs
from dlp.signatures.keywords import keyword_table
from dlp.signatures.proximity import Proximity, is_decided, is_near, reach
from tests.signatures.making import pack, signature

WORDS = (b"id", b"id no", b"no", b"id no.", b"a")
texts = st.lists(
    st.sampled_from([b"id", b"ID", b"no", b"id no", b".", b" ", b"x", b"7", b"a", b"-", b"id no."]),
    max_size=8,
).map(b"".join)


def alone(text: bytes, first: int, last: int) -> bool:
    around = text[max(0, first - 1) : first] + text[last : last + 1]
    return not any(chr(byte).isascii() and chr(byte).isalnum() for byte in around)


def naive(text: bytes, start: int, end: int, asked: Proximity) -> bool:
    """The definition word by word."""
    for word in asked.keywords:
        for first in range(len(text) - len(word) + 1):
            last = first + len(word)
            if text[first:last].lower() != word or not alone(text, first, last):
                continue
            before, behind = start - last, first - end
            if asked.side != "after" and 0 <= before <= asked.distance:
                return True
            if asked.side != "before" and 0 <= behind <= asked.distance:
                return True
    return False


@given(
    before=texts,
    behind=texts,
    distance=st.integers(1, 12),
    side=st.sampled_from(["before", "after", "either"]),
    words=st.lists(st.sampled_from(WORDS), min_size=1, unique=True).map(tuple),
)
def test_near(before, behind, distance, side, words):
    """What the definition says: any case, alone, at most so far, on that side."""
    asked = Proximity(words, distance, side)
    text = before + b"V=1234" + behind
    start = len(before) + 2
    end = start + 4

    assert naive(text, start, end, asked) == is_near(text, start, end, asked)
    assert is_near(bytearray(text), start, end, asked) == is_near(text, start, end, asked)


@given(behind=texts, more=texts, side=st.sampled_from(["before", "after", "either"]))
def test_decided(behind, more, side):
    """What is called decided stays as it is, and a yes while bytes may come stays a yes."""
    asked = Proximity(WORDS, 5, side)
    text = b"no 1234" + behind
    later = is_near(text + more, 3, 7, asked)

    if is_decided(len(text), 7, asked):
        assert later == is_near(text, 3, 7, asked)
    if is_near(text, 3, 7, asked, ends=False):
        assert later
    assert is_decided(7 + reach(asked), 7, asked)


SSN = r"(?<![0-9-])[0-9]{3}-[0-9]{2}-[0-9]{4}(?![0-9-])"


def placed(asked: Proximity, regex: str = SSN):
    return compile_packs([pack(signature(regex, proximity=asked))])


def test_where_it_is_decided():
    """In the kernel up to the tail's length; else in the inspector, which says why."""
    fits = placed(Proximity((b"ssn", b"social security"), 126 - 11 - 15, "before"))
    assert DecidedBy.KERNEL is fits.signatures[0].decided
    assert fits.signatures[0].near == fits.signatures[0].proximity
    assert (b"social security", b"ssn") == fits.keywords.words
    for asked, why in (
        (Proximity((b"ssn", b"social security"), 126 - 11 - 14, "before"), "127 bytes"),
        (Proximity((b"ssn",), 10, "after"), "behind the value"),
        (Proximity((b"ssn",), 10, "either"), "behind the value"),
        (Proximity((b"#ssn",), 10, "before"), "letter"),
        (Proximity((b"s",), 10, "before"), "another character"),
    ):
        image = placed(asked)
        assert DecidedBy.INSPECTOR is image.signatures[0].decided
        assert why in image.signatures[0].why
        assert image.signatures[0].near is None
        assert asked == image.signatures[0].proximity
        assert () == image.keywords.words


def test_samples_ask_for_the_keyword():
    """A sample without its keyword does not match."""
    asked = Proximity((b"ssn",), 10, "before")
    good = signature(
        SSN, proximity=asked, must_match=(b"SSN 123-45-6789",), must_not_match=(b"x 123-45-6789",)
    )
    samples.check([good])
    bad = signature(SSN, proximity=asked, must_match=(b"123-45-6789",))

    with pytest.raises(PackError, match=r"must_match\[0\] does not match"):
        samples.check([bad])


def test_keyword_table():
    """Keywords once each, in the order of their first bytes; equal lists share a row."""
    rng = random.Random(3)
    lists = [
        Proximity(
            tuple(rng.sample((b"ssn", b"sin", b"id", b"Id no".lower(), b"tax"), 2)), 9, "before"
        )
        for _ in range(20)
    ]
    table = keyword_table(lists)

    assert sorted({w for each in lists for w in each.keywords}) == sorted(table.words)
    assert sorted(map(keywords.start, table.words)) == list(map(keywords.start, table.words))
    assert len(set(lists)) == len(table.lists)
    assert all(table.lists[table.row(each) - 1] == each for each in lists)
    assert 0 == table.row(None)


def pairs(low: int, high: int) -> list[bytes]:
    """Words that differ in their first two letters, as far as there are such."""
    return [b"%c%c%d" % (97 + n % 26, 97 + n // 26 % 26, n) for n in range(low, high)]


@pytest.mark.parametrize(
    ("lists", "what"),
    [
        ([[b"ka%d" % n for n in range(256)]], "256 keywords that begin alike"),
        ([[word] for word in pairs(0, 256)], "256 different keyword lists"),
        ([pairs(0, 513), pairs(513, 1025)], "1025 different keywords"),
    ],
)
def test_full_tables(lists, what):
    """What the kernel's tables have no room for is refused, and said."""
    fitting = [*[each[:-1] for each in lists[-1:]], *lists[:-1]]
    keyword_table(Proximity(tuple(each), 9, "before") for each in fitting if each)

    with pytest.raises(PackError, match=what):
        keyword_table(Proximity(tuple(each), 9, "before") for each in lists)
