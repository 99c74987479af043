"""Lowering: from a regex tree to forms that the kernel can run, with the proof kept.

The kernel takes runs possessively: each as long as it can, never giving back. That
equals the expression where what may follow a run of variable length is disjoint from
the run's set. Where it is not, the run is written out in all its lengths; where that
is too much, the form is cut before the trouble and marked as a prefilter, which
accepts wherever the expression matches.

A match is due as soon as its first bytes suffice: a last run without a boundary
behind it is cut to its least length.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from dlp.errors import PackError
from dlp.signatures import byteset
from dlp.signatures.branches import Run, branches
from dlp.signatures.forms import Form, merged, resolve
from dlp.signatures.image import LITERAL, SPAN, STEPS
from dlp.signatures.regex import UNBOUNDED, Node

FORMS: Final = 32
GAP: Final = 0xFF
SPELLED: Final = 12
SPELLINGS: Final = 4

_LONG: Final = f"a match can be longer than {SPAN} bytes"
_SHORTENED: Final = "its last run has no boundary behind it, so that the checked value has no end"
_AMBIGUOUS: Final = "matches of different lengths can begin at one byte, and the checksum needs one"


@dataclass(frozen=True, slots=True)
class Lowered:
    """The forms of a signature; `why` they are a prefilter only, or empty."""

    forms: tuple[Form, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Literal:
    """Fixed bytes of a form: `fold` is 0x20 where case does not matter, GAP at a gap."""

    offset: int
    text: bytes
    fold: bytes


def lower(node: Node, *, checked: bool) -> Lowered:
    """Forms of an expression. `checked`: the kernel computes a checksum over the match.

    Raises PackError where the expression can match nothing at all or the empty string.
    """
    found: dict[Form, None] = {}
    for sequence in branches(node):
        for form in resolve(sequence):
            found.update(dict.fromkeys(_anywhere(form)))
    if not found:
        raise PackError("regex can never match", remedy="look at its assertions")
    forms = list(found) if checked else _needed(list(found))
    why = next((form.why for form in forms if form.why), "")
    if len(forms) > FORMS:
        why = why or f"it has more than {FORMS} forms"
        forms = beginnings(forms)
    if checked and not why:
        if not all(form.closed for form in forms):
            why = _SHORTENED
        elif _ambiguous(forms):
            why = _AMBIGUOUS
    return Lowered(tuple(forms), why)


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


def beginnings(forms: list[Form] | tuple[Form, ...], length: int = 16) -> list[Form]:
    """Prefilters that ask only for the first `length` bytes at fixed places of each form."""
    found: dict[Form, None] = {}
    for form in forms:
        runs: list[Run] = []
        room = length
        for run in form.runs:
            count = min(run.min, room)
            runs.append(Run(run.mask, count, count))
            room -= count
            if run.min != run.max or room == 0:
                break
        runs = [run for run in runs if run.max]
        if runs:
            why = form.why or "only its beginning is looked at"
            found[Form(runs=tuple(runs), left=form.left, why=why, closed=False)] = None
    return _needed(list(found))


def literal(runs: tuple[Run, ...]) -> Literal:
    """The fixed bytes of the window of LITERAL bytes at fixed offsets that holds most of them.

    Bytes between them that are not fixed read as 0xff folded by 0xff: any byte fits.
    """
    fixed = [byteset.single(mask) for mask in _fixed(runs)]
    known = [index for index, byte in enumerate(fixed) if byte]
    best: list[int] = []
    for place, first in enumerate(known):
        inside = [index for index in known[place : place + LITERAL] if index < first + LITERAL]
        if len(inside) > len(best):
            best = inside
    if not best:
        return Literal(0, b"", b"")
    window = [byte or (0xFF, 0xFF) for byte in fixed[best[0] : best[-1] + 1]]
    return Literal(best[0], bytes(byte for byte, _ in window), bytes(fold for _, fold in window))


def steps(runs: tuple[Run, ...]) -> tuple[Run, ...]:
    """The runs with each fixed byte of the literal taken by a run of any bytes."""
    known = literal(runs)
    result: list[Run] = []
    offset = 0
    for run in runs:
        if run.min != run.max or offset >= known.offset + len(known.text):
            result.append(run)
            offset += known.offset + len(known.text) + run.max
            continue
        for _ in range(run.min):
            place = offset - known.offset
            inside = 0 <= place < len(known.text) and known.fold[place] != GAP
            result.append(Run(byteset.ALL if inside else run.mask, 1, 1))
            offset += 1
    return merged(tuple(result))


def _fixed(runs: tuple[Run, ...]) -> list[int]:
    """Sets of the bytes before the first run of variable length."""
    masks: list[int] = []
    for run in runs:
        if run.min != run.max:
            break
        masks.extend([run.mask] * run.min)
    return masks


def spelled(form: Form) -> list[Form]:
    """The form with small classes near its start written out, so that they join the literal."""
    result = [form]
    for place in range(SPELLED):
        parts = [_unmerged(one.runs) for one in result]
        if any(place >= len(part) or part[place].min != part[place].max for part in parts):
            break
        values = byteset.members(parts[0][place].mask)
        if byteset.single(parts[0][place].mask) or len(values) * len(result) > SPELLINGS:
            continue
        result = [
            replace(form, runs=merged((*part[:place], Run(1 << value, 1, 1), *part[place + 1 :])))
            for part in parts
            for value in values
        ]
    return result


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
    for index in range(len(runs)):
        if span(runs[: index + 1]) > SPAN:
            return _finished(_cut(form, index, _LONG), budget)
    while len(steps(form.runs)) > STEPS:
        form = _cut(form, len(form.runs) - 1, f"it needs more than {STEPS} steps")
    return [form]


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
    """Bytes that may stand directly behind run `index` in a match or behind its end."""
    mask = 0
    for run in form.runs[index + 1 :]:
        mask |= run.mask
        if run.min:
            return mask
    return mask | form.right


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


def _needed(forms: list[Form]) -> list[Form]:
    """Without forms that begin as another does and ask for more.

    Of two that accept the same the exact one stays, as it has the whole say.
    """
    same: dict[tuple[int, tuple[Run, ...], int], Form] = {}
    for form in forms:
        key = (form.left, form.runs, form.right)
        if key not in same or (same[key].why and not form.why):
            same[key] = form
    distinct = list(same.values())
    return [
        form
        for form in distinct
        if not any(short is not form and _covers(short, form) for short in distinct)
    ]


def _covers(short: Form, form: Form) -> bool:
    """Whether the first form matches wherever the second does, and is not the same."""
    last = len(short.runs) - 1
    return (
        short.right == byteset.ALL
        and short.left == form.left
        and last < len(form.runs)
        and short.runs[:last] == form.runs[:last]
        and short.runs[last].mask == form.runs[last].mask
        and short.runs[last].max <= form.runs[last].min
    )


def joined(forms: list[Form]) -> list[Form]:
    """Forms that differ in the set of one single byte become one."""
    result = list(forms)
    index = 0
    while index < len(result):
        for other in range(index + 1, len(result)):
            union = _union(result[index], result[other])
            if union is not None:
                result[index] = union
                del result[other]
                index = -1
                break
        index += 1
    return result


def _union(one: Form, two: Form) -> Form | None:
    if replace(one, runs=()) != replace(two, runs=()):
        return None
    mine, theirs = _unmerged(one.runs), _unmerged(two.runs)
    if len(mine) != len(theirs):
        return None
    differing = [i for i, (a, b) in enumerate(zip(mine, theirs, strict=True)) if a != b]
    if len(differing) != 1:
        return None
    place = differing[0]
    a, b = mine[place], theirs[place]
    if (a.min, a.max) != (1, 1) or (b.min, b.max) != (1, 1):
        return None
    return replace(
        one, runs=merged((*mine[:place], Run(a.mask | b.mask, 1, 1), *mine[place + 1 :]))
    )


def _unmerged(runs: tuple[Run, ...]) -> list[Run]:
    """Short fixed runs byte by byte, so that those of two forms line up."""
    return [
        part
        for run in runs
        for part in ([Run(run.mask, 1, 1)] * run.min if run.min == run.max else [run])
    ]


def _ambiguous(forms: list[Form]) -> bool:
    """Whether two forms can match at one start with different ends."""
    return any(_diverge(one, two) for index, one in enumerate(forms) for two in forms[index + 1 :])


def _diverge(one: Form, two: Form) -> bool:
    """Walk both forms over every text that fits both beginnings, one ending first."""
    if not one.left & two.left:
        return False
    seen: set[tuple[int, int, int, int]] = set()
    work = [(0, 0, 0, 0)]
    while work:
        state = work.pop()
        if state in seen:
            continue
        seen.add(state)
        i, m, j, n = state
        ended = (_over(one, i, m), _over(two, j, n))
        if ended[0] and _next(two, j, n, one.right):
            return True
        if ended[1] and _next(one, i, m, two.right):
            return True
        for a, b, first in _next(one, i, m, byteset.ALL):
            work.extend((a, b, c, d) for c, d, _ in _next(two, j, n, first))
    return False


def _over(form: Form, index: int, count: int) -> bool:
    """Whether the form can end here: this run has enough, those behind it need nothing."""
    if index < len(form.runs) and count < form.runs[index].min:
        return False
    return all(run.min == 0 for run in form.runs[index + 1 :])


def _next(form: Form, index: int, count: int, allowed: int) -> list[tuple[int, int, int]]:
    """States after one more byte of the form, with the set of bytes that lead there."""
    found: list[tuple[int, int, int]] = []
    place, taken = index, count
    while place < len(form.runs):
        run = form.runs[place]
        if taken < run.max and run.mask & allowed:
            found.append((place, taken + 1, run.mask & allowed))
        if taken < run.min:
            break
        place, taken = place + 1, 0
    return found


def with_length(form: Form, index: int, count: int) -> Form:
    """The form with run `index` of exactly `count` bytes."""
    run = Run(form.runs[index].mask, count, count)
    return replace(form, runs=merged((*form.runs[:index], run, *form.runs[index + 1 :])))
