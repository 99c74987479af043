"""The life of a release on a host: its states, and the steps between them.

    uploaded ─► verified ─► compiled ─► shadow ─► canary ─► live ─► superseded
                                 └──────────┴────────┴──────┘
    each before live ─► rejected; shadow and canary end in compiled as well

At most one release is live, at most one is in shadow or canary.
"""

from __future__ import annotations

import enum
from typing import Final

from dlp.errors import ConflictError


class State(enum.StrEnum):
    """`uploaded`: its bytes are here. `verified`: its signatures, expiry and version hold.

    `compiled`: its signatures fit the kernel and the policies. `shadow`: it runs beside the
    live set and is only counted. `canary`: it acts for some workloads, and is counted for
    the others. `live`: it acts for all. `rejected`: it failed, with the reason. `superseded`:
    another one took its place, or it was rolled back.
    """

    UPLOADED = "uploaded"
    VERIFIED = "verified"
    COMPILED = "compiled"
    SHADOW = "shadow"
    CANARY = "canary"
    LIVE = "live"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"


BESIDE: Final = frozenset({State.SHADOW, State.CANARY})

_STEPS: Final[dict[State, frozenset[State]]] = {
    State.UPLOADED: frozenset({State.VERIFIED, State.REJECTED}),
    State.VERIFIED: frozenset({State.COMPILED, State.REJECTED, State.SUPERSEDED}),
    State.COMPILED: frozenset(
        {State.SHADOW, State.CANARY, State.LIVE, State.REJECTED, State.SUPERSEDED}
    ),
    State.SHADOW: frozenset(
        {State.COMPILED, State.CANARY, State.LIVE, State.REJECTED, State.SUPERSEDED}
    ),
    State.CANARY: frozenset(
        {
            State.COMPILED,
            State.SHADOW,
            State.CANARY,
            State.LIVE,
            State.REJECTED,
            State.SUPERSEDED,
        }
    ),
    State.LIVE: frozenset({State.SUPERSEDED, State.REJECTED}),
    # Only a rollback brings one back that was live; the same archive may be tried again.
    State.SUPERSEDED: frozenset({State.LIVE}),
    State.REJECTED: frozenset({State.UPLOADED}),
}


def check_step(version: int, now: State, then: State) -> None:
    """Raise ConflictError, with the present state, where that step cannot be taken."""
    if then in _STEPS[now]:
        return
    remedy = {
        State.SUPERSEDED: "a rollback brings back what was live before; else build a newer version",
        State.REJECTED: "build it anew under a higher version, or upload it again",
    }.get(now, "`dlp release show` tells its state")
    raise ConflictError(
        f"release {version} is {now.value} and cannot become {then.value}",
        state=now.value,
        remedy=remedy,
    )
