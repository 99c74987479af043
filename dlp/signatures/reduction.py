"""Fewer forms for the same matches: the needless left out, the alike joined, or spelled out.

Shapes of the digit lane and byte classes are few, so forms are joined for the one and
spelled out, byte by byte, to spare the other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from dlp.signatures import byteset
from dlp.signatures.branches import Run
from dlp.signatures.forms import Form, merged

SPELLED: Final = 12
SPELLINGS: Final = 4
JOINED: Final = 128


def needed(forms: list[Form]) -> list[Form]:
    """Without forms that begin as another does and ask for more.

    Of two that accept the same the exact one stays, as it has the whole say.
    """
    same: dict[tuple[int, tuple[Run, ...], int], Form] = {}
    for form in forms:
        key = (form.left, form.runs, form.right)
        if key not in same or (same[key].why and not form.why):
            same[key] = form
    distinct = list(same.values())
    short: dict[tuple[int, tuple[Run, ...], int], int] = {}
    for form in distinct:
        if form.right == byteset.ALL and form.runs:
            begun = (form.left, form.runs[:-1], form.runs[-1].mask)
            short[begun] = min(form.runs[-1].max, short.get(begun, form.runs[-1].max))
    return [form for form in distinct if not _needless(form, short)]


def _needless(form: Form, short: dict[tuple[int, tuple[Run, ...], int], int]) -> bool:
    """Whether another form covers it; `short`: the least last run, by what stands before it."""
    for place, run in enumerate(form.runs):
        most = short.get((form.left, form.runs[:place], run.mask))
        own = place == len(form.runs) - 1 and form.right == byteset.ALL and run.max == most
        if most is not None and most <= run.min and not own:
            return True
    return False


def ended(forms: list[Form]) -> list[Form]:
    """Forms that end in one byte of a set, or before a byte of another set, joined.

    `token[;,]` and `token` before the end are `token` before `;`, `,` or the end: where the
    end will do, the byte is no part of the value. Behind the end the byte reads as NUL: a set
    that holds NUL without the end being allowed is left as it is.
    """
    groups: dict[tuple[int, tuple[Run, ...], str, bool], list[int]] = {}
    for number, form in enumerate(forms):
        for key in {_ending(form), (form.left, form.runs, form.why, form.closed)}:
            groups.setdefault(key, []).append(number)
    result: dict[int, Form | None] = {}
    for (left, runs, why, closed), members in groups.items():
        taken = [number for number in members if number not in result]
        rights = [_right(forms[number], runs) for number in taken]
        ends = [forms[number].right for number in taken if forms[number].runs == runs]
        union = 0
        for right in rights:
            union |= right
        if not ends or len(ends) == len(taken) or byteset.ALL in ends:
            continue
        if union & byteset.NUL and not any(right & byteset.NUL for right in ends):
            continue
        result.update(dict.fromkeys(taken))
        result[taken[0]] = Form(runs=runs, left=left, right=union, why=why, closed=closed)
    joined = (result.get(number, form) for number, form in enumerate(forms))
    return [form for form in joined if form is not None]


def _ending(form: Form) -> tuple[int, tuple[Run, ...], str, bool]:
    """What ends before its last byte, where that one may be looked at instead of taken."""
    runs = form.runs
    if form.right == byteset.ALL and len(runs) > 1 and (runs[-1].min, runs[-1].max) == (1, 1):
        runs = runs[:-1]
    return form.left, runs, form.why, form.closed


def _right(form: Form, runs: tuple[Run, ...]) -> int:
    """The set of the byte behind `runs` in a form that is these, or these and one byte."""
    return form.right if form.runs == runs else form.runs[-1].mask


def fewer(forms: list[Form]) -> list[Form]:
    """The forms, joined where several differ in the set of one byte; long lists as they are."""
    return joined(forms) if len(forms) <= JOINED else forms


def covers(short: Form, form: Form) -> bool:
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
    parts = [_unmerged(form.runs) for form in result]
    index = 0
    while index < len(result):
        for other in range(index + 1, len(result)):
            place = _differing(parts[index], parts[other])
            if place is None or not _alike(result[index], result[other]):
                continue
            mask = parts[index][place].mask | parts[other][place].mask
            parts[index][place] = Run(mask, 1, 1)
            result[index] = replace(result[index], runs=merged(tuple(parts[index])))
            del result[other], parts[other]
            index = -1
            break
        index += 1
    return result


def _alike(one: Form, two: Form) -> bool:
    """Whether two forms agree in all but their runs."""
    return (one.left, one.right, one.why, one.closed) == (two.left, two.right, two.why, two.closed)


def _differing(mine: list[Run], theirs: list[Run]) -> int | None:
    """The only place where two rows of runs differ, if it is a single byte in both."""
    if len(mine) != len(theirs):
        return None
    found: int | None = None
    for place, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        if a == b:
            continue
        if found is not None or (a.min, a.max, b.min, b.max) != (1, 1, 1, 1):
            return None
        found = place
    return found


def _unmerged(runs: tuple[Run, ...]) -> list[Run]:
    """Short fixed runs byte by byte, so that those of two forms line up."""
    return [
        part
        for run in runs
        for part in ([Run(run.mask, 1, 1)] * run.min if run.min == run.max else [run])
    ]


def spelled(form: Form) -> list[Form]:
    """The form with small classes near its start written out, so that they join the literal."""
    if not any(1 < run.mask.bit_count() <= SPELLINGS for run in form.runs):
        return [form]
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
