"""From a regex tree to its alternatives: flat sequences of runs and assertions.

Alternations and repeats of more than one byte are written out. What would grow past
BRANCHES is cut off and marked: the sequence up to there is necessary for a match, not
sufficient. One list of alternatives, as of literals, may be as long as LISTED.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dlp.signatures.regex import (
    UNBOUNDED,
    Alternation,
    Boundary,
    Class,
    Concat,
    Look,
    Node,
    Repeat,
)

BRANCHES: Final = 128
LISTED: Final = 1024


@dataclass(frozen=True, slots=True)
class Run:
    """min..max bytes of a set."""

    mask: int
    min: int
    max: int


Element = Run | Look | Boundary


@dataclass(frozen=True, slots=True)
class Sequence:
    """One alternative. `cut` says why it is only the beginning; empty where it is all."""

    elements: tuple[Element, ...] = ()
    cut: str = ""


def branches(node: Node) -> list[Sequence]:
    """All alternatives of a tree, at most LISTED, in the order of the expression."""
    match node:
        case Class(mask):
            return [Sequence((Run(mask, 1, 1),))]
        case Look() | Boundary():
            return [Sequence((node,))]
        case Concat(nodes):
            return _concat(nodes)
        case Alternation(nodes):
            found = [sequence for option in nodes for sequence in branches(option)]
            return found if len(found) <= LISTED else [_too_many()]
        case Repeat(Class(mask), low, high):
            return [Sequence((Run(mask, low, high),))]
        case Repeat(inner, low, high):
            return _repeat(inner, low, high)


def _concat(nodes: tuple[Node, ...]) -> list[Sequence]:
    current = [Sequence()]
    for node in nodes:
        current = _join(current, branches(node))
    return current


def _repeat(inner: Node, low: int, high: int) -> list[Sequence]:
    body = branches(inner)
    current = [Sequence()]
    for _ in range(low):
        current = _join(current, body)
        if all(sequence.cut for sequence in current):
            return current
    least = current
    if high >= UNBOUNDED:
        return [_cut(sequence, "a group repeats without an upper bound") for sequence in least]
    result = list(least)
    for _ in range(high - low):
        current = _join([sequence for sequence in current if not sequence.cut], body)
        result.extend(current)
        if len(result) > BRANCHES:
            return [_cut(sequence, _too_many().cut) for sequence in least]
        if all(sequence.cut for sequence in current):
            break
    return result


def _join(heads: list[Sequence], tails: list[Sequence]) -> list[Sequence]:
    whole = [head for head in heads if not head.cut]
    most = LISTED if min(len(heads), len(tails)) == 1 else BRANCHES
    if len(whole) * len(tails) + len(heads) - len(whole) > most:
        return [head if head.cut else _cut(head, _too_many().cut) for head in heads]
    return [
        sequence
        for head in heads
        for sequence in (
            [head]
            if head.cut
            else [Sequence(head.elements + tail.elements, tail.cut) for tail in tails]
        )
    ]


def _cut(sequence: Sequence, why: str) -> Sequence:
    return sequence if sequence.cut else Sequence(sequence.elements, why)


def _too_many() -> Sequence:
    return Sequence((), f"it has more than {BRANCHES} alternatives")
