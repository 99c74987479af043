"""Who takes whose place."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from dlp.enforcement.succession import Succession, beside, live, needed, taken_back
from dlp.errors import ConflictError
from dlp.releases.canary import Canary
from dlp.releases.life import BESIDE, State, check_step
from tests.api.fake import make_release

CANARY = Canary(netns=("web",))


def everyone(**states):
    """Releases by `r7=State.LIVE`."""
    return [make_release(int(name[1:]), state=state) for name, state in states.items()]


def states(change):
    return {one.version: one.state for one in change.moved}


def test_live():
    """The one before and all older ones are superseded; a newer one beside is compiled again."""
    them = everyone(
        r5=State.COMPILED,
        r6=State.SUPERSEDED,
        r7=State.LIVE,
        r8=State.COMPILED,
        r9=State.CANARY,
        r10=State.COMPILED,
        r4=State.REJECTED,
    )
    change = live(them[3], them, "x", before=7, now=5.0)

    assert {
        8: State.LIVE,
        7: State.SUPERSEDED,
        5: State.SUPERSEDED,
        9: State.COMPILED,
    } == states(change)
    first = change.moved[0]
    assert (5.0, 7, None) == (first.went_live, first.before, first.canary)


def test_beside():
    """At most one runs beside; the canary is kept as long as it is one."""
    them = everyone(r7=State.LIVE, r8=State.SHADOW, r9=State.COMPILED)
    change = beside(them[2], CANARY, them, "x")

    assert {9: State.CANARY, 8: State.COMPILED} == states(change)
    assert CANARY == change.moved[0].canary
    assert ("activate", "for web") == (change.steps[0].what, change.steps[0].reason)
    again = beside(change.moved[0], None, [], "x")
    assert (State.SHADOW, None) == (again.moved[0].state, again.moved[0].canary)


def test_taken_back():
    """What was live before is live again; why stays with the one that went."""
    them = everyone(r7=State.SUPERSEDED, r8=State.LIVE, r9=State.SHADOW)
    change = taken_back(them[1], State.SUPERSEDED, "noise", them[0], them, "x")

    assert {8: State.SUPERSEDED, 7: State.LIVE, 9: State.COMPILED} == states(change)
    assert ["noise", "", ""] == [one.reason for one in change.moved]


@pytest.mark.parametrize(
    "them",
    [
        everyone(r6=six, r7=seven, r8=eight)
        for six, seven, eight in itertools.product(
            (State.SUPERSEDED, State.COMPILED, State.REJECTED),
            (State.LIVE, State.SUPERSEDED),
            (State.COMPILED, State.SHADOW, State.CANARY),
        )
    ],
)
def test_invariants(them):
    """After each change at most one is live and one beside, by steps that a life allows."""
    for change in (
        live(them[2], them, "x", before=7, now=1.0),
        beside(them[2], CANARY, them, "x"),
        beside(them[2], None, them, "x"),
    ):
        after = {one.version: one for one in them} | {one.version: one for one in change.moved}
        assert sum(one.state is State.LIVE for one in after.values()) <= 1
        assert sum(one.state in BESIDE for one in after.values()) <= 1
        for one in change.steps:
            if one.before == one.after:
                continue
            try:
                check_step(one.version, State(one.before), State(one.after))
            except ConflictError as error:
                pytest.fail(f"{one}: {error}")


def test_gathered():
    """Each move is a step by who asked."""
    change = Succession("compile", "token ci")
    change.move(make_release(7, state=State.VERIFIED), State.REJECTED, "bad pack")

    (step,) = change.steps
    assert ("token ci", "compile", "verified", "rejected", "bad pack") == (
        step.who,
        step.what,
        step.before,
        step.after,
        step.reason,
    )
    assert "bad pack" == change.moved[0].reason


@pytest.mark.parametrize(
    ("rollbacks", "expected"), [(1, {7, 8, 9, 5}), (2, {7, 8, 9, 5, 3}), (9, {7, 8, 9, 5, 3})]
)
def test_needed(rollbacks, expected):
    """Archives of what may still act, and of what rollbacks lead to, one after another."""
    them = everyone(
        r2=State.SUPERSEDED,
        r3=State.SUPERSEDED,
        r4=State.REJECTED,
        r5=State.SUPERSEDED,
        r7=State.LIVE,
        r8=State.COMPILED,
        r9=State.SHADOW,
    )
    before = {7: 5, 5: 3, 3: 0}
    them = [replace(one, before=before.get(one.version)) for one in them]

    assert expected == needed(them, rollbacks)
    assert frozenset() == needed([], rollbacks)
