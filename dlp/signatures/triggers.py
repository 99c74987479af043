"""Triggers: the fronts of matches, by which a hold begins before the match is whole.

A match that is cut over segments is known when its last byte is there, and what stood
before the cut has left. Of a signature that some policy holds, the compiler adds shapes
of the first bytes alone: the left boundary and as few bytes as suffice to be told from
ordinary text and to be found at the stride. A trigger decides nothing; the inspector
does, which is given the segment it completes. So less than a trigger has left by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

from dlp.signatures import anchors, byteset, frequency, literal
from dlp.signatures.anchors import MEGABYTE
from dlp.signatures.branches import Run, branches
from dlp.signatures.forms import Form, merged, resolve
from dlp.signatures.image import STEPS
from dlp.signatures.lowering import FORMS, begun, span, with_length
from dlp.signatures.reduction import covers
from dlp.signatures.regex import parse

# Expected per MB of ordinary traffic, of one trigger: holds, each of which costs honest
# traffic a wait, and candidates, each of which costs a look at the shape.
HOLDS: Final = 0.1
CANDIDATES: Final = 40.0
# Fixed bytes other than digits and spaces, without which a front is no more than a number
# or part of a word: text that is rich in those would be held all the time.
DISTINCT: Final = 3
WRITTEN_OUT: Final = 4
TRIED: Final = 8
# Up to here a front goes on through fixed bytes, which tell nothing of a value: words are
# oftener than the model of byte pairs says.
RARE: Final = 1e-7

# Letter case in a row of letters, counted on the same mixture as frequency's pairs: the
# share of rows that begin in upper case, and of steps that stay in or change to it.
_FIRST_UPPER: Final = 0.26
_STAYS_UPPER: Final = 0.70
_TURNS_UPPER: Final = 0.012
_UPPER: Final = byteset.span(0x41, 0x5A)


def fronts(source: str, *, checked: bool = False) -> list[Form]:
    """Forms of which one begins every match of an expression, at its first byte.

    As for those that decide, that is behind a long optional part, unless a checksum is over it.

    Unlike those that decide, they may hold runs of any length: only the fixed bytes at
    their beginning are looked at.
    """
    forms = [form for sequence in branches(parse(source)) for form in resolve(sequence)]
    return forms if checked else [begun(form) for form in forms]


def enter(
    form: Form, stride: int, prefilters: Sequence[Form], add: Callable[[Form], bool]
) -> int | None:
    """Enter triggers so that every match of the form begins with one.

    Args:
        form: as `fronts` gives it.
        prefilters: of the same signature, which begin a hold as triggers do.
        add: takes a trigger; False where the tables have no room for it.

    Returns the most bytes that one of them takes; None where some matches have none.
    """
    least = min((span(one.runs) for one in prefilters if covers(one, form)), default=None)
    for trigger in islice(prefixes(form, stride), TRIED):
        if least is not None and span(trigger.runs) >= least:
            break
        if add(trigger):
            return span(trigger.runs)
    if least is not None:
        return least
    return most([enter(one, stride, prefilters, add) for one in longer(form)])


def most(spans: Sequence[int | None]) -> int | None:
    """The largest; None where one is not known, or there is none."""
    known = [one for one in spans if one is not None]
    return max(known) if known and len(known) == len(spans) else None


def prefixes(form: Form, stride: int) -> Iterator[Form]:
    """The usable triggers of a form: the best, then the longer ones.

    The best is the shortest, with as many fixed bytes behind it as make it rare.
    """
    best: Form | None = None
    found = False
    for trigger in _usable(form, stride):
        found = found or (best is not None and not _goes_on(best, trigger))
        if best is not None and found:
            yield best
        best = trigger
    if best is not None:
        yield best


def longer(form: Form) -> list[Form]:
    """The form in all lengths of its first run of variable length, if they are few."""
    index = next((i for i, run in enumerate(form.runs) if run.min != run.max), None)
    if index is None or form.runs[index].max - form.runs[index].min > WRITTEN_OUT:
        return []
    if len(form.runs) > FORMS:
        return []
    low, high = form.runs[index].min, form.runs[index].max
    return [with_length(form, index, count) for count in range(low, high + 1)]


def holds(form: Form) -> float:
    """How often per MB of ordinary traffic a trigger would fit, by the frequency model."""
    masks = [form.left, *_bytes(form.runs)]
    share = frequency.share([byteset.folded(mask) for mask in masks])
    return MEGABYTE * share * case(masks[1:])


def _usable(form: Form, stride: int) -> Iterator[Form]:
    """Triggers that are distinct, have anchors and are rare enough, by length."""
    masks = anchors.fixed_bytes(form)[1:]
    whole = sum(run.min for run in form.runs)
    for length in range(DISTINCT, min(len(masks) + 1, whole)):
        if sum(map(_distinct, masks[:length])) < DISTINCT:
            continue
        runs = merged(tuple(Run(mask, 1, 1) for mask in masks[:length]))
        if len(literal.steps(runs)) > STEPS:
            return
        trigger = Form(runs=runs, left=form.left, why="the front of a match", closed=False)
        found = anchors.candidates(trigger, stride)
        if found is None:
            continue
        rate = sum(choices[0].rate for choices in found) / stride
        if rate <= CANDIDATES and holds(trigger) <= HOLDS:
            yield trigger


def _goes_on(trigger: Form, following: Form) -> bool:
    """Whether the next trigger is to be preferred: it has one fixed byte more."""
    return (
        holds(trigger) > RARE
        and span(following.runs) == span(trigger.runs) + 1
        and byteset.single(following.runs[-1].mask) is not None
    )


def _distinct(mask: int) -> bool:
    return byteset.single(mask) is not None and not mask & (byteset.DIGITS | byteset.SPACE)


def _bytes(runs: Sequence[Run]) -> list[int]:
    return [run.mask for run in runs for _ in range(run.min)]


def case(masks: Sequence[int]) -> float:
    """Share of the texts that fit these bytes in either case which fit them in theirs."""
    share, before = 1.0, ""
    for mask in masks:
        fixed = byteset.single(mask)
        if fixed is None or fixed[1] or not mask & byteset.LETTERS:
            before = ""
        elif mask & _UPPER:
            share *= {"": _FIRST_UPPER, "upper": _STAYS_UPPER}.get(before, _TURNS_UPPER)
            before = "upper"
        else:
            before = "lower"
    return share
