import re

import pytest

from tests.signatures.generate_tokens import near_misses, tokens


@pytest.mark.parametrize(
    "source",
    [r"\bnpm_[A-Za-z0-9]{36}\b", r"(?i:acme_key)[=:]{1,3}[0-9a-f]{32}\b", r"x(?:a|bc){2}-[^\s]{4}"],
)
def test_tokens_match_and_near_misses_do_not(source):
    """Tokens are the same each time and match as a whole; what differs a little does not."""
    made = tokens(source, "seed")
    misses = [miss for token in made for miss in near_misses(source, token)]

    assert made == tokens(source, "seed") != tokens(source, "other")
    assert all(re.match(source.encode(), token.encode()) for token in made)
    assert len(misses) >= 3
    assert not any(re.search(source.encode(), miss.encode()) for miss in misses)


def test_what_cannot_be_drawn():
    """An expression that asks for what stands before it has no text of its own."""
    with pytest.raises(ValueError, match="found 0 of 3"):
        tokens(r"(?<=[a-z])abc[0-9]{8}", "seed")


def test_samples_of_a_pack_are_those_tokens(packs):
    """The samples of a token are what the script makes of the signature's id."""
    (pack,) = [each for each in packs if each.name == "secrets"]
    (one,) = [each for each in pack.signatures if each.id == "secrets.supabase.access-token"]

    assert [
        made in sample.decode()
        for made, sample in zip(tokens(one.regex, one.id), one.must_match, strict=True)
    ] == [True, True, True]
