"""Who takes whose place: the releases that change their state with one change, and the steps.

Values in, values out; what is returned is written down in one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from dlp.releases.canary import Canary
from dlp.releases.life import BESIDE, State
from dlp.service import Release, ReleaseStep

_ENDED: Final = frozenset({State.REJECTED, State.SUPERSEDED})
_EARLIER: Final = frozenset({State.VERIFIED, State.COMPILED, *BESIDE})


class Succession:
    """Gathers what changes with one change that somebody asked for.

    Args:
        what: the change, as the audit calls it.
        by: who asked.
    """

    def __init__(self, what: str, by: str) -> None:
        self.moved: list[Release] = []
        self.steps: list[ReleaseStep] = []
        self._what = what
        self._by = by

    def move(self, release: Release, state: State, reason: str = "") -> None:
        """A release is in another state from here on; why is kept where it is out of force."""
        self.steps.append(
            step(release.version, self._by, self._what, release.state.value, state.value, reason)
        )
        canary = release.canary if state is State.CANARY else None
        self.moved.append(replace(release, state=state, canary=canary, reason=_kept(state, reason)))


def beside(
    release: Release, canary: Canary | None, everyone: Iterable[Release], by: str
) -> Succession:
    """It runs beside the live one; one that did before is compiled again."""
    state = State.SHADOW if canary is None else State.CANARY
    change = Succession("shadow" if canary is None else "activate", by)
    change.move(replace(release, canary=canary), state, _told(canary))
    for one in everyone:
        if one.state in BESIDE and one.version != release.version:
            change.move(one, State.COMPILED, f"release {release.version} runs beside")
    return change


def live(
    release: Release, everyone: Iterable[Release], by: str, *, before: int, now: float
) -> Succession:
    """It is live: the one before and all older ones are superseded.

    Args:
        before: what was live before it, 0 for the policy file's packs.
    """
    change = Succession("activate", by)
    change.move(replace(release, went_live=now, before=before), State.LIVE)
    told = f"release {release.version} is live"
    for one in everyone:
        if one.version == release.version:
            continue
        older = one.state in _EARLIER and one.version < release.version
        if one.state is State.LIVE or older:
            change.steps.append(
                step(one.version, by, "activate", one.state.value, State.SUPERSEDED.value, told)
            )
            change.moved.append(replace(one, state=State.SUPERSEDED, canary=None, reason=""))
        elif one.state in BESIDE:
            change.move(one, State.COMPILED, told)
    return change


def taken_back(
    release: Release,
    state: State,
    reason: str,
    before: Release | None,
    everyone: Iterable[Release],
    by: str,
) -> Succession:
    """The live one is out of force, and what was live before it is live again.

    Args:
        before: that release; None for the policy file's packs.
    """
    change = Succession("rollback", by)
    change.move(release, state, reason)
    told = f"release {release.version} was rolled back"
    if before is not None:
        change.move(before, State.LIVE, told)
    for one in everyone:
        if one.state in BESIDE and one.version != release.version:
            change.move(one, State.COMPILED, told)
    return change


def needed(everyone: Iterable[Release], rollbacks: int) -> frozenset[int]:
    """Versions whose archives are needed: of what has not ended, and of what rollbacks lead to.

    Args:
        rollbacks: how many in a row.
    """
    known = {one.version: one for one in everyone}
    found = {one.version for one in known.values() if one.state not in _ENDED}
    at = next((one for one in known.values() if one.state is State.LIVE), None)
    for _ in range(rollbacks):
        at = known.get(at.before or 0) if at else None
        if at is None:
            break
        found.add(at.version)
    return frozenset(found)


def step(
    version: int, who: str, what: str, before: str, after: str, reason: str = ""
) -> ReleaseStep:
    """A step that is taken now."""
    return ReleaseStep(
        time=time.time(),
        version=version,
        who=who,
        what=what,
        before=before,
        after=after,
        reason=reason,
    )


def _kept(state: State, reason: str) -> str:
    return reason if state in _ENDED else ""


def _told(canary: Canary | None) -> str:
    if canary is None:
        return ""
    parts = [*canary.netns]
    if canary.percent:
        parts.append(f"{canary.percent} %")
    return f"for {', '.join(parts)}"
