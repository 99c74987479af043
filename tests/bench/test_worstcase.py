"""Worst-case payloads hold what their names say."""

import re

from bench import worstcase
from bench.signatures import tokens
from dlp.signatures.validators import VALIDATORS

TOKENS = tokens(77)
CARD = re.compile(rb"4\d{3} \d{4} \d{4} \d{4} ")


def found(payload):
    return sum(len(re.findall(token.regex.encode(), payload)) for token in TOKENS)


def test_each_fills_a_packet_and_is_the_same_again():
    """The cost is of 32 KB, and two runs compare."""
    made = worstcase.inputs(TOKENS)

    assert {worstcase.SIZE} == {len(payload) for payload in made.values()}
    assert made == worstcase.inputs(TOKENS)


def test_matches_match_and_near_misses_do_not():
    """A near miss costs all but the match; else it would be counted as one."""
    made = worstcase.inputs(TOKENS)

    assert found(made["matches: tokens"]) > 400
    assert 0 == found(made["near misses: tokens"])
    for name, valid in (("matches: cards", True), ("near misses: cards", False)):
        numbers = [number.replace(b" ", b"") for number in CARD.findall(made[name])]
        assert len(numbers) > 1000
        assert {valid} == {VALIDATORS["luhn"](number) for number in numbers}


def test_anchors_are_prefixes():
    """Each word begins a token and goes no further."""
    words = worstcase.inputs(TOKENS)["anchors"].decode().split()[:-1]

    assert {token.prefix for token in TOKENS} == set(words)
