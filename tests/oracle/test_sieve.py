"""What every match must hold: nothing that matches is ever held back."""

import random
import re

import pytest

from tests.oracle import cases, corpus
from tests.oracle.campaign import judge_of
from tests.oracle.model import Model, matches
from tests.oracle.sieve import EVERY, Need, Sieve, need

SEED = 11


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (rb"\bAKIA[A-Z0-9]{16}\b", Need((b"akia",), 0, 20)),
        (rb"(?<![0-9])4[0-9]{3}(?:[ -]?[0-9]{4}){3}(?!abc)", Need((b"4",), 16, 19)),
        (rb"(?i:to)(?:ke)n[ :]{1,3}[0-9]{2,9}", Need((b"token",), 2, 17)),
        (rb"(?:abc|def[0-9]|ghij)[0-9]", Need((b"abc", b"def", b"ghij"), 1, 5)),
        (rb"(?:abc|[0-9])x?y{0,3}", Need((), 0, 7)),
        (rb"[0-9]+", Need((), 1, EVERY)),
        (rb"(?:ab){3}(?:cd)+e?(?:fghijkl)?", Need((b"ababab",), 0, EVERY)),
        (rb"[aA][Bb]\d", Need((b"ab",), 1, 3)),
        (rb"a.b[^c]cc", Need((b"cc",), 0, 6)),
        (rb"a|b?", Need((), 0, 1)),
    ],
)
def test_need(source, expected):
    """Fixed bytes whatever their case, the fewest digits and the longest match."""
    assert expected == need(re.compile(source))


def test_left():
    """A rule stays where its text is and its digits stand close enough."""
    sieve = Sieve(enumerate(map(re.compile, (rb"key-[0-9]{3}", rb"[0-9]{4}", rb"ab|cd", rb"."))))

    def left(text: bytes) -> list[int]:
        return sorted(sieve.left(text))

    assert [3] == left(b"1 2 3 4")
    assert [0, 3] == left(b"KEY-12 .......... 3 4 5 678")
    assert [1, 3] == left(b"a 1234")
    assert [2, 3] == left(b"xCDx")


@pytest.mark.parametrize("stride", [None, 6])
def test_model_is_the_same_without(stride):
    """On cases of each kind, sieved and not, the model asks for the same."""
    judge = judge_of(stride, SEED, broad=True)
    sieved, plain = (Model(judge.set.packs.rules, sieved=sieved) for sieved in (True, False))
    due = tolerated = fired = 0
    for number in range(600):
        case = judge.cases[number]
        datagrams = case.carrier is cases.Carrier.UDP
        first, second = (
            (model.datagrams if datagrams else model.stream)(case.stream, case.segments)
            for model in (sieved, plain)
        )

        assert second == first, number
        due += sum(len(each.due) for each in first)
        tolerated += sum(len(each.tolerated) for each in first)
        fired += sum(len(each.prefilters) for each in first)
    assert due > 300
    assert tolerated > 25
    assert fired > 5


def test_every_secret_and_near_miss_passes():
    """Whatever an expression matches in secrets and near misses of all rules it is tried on."""
    judge = judge_of(None, SEED, broad=True)
    rules = judge.set.packs.rules
    samples = judge.set.packs.samples
    material = corpus.Corpus(rules, corpus.pools_of(rules, samples, SEED))
    sieve = Sieve((number, rule.regex) for number, rule in enumerate(rules))
    rng = random.Random(5)
    found = 0
    for number in range(len(rules)):
        texts = [*material.pools[number], *(material.near_miss(rng, number) for _ in range(12))]
        for text in texts:
            if any(matches(rules[number], text, 0, len(text))):
                assert number in sieve.left(text), rules[number].id
                found += 1
    assert found > 40 * len(rules)
