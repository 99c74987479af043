"""Lowering: from a regex tree to forms that the kernel can run, with the proof kept.

The kernel takes runs possessively: each as long as it can, never giving back. That
equals the expression where what must follow a run of variable length is disjoint from
the run's set: what the run takes too much of optional runs between the two, these can
do without. Where it is not, the run is written out in all its lengths; where that is too
much, the form is cut before the trouble and marked as a prefilter, which accepts wherever
the expression matches.

A match is due as soon as its first bytes suffice: a last run without a boundary
behind it is cut to its least length. So is a long first run without a boundary before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from dlp.errors import PackError
from dlp.signatures import byteset
from dlp.signatures.ambiguity import ambiguous
from dlp.signatures.branches import LISTED, Run, branches
from dlp.signatures.forms import Form, merged, resolve
from dlp.signatures.image import SPAN, STEPS
from dlp.signatures.literal import steps
from dlp.signatures.reduction import ended, fewer, needed
from dlp.signatures.regex import UNBOUNDED, Node

FORMS: Final = 32
BEGUN: Final = 4  # optional bytes of a first run that are written out

_LONG: Final = f"a match can be longer than {SPAN} bytes"
_SHORTENED: Final = "its last run has no boundary behind it, so that the checked value has no end"
_AMBIGUOUS: Final = "matches of different lengths can begin at one byte, and the checksum needs one"


@dataclass(frozen=True, slots=True)
class Lowered:
    """The forms of a signature; `why` they are a prefilter only, or empty."""

    forms: tuple[Form, ...]
    why: str


def lower(node: Node, *, checked: bool) -> Lowered:
    """Forms of an expression. `checked`: the kernel computes a checksum over the match.

    Raises PackError where the expression can match nothing at all or the empty string.
    """
    found: dict[Form, None] = {}
    resolved = [form for sequence in branches(node) for form in resolve(sequence)]
    if not checked:
        resolved = ended([begun(form) for form in resolved])
    for form in resolved:
        found.update(dict.fromkeys(_anywhere(form)))
    if not found:
        raise PackError("regex can never match", remedy="look at its assertions")
    forms = list(found) if checked else fewer(needed(list(found)))
    why = next((form.why for form in forms if form.why), "")
    if len(forms) > FORMS and not _literals(forms):
        why = why or f"it has more than {FORMS} forms"
        forms = beginnings(forms)
    if checked and not why:
        if not all(form.closed for form in forms):
            why = _SHORTENED
        elif ambiguous(forms):
            why = _AMBIGUOUS
    return Lowered(tuple(forms), why)


def begun(form: Form) -> Form:
    """Without what a match need not begin with: a long first run's optional bytes."""
    runs = list(form.runs)
    while form.left == byteset.ALL and runs and runs[0].max - runs[0].min > BEGUN:
        first = runs.pop(0)
        if first.min:
            runs.insert(0, Run(first.mask, first.min, first.min))
    if not any(run.min for run in runs):
        return form
    return replace(form, runs=merged(tuple(runs)))


def _literals(forms: list[Form]) -> bool:
    """Whether these are a list of fixed texts, of which a signature may have many."""
    return len(forms) <= LISTED and all(byteset.single(r.mask) for f in forms for r in f.runs)


def _anywhere(form: Form) -> list[Form]:
    """The finished form, or its part behind a beginning that cannot be lowered."""
    if not any(run.min for run in form.runs):
        if form.why:
            raise PackError(
                f"no anchor: {form.why}", remedy="begin the regex with fixed bytes or bound it"
            )
        raise PackError("regex can match nothing", remedy="ask for at least one byte")
    rest: Form | None = form
    while rest is not None:
        forms = finished(rest)
        if all(one.runs for one in forms):
            return forms
        rest = behind(rest)
    raise PackError("regex has no part that can be lowered", remedy="bound its repeats")


def finished(form: Form) -> list[Form]:
    """The form as kernel-ready ones: possessive, short enough, of few enough steps."""
    return _finished(form, FORMS)


def behind(form: Form) -> Form | None:
    """A prefilter: what stands behind the first run of variable length; None if nothing does."""
    index = next((i for i, run in enumerate(form.runs) if run.min != run.max), None)
    if index is None or not any(run.min for run in form.runs[index + 1 :]):
        return None
    return replace(
        form,
        runs=form.runs[index + 1 :],
        left=form.runs[index].mask if form.runs[index].min else byteset.ALL,
        why=form.why or "it begins with a part of variable length, which has no anchor",
        closed=False,
    )


