"""What live set and candidate hit while the candidate runs beside: counts and masked examples.

The kernel counts by the indices of one image and begins anew with each load; here counts go
on as long as the same two sets stand against each other. What the inspector decides is counted
here, of either set.
"""

from __future__ import annotations

import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Final

from dlp.enforcement.loaded import Loaded
from dlp.model import Action, DecidedBy, Verdict
from dlp.releases.diff import EXAMPLES, NO_HITS, Count, Example, Hits
from dlp.releases.union import Union

_MOST: Final = 8 * EXAMPLES  # of a signature, so that each workload may have some
_TOLD: Final = 16384  # decisions remembered, by digest

Counts = Mapping[tuple[str, int], Count]


class ShadowAccount:
    """Fed with the kernel's counts by (workload, index) and with what is told of single hits.

    What the inspector decides it is told one by one, and counts itself.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._union: Union | None = None
        self._of: object = None
        self._since: float | None = None
        self._past: dict[tuple[str, int], Count] = {}
        self._now: dict[tuple[str, int], Count] = {}
        self._decided: dict[tuple[str, int], Count] = {}
        self._told: OrderedDict[tuple[int, int, str], None] = OrderedDict()
        self._examples: dict[tuple[str, bool], list[Example]] = defaultdict(list)
        self._inspected: frozenset[int] = frozenset()
        self._first = self._last = 0

    def loaded(self, loaded: Loaded, release: int = 0) -> None:
        """This is loaded: the kernel's counts begin at 0. Other sets begin with no past.

        `release`: its number, which findings name.
        """
        sets = loaded.sets
        beside = (sets.packs, sets.beside.packs) if sets.beside else None
        self._last = release
        if beside != self._of:
            self._of, self._union = beside, loaded.union
            self._since = self._clock() if beside else None
            self._first = release
            self._inspected = frozenset(
                index
                for index, one in enumerate(loaded.image.signatures)
                if one.decided is DecidedBy.INSPECTOR
            )
            for table in (self._past, self._decided, self._told, self._examples):
                table.clear()
        else:
            for key, count in self._now.items():
                self._past[key] = self._past.get(key, Count()) + count
        self._now = {}

    def count(self, counts: Counts) -> None:
        """What the kernel has counted since the load; workloads that have left keep theirs."""
        for key, count in counts.items():
            self._now[key] = count

    def decided(self, release: int, index: int, verdict: Verdict) -> None:
        """The inspector found a match, by its number in that release's image.

        Each value counts once a flow, as the kernel counts its own; what the kernel decides as
        well is left to it.
        """
        ours = self._first <= release <= self._last
        key = verdict.flow, index, verdict.digest
        if self._union is None or not ours or index not in self._inspected or key in self._told:
            return
        self._told[key] = None
        if len(self._told) > _TOLD:
            self._told.popitem(last=False)
        at = verdict.workload, index
        acted = int(verdict.action is Action.DROP)
        self._decided[at] = self._decided.get(at, Count()) + Count(1, acted)
        self.saw(index, verdict)

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
        counts = (self._past, self._now, self._decided)
        for (workload, index), count in chain.from_iterable(one.items() for one in counts):
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
