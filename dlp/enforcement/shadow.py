"""What live set and candidate hit while the candidate runs beside: counts and masked examples.

The kernel counts by the indices of one image and begins anew with each load; here counts go
on as long as the same two sets stand against each other.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Final

from dlp.enforcement.loaded import Loaded
from dlp.model import Verdict
from dlp.releases.diff import EXAMPLES, NO_HITS, Count, Example, Hits
from dlp.releases.union import Union

_MOST: Final = 8 * EXAMPLES  # of a signature, so that each workload may have some

Counts = Mapping[tuple[str, int], Count]


class ShadowAccount:
    """Fed with the kernel's counts by (workload, index) and with what is told of single hits."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._union: Union | None = None
        self._of: object = None
        self._since: float | None = None
        self._past: dict[tuple[str, int], Count] = {}
        self._now: dict[tuple[str, int], Count] = {}
        self._examples: dict[tuple[str, bool], list[Example]] = defaultdict(list)

    def loaded(self, loaded: Loaded) -> None:
        """This is loaded: the kernel's counts begin at 0. Other sets begin with no past."""
        sets = loaded.sets
        beside = (sets.packs, sets.beside.packs) if sets.beside else None
        if beside != self._of:
            self._of, self._union = beside, loaded.union
            self._since = self._clock() if beside else None
            self._past.clear()
            self._examples.clear()
        else:
            for key, count in self._now.items():
                self._past[key] = self._past.get(key, Count()) + count
        self._now = {}

    def count(self, counts: Counts) -> None:
        """What the kernel has counted since the load; workloads that have left keep theirs."""
        for key, count in counts.items():
            self._now[key] = count

    def saw(self, index: int, verdict: Verdict) -> None:
        """A hit was told of, by its number in the image, whether something was done or not."""
        union = self._union
        if union is None or index >= len(union.ids) or index in union.shared:
            return
        kept = self._examples[union.ids[index], index in union.own]
        known = any(
            (one.workload, one.digest) == (verdict.workload, verdict.digest) for one in kept
        )
        if known or sum(one.workload == verdict.workload for one in kept) >= EXAMPLES:
            return
        if len(kept) < _MOST:
            kept.append(
                Example(
                    workload=verdict.workload,
                    masked=verdict.masked,
                    digest=verdict.digest,
                    time=verdict.time,
                )
            )

    def found(self) -> tuple[Hits, float | None]:
        """All that was counted, and since when; nothing where no candidate runs beside."""
        union = self._union
        if union is None or self._since is None:
            return NO_HITS, None
        parts: tuple[dict[tuple[str, str], Count], ...] = ({}, {}, {})
        live, candidate, shared = parts
        for (workload, index), count in [*self._past.items(), *self._now.items()]:
            if index >= len(union.ids):
                continue
            part = shared if index in union.shared else candidate if index in union.own else live
            key = union.ids[index], workload
            part[key] = part.get(key, Count()) + count
        examples = {key: tuple(found) for key, found in self._examples.items()}
        return (
            Hits(live=live, candidate=candidate, shared=shared, examples=examples),
            self._since,
        )
