"""What a candidate would do otherwise than the live set, by signature and by workload.

Two parts: what differs in the sets themselves, and what their hits on real traffic say.
Hits are whole counts by the kernel; examples are a few of them, masked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dlp.releases.union import unite
from dlp.signatures.pack import Pack

EXAMPLES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A hit, masked. `digest`: keyed, hex; equal for equal values."""

    workload: str
    masked: str
    digest: str
    time: float


@dataclass(frozen=True, slots=True)
class Count:
    """Hits of one signature in one workload.

    Attributes:
        matches: values that were new in their flow.
        acted: of these, how many were dropped or held, or would have been.
        asked: how often the inspector was called to decide, or would have been.
    """

    matches: int = 0
    acted: int = 0
    asked: int = 0

    def __add__(self, more: Count) -> Count:
        return Count(self.matches + more.matches, self.acted + more.acted, self.asked + more.asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits:
    """Hits since the shadow began, by (signature id, workload).

    Attributes:
        live, candidate: of signatures that only one set has, or that they define otherwise.
        shared: of signatures that both sets define alike.
        examples: by signature id and whose hit it is (True: the candidate's).
    """

    live: Mapping[tuple[str, str], Count]
    candidate: Mapping[tuple[str, str], Count]
    shared: Mapping[tuple[str, str], Count]
    examples: Mapping[tuple[str, bool], Sequence[Example]]


_NONE: Final = Count()
NO_HITS: Final = Hits(live={}, candidate={}, shared={}, examples={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One signature in one workload.

    Attributes:
        live, candidate: matches of either set, whatever the policy makes of them.
        would_newly_drop: drops and holds that only the candidate has; `would_no_longer_drop`
            those that only the live set has; `unchanged` those of both. By number: where both
            define a signature otherwise, as many of one set as of the other count as the
            same ones.
        would_ask: how much oftener the inspector would be called than it is; below 0 if less.
    """

    signature: str
    workload: str
    live: int
    candidate: int
    would_newly_drop: int
    would_no_longer_drop: int
    unchanged: int
    would_ask: int = 0
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """Of a candidate against what runs.

    Attributes:
        version, against: of the candidate and the live release; 0 is the policy file's packs.
        since: when counting began, seconds since the epoch; None where nothing was counted.
        added, removed, changed: ids of signatures; `same` is the number of all others.
    """

    version: int
    against: int
    since: float | None
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    same: int
    entries: tuple[Entry, ...]


def compare(
    live: Sequence[Pack],
    candidate: Sequence[Pack],
    *,
    version: int,
    against: int,
    hits: Hits = NO_HITS,
    since: float | None = None,
) -> Diff:
    """The difference of two sets, with what was counted of them."""
    old = _ids(live)
    new = _ids(candidate)
    union = unite(live, candidate)
    changed = {union.ids[index] for index in union.own} & old
    return Diff(
        version=version,
        against=against,
        since=since,
        added=tuple(sorted(new - old)),
        removed=tuple(sorted(old - new)),
        changed=tuple(sorted(changed)),
        same=len((old & new) - changed),
        entries=tuple(entries(hits)),
    )


def entries(hits: Hits) -> Iterable[Entry]:
    """By signature, then workload; those that change something first."""
    keys = hits.live.keys() | hits.candidate.keys() | hits.shared.keys()
    made = [_entry(signature, workload, hits) for signature, workload in keys]
    told = [one for one in made if one.live or one.candidate or one.would_ask]
    return sorted(told, key=lambda one: (_same(one), one.signature, one.workload))


def _same(entry: Entry) -> bool:
    changed = entry.would_newly_drop or entry.would_no_longer_drop or entry.would_ask
    return not changed and entry.live == entry.candidate


def _entry(signature: str, workload: str, hits: Hits) -> Entry:
    key = signature, workload
    live, candidate = hits.live.get(key, _NONE), hits.candidate.get(key, _NONE)
    shared = hits.shared.get(key, _NONE)
    examples: list[Example] = []
    if live.matches != candidate.matches:
        found = hits.examples.get((signature, candidate.matches > live.matches), ())
        examples = [one for one in found if one.workload == workload]
    return Entry(
        signature=signature,
        workload=workload,
        live=live.matches + shared.matches,
        candidate=candidate.matches + shared.matches,
        would_newly_drop=max(0, candidate.acted - live.acted),
        would_no_longer_drop=max(0, live.acted - candidate.acted),
        unchanged=min(live.acted, candidate.acted) + shared.acted,
        would_ask=candidate.asked - live.asked,
        examples=tuple(examples[:EXAMPLES]),
    )


def _ids(packs: Sequence[Pack]) -> set[str]:
    return {signature.id for pack in packs for signature in pack.signatures}
