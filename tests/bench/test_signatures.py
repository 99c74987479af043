"""The synthetic signature set: formed like real tokens, stable, readable as a pack."""

import re

from bench import signatures
from dlp.signatures.pack import load_pack


def test_a_larger_set_holds_the_smaller_one():
    """What is planted for 100 signatures is due with 1,000 too."""
    assert signatures.tokens(90) == signatures.tokens(980)[:90]


def test_prefixes_are_distinct_and_as_long_as_real_ones():
    """Three to eight bytes, none twice."""
    prefixes = [token.prefix for token in signatures.tokens(980)]

    assert 980 == len(set(prefixes))
    assert {3, 4, 5, 6, 7, 8} == {len(prefix) for prefix in prefixes}


def test_each_value_matches_its_regex_on_a_line_of_its_own():
    """Planted values are matches, whole and alone."""
    for token in signatures.tokens(200):
        found = re.findall(token.regex.encode(), b"\n" + token.value().encode() + b"\n")

        assert [token.value().encode()] == found


def test_a_shortened_value_does_not_match():
    """The length in the regex is exact, so that one value is one match."""
    for token in signatures.tokens(200):
        assert not re.search(token.regex, token.value()[:-1])


def test_the_pack_text_is_a_pack(tmp_path):
    """The compiler under test reads the set as any customer's pack."""
    members = signatures.tokens(30)
    file = tmp_path / f"{signatures.PACK}.yaml"
    file.write_text(signatures.pack_text(members))

    pack = load_pack(file)

    assert [token.id for token in members] == [each.id for each in pack.signatures]
    assert [token.regex for token in members] == [each.regex for each in pack.signatures]
