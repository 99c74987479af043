"""What a candidate would do otherwise."""

from __future__ import annotations

from dlp.releases.content import packs_of
from dlp.releases.diff import Count, Example, Hits, compare
from tests.releases.conftest import OTHER, PACK

LIVE = packs_of({"own": PACK.encode()}, "live")
CHANGED = PACK.replace("[A-Z0-9]{12}", "[A-Z0-9]{12,12}")


def test_sets():
    """Added, removed, changed and same signatures are told by id."""
    third = OTHER.replace("other", "third")
    candidate = packs_of({"own": CHANGED.encode(), "third": third.encode()}, "new")
    old = packs_of({"own": PACK.encode(), "other": OTHER.encode()}, "old")

    found = compare(old, candidate, version=8, against=7)

    assert (("third.key.long",), ("other.key.long",), ("own.key.long",), 0) == (
        found.added,
        found.removed,
        found.changed,
        found.same,
    )
    assert () == found.entries
    assert 1 == compare(old, LIVE, version=8, against=7).same


def test_entries():
    """Hits by signature and workload: newly, no longer, unchanged, with masked examples."""
    example = Example(workload="web", masked="4111********1111", digest="ab", time=1.0)
    other = Example(workload="db", masked="5111********1111", digest="cd", time=1.0)
    hits = Hits(
        live={("a.b.c", "web"): Count(2, 2), ("a.b.gone", "web"): Count(4, 4)},
        candidate={("a.b.c", "web"): Count(5, 5), ("a.b.new", "db"): Count(1, 1)},
        shared={("a.b.same", "web"): Count(9, 9), ("a.b.none", "web"): Count()},
        examples={("a.b.c", True): [other, example], ("a.b.new", True): [other]},
    )

    found = compare(LIVE, LIVE, version=8, against=7, hits=hits, since=5.0).entries

    assert [
        ("a.b.c", "web", 2, 5, 3, 0, 2, (example,)),
        ("a.b.gone", "web", 4, 0, 0, 4, 0, ()),
        ("a.b.new", "db", 0, 1, 1, 0, 0, (other,)),
        ("a.b.same", "web", 9, 9, 0, 0, 9, ()),
    ] == [
        (
            one.signature,
            one.workload,
            one.live,
            one.candidate,
            one.would_newly_drop,
            one.would_no_longer_drop,
            one.unchanged,
            one.examples,
        )
        for one in found
    ]


def test_alerts_and_questions():
    """What only alerts is a match and no drop; what the inspector decides is a question more."""
    hits = Hits(
        live={("a.b.c", "web"): Count(3, 0)},
        candidate={("a.b.c", "web"): Count(3, 0), ("a.b.d", "web"): Count(0, 0, 7)},
        shared={},
        examples={},
    )
    first, second = compare(LIVE, LIVE, version=8, against=7, hits=hits).entries

    assert ("a.b.d", 7, 0) == (first.signature, first.would_ask, first.would_newly_drop)
    assert (3, 3, 0, 0, 0) == (
        second.live,
        second.candidate,
        second.would_newly_drop,
        second.would_no_longer_drop,
        second.unchanged,
    )
