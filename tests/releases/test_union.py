"""Two sets side by side."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from dlp.model import Action
from dlp.policy import RuleRow
from dlp.releases.content import packs_of
from dlp.releases.union import candidate_rules, live_rules, unite
from dlp.signatures.compiler import compile_packs
from tests.releases.conftest import OTHER, PACK

DROP = RuleRow(Action.DROP, 0, 1)


def packs(**files):
    return packs_of({name: text.encode() for name, text in files.items()}, "set")


def pack(*words):
    """A pack with a signature for each (name, word)."""
    head, body = PACK.split("  - id", 1)
    return head + "".join(
        "  - id" + body.replace("key.long", f"key.{name}").replace("LONGKEY", word)
        for name, word in words
    )


def test_same():
    """Equal sets make a union that is the set; nothing is only counted."""
    live = packs(own=PACK)
    union = unite(live, packs(own=PACK))

    assert live == union.packs
    assert (frozenset(), frozenset({0})) == (union.own, union.shared)


def test_moved():
    """Other lines, other samples and another pack version make no other signature."""
    moved = "# a comment\n" + PACK.replace("version: 1", "version: 2")
    moved = moved.replace("LONGKEY-000000000000", "LONGKEY-111111111111")

    assert frozenset() == unite(packs(own=PACK), packs(own=moved)).own


def test_changed():
    """A signature with another expression is there twice under its id."""
    union = unite(packs(own=PACK), packs(own=PACK.replace("{12}", "{13}").replace("12", "12")))

    assert ("own.key.long", "own.key.long") == union.ids
    assert ((0,), (1,)) == (union.live, union.candidate)


def test_rules():
    """Live signatures act, the candidate's own are counted; in a canary only its own set acts."""
    live = packs(own=pack(("same", "SAMEKEY"), ("gone", "GONEKEY")))
    candidate = packs(own=pack(("same", "SAMEKEY"), ("came", "CAMEKEY")))
    union = unite(live, candidate)
    rows = {0: DROP, 1: DROP}

    assert {0: DROP, 1: DROP, 2: RuleRow(Action.DROP, 0, 1, shadow=True)} == live_rules(
        union, rows, rows
    )
    assert {0: DROP, 2: DROP} == candidate_rules(union, rows)


def test_compiles():
    """The union is a set that the compiler takes, in the union's order."""
    union = unite(packs(own=PACK), packs(own=PACK.replace("high", "low"), other=OTHER))
    image = compile_packs(union.packs)

    assert union.ids == tuple(one.id for one in image.signatures)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 8), unique=True, min_size=1),
    st.lists(st.integers(0, 8), unique=True, min_size=1),
    st.sets(st.integers(0, 8)),
)
def test_numbering(old, new, changed):
    """Whatever the sets: each signature of either is found in the union under its own id."""
    words = {number: f"WORDKEY{chr(65 + number)}" for number in range(9)}
    live = packs(own=pack(*((f"k{number}", words[number]) for number in old)))
    candidate = packs(
        own=pack(*((f"k{n}", words[n] + "X" if n in changed else words[n]) for n in new))
    )
    union = unite(live, candidate)
    flat = [signature for one in union.packs for signature in one.signatures]

    assert [one.id for one in flat] == list(union.ids)
    for source, places in ((live, union.live), (candidate, union.candidate)):
        mine = [signature for one in source for signature in one.signatures]
        assert [(one.id, one.regex) for one in mine] == [
            (flat[place].id, flat[place].regex) for place in places
        ]
    both = {f"own.key.k{number}" for number in set(old) & set(new) - changed}
    assert both == {union.ids[index] for index in union.shared}
    assert len(union.ids) == len(set(old)) + len(set(new)) - len(both)
    assert re.fullmatch(r"(own\.key\.k\d )+", " ".join(union.ids) + " ")