def beginnings(forms: Iterable[Form], length: int = 16) -> list[Form]:
    """Prefilters that ask only for `length` bytes at fixed places, the first of each form.

    Of a form that begins with a run of variable length those behind it. Raises PackError
    where a form has none.
    """
    return needed([_beginning(form, length) for form in forms])


def _beginning(form: Form, length: int) -> Form:
    rest: Form | None = form
    while rest is not None:
        runs: list[Run] = []
        room = length
        for run in rest.runs:
            count = min(run.min, room)
            runs.append(Run(run.mask, count, count))
            room -= count
            if run.min != run.max or room == 0:
                break
        if room < length:
            why = form.why or "only its beginning is looked at"
            return Form(runs=merged(tuple(runs)), left=rest.left, why=why, closed=False)
        rest = behind(rest)
    raise PackError("regex has no bytes at fixed places", remedy="begin it with fixed bytes")


def span(runs: tuple[Run, ...]) -> int:
    """Most bytes that the runs can take."""
    return sum(run.max for run in runs)


def _finished(form: Form, budget: int) -> list[Form]:
    form = _shortened(form)
    runs = form.runs
    for index, run in enumerate(runs):
        if run.min == run.max or not run.mask & _followers(form, index):
            continue
        lengths = run.max - run.min + 1
        if run.max >= UNBOUNDED or lengths > budget:
            why = f"run {index + 1}, {byteset.render(run.mask)}, overlaps with what follows it"
            return _finished(_cut(form, index, why), budget)
        return [
            done
            for count in range(run.min, run.max + 1)
            for done in _finished(
                with_length(form, index, count),
                budget // lengths,
            )
        ]
    taken = 0
    for index, run in enumerate(runs):
        taken += run.max
        if taken > SPAN:
            return _finished(_cut(form, index, _LONG), budget)
    if len(steps(form.runs)) > STEPS:
        form = _looked(form)
    while len(steps(form.runs)) > STEPS:
        form = _cut(form, len(form.runs) - 1, f"it needs more than {STEPS} steps")
    return [form]


def _looked(form: Form) -> Form:
    """The form with its last byte looked at, not taken: one step less, the same matches.

    Only behind a fixed byte that is no letter or digit, where no value ends.
    """
    before, last = form.runs[-2:]
    if form.right != byteset.ALL or (last.min, last.max) != (1, 1) or last.mask & byteset.NUL:
        return form
    if before.mask & (byteset.LETTERS | byteset.DIGITS) or not byteset.single(before.mask):
        return form
    return replace(form, runs=form.runs[:-1], right=last.mask, closed=False)


def _shortened(form: Form) -> Form:
    """Without what a match need not wait for: a last run's optional bytes, unless bounded."""
    runs = list(form.runs)
    closed = form.closed
    while form.right == byteset.ALL and runs and runs[-1].min != runs[-1].max:
        last = runs.pop()
        closed = False
        if last.min:
            runs.append(Run(last.mask, last.min, last.min))
    return replace(form, runs=tuple(runs), closed=closed)


def _followers(form: Form, index: int) -> int:
    """Bytes that must stand behind run `index` and the optional runs that follow it.

    Where they are none of the run's own, the run may take all it can: it stops before them,
    and of what an optional run would have had, that one takes the rest, from 0 bytes on.
    """
    required = (run.mask for run in form.runs[index + 1 :] if run.min)
    return next(required, form.right)


def _cut(form: Form, index: int, why: str) -> Form:
    """A prefilter of the runs before `index` and the least that run `index` needs."""
    room = SPAN - span(form.runs[:index])
    count = max(min(form.runs[index].min, room), 0)
    if index == len(form.runs) - 1 and form.runs[index].min == form.runs[index].max:
        count = 0 if room >= form.runs[index].min else count
    runs = (*form.runs[:index], *([Run(form.runs[index].mask, count, count)] if count else ()))
    return _shortened(
        replace(form, runs=runs, right=byteset.ALL, why=form.why or why, closed=False)
    )


def with_length(form: Form, index: int, count: int) -> Form:
    """The form with run `index` of exactly `count` bytes."""
    run = Run(form.runs[index].mask, count, count)
    return replace(form, runs=merged((*form.runs[:index], run, *form.runs[index + 1 :])))
