"""What is to be said of the release that is in force."""

from __future__ import annotations

from dlp.enforcement.in_force import InForce
from dlp.enforcement.loaded import Sets
from dlp.enforcement.restored import Restored

DAY = 86400.0


def test_notes_and_ends():
    """Why something else runs, and what has expired, until another is in force."""
    known = InForce(
        Restored(
            sets=Sets(packs=()),
            notes=("release 8 was live and is not run: altered",),
            expires={"release 7": DAY, "the trust": 9 * DAY},
        )
    )

    assert 1 == len(known.problems(0.0, ()))
    late = known.problems(2 * DAY, ("own",))
    assert [True, True, True] == [
        "release 8" in late[0],
        "release 7 has expired on 1970-01-02" in late[1],
        "own in force, signed by nobody" in late[2],
    ]
    assert [["release 7"], [], ["the trust"]] == [
        known.expired(2 * DAY),
        known.expired(3 * DAY),
        known.expired(9 * DAY),
    ]
    known.now(None)
    assert ([], []) == (known.problems(99 * DAY, ()), known.expired(99 * DAY))
