"""Live and candidate set side by side: one set of packs, one numbering.

A signature that both sets define alike is there once; one that they define otherwise, or
that only one has, is there for each. Rules of the candidate that only count are marked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from dlp.policy import RuleRow
from dlp.signatures.pack import Pack, Signature

# Where a signature stands in its file, or what tries it, does not change what it finds.
_IGNORED = frozenset({"place", "lines", "must_match", "must_not_match", "draft"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Union:
    """Two sets as one.

    Attributes:
        packs: first the live ones as they are, then the candidate's with what is its own.
        ids: of the signatures, in the order of the image; an id may be there twice.
        live, candidate: by index of each set's signatures, their index in the union.
    """

    packs: tuple[Pack, ...]
    ids: tuple[str, ...]
    live: tuple[int, ...]
    candidate: tuple[int, ...]

    @property
    def shared(self) -> frozenset[int]:
        """Indices that belong to both sets."""
        return frozenset(self.live) & frozenset(self.candidate)

    @property
    def own(self) -> frozenset[int]:
        """Indices that belong to the candidate alone."""
        return frozenset(self.candidate) - frozenset(self.live)


def unite(live: Sequence[Pack], candidate: Sequence[Pack]) -> Union:
    """The union of two sets, each without an id that is there twice."""
    ids = [signature.id for pack in live for signature in pack.signatures]
    defined = {
        signature.id: (number, definition(signature))
        for number, signature in enumerate(
            signature for pack in live for signature in pack.signatures
        )
    }
    places: list[int] = []
    packs = list(live)
    count = len(ids)
    for pack in candidate:
        kept = []
        for signature in pack.signatures:
            known = defined.get(signature.id)
            if known is not None and known[1] == definition(signature):
                places.append(known[0])
                continue
            kept.append(signature)
            places.append(count)
            ids.append(signature.id)
            count += 1
        if kept:
            packs.append(replace(pack, signatures=tuple(kept)))
    return Union(
        packs=tuple(packs),
        ids=tuple(ids),
        live=tuple(range(len(defined))),
        candidate=tuple(places),
    )


def definition(signature: Signature) -> tuple[object, ...]:
    """All of a signature that bears on what it finds and what is told of it."""
    return tuple(
        getattr(signature, field.name) for field in fields(signature) if field.name not in _IGNORED
    )


def live_rules(
    union: Union, live: Mapping[int, RuleRow], candidate: Mapping[int, RuleRow]
) -> dict[int, RuleRow]:
    """Rows of a policy in the union where the live set acts, and the candidate is counted.

    Args:
        live, candidate: the policy's rows by index in either set.
    """
    rows = {union.live[index]: row for index, row in live.items()}
    for index, row in candidate.items():
        place = union.candidate[index]
        if place in union.own:
            rows[place] = replace(row, shadow=True)
    return dict(sorted(rows.items()))


def candidate_rules(union: Union, candidate: Mapping[int, RuleRow]) -> dict[int, RuleRow]:
    """Rows of a policy in the union where the candidate acts."""
    return dict(sorted((union.candidate[index], row) for index, row in candidate.items()))
