r"""Forms: sequences whose assertions are resolved into runs and two boundary classes.

An assertion at an end of the match becomes the class of the byte before or behind.
One inside narrows the byte beside it. `\b` is either (word, no word) or the reverse:
both are tried, and the bytes beside it mostly rule one out. What cannot be expressed
is dropped, and the form then says that it is not exact: it accepts more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from dlp.signatures import byteset
from dlp.signatures.branches import Element, Run, Sequence
from dlp.signatures.regex import Boundary, Look

FORKS: Final = 128
WIDEST: Final = 32

_NONWORD: Final = byteset.ALL ^ byteset.WORD


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Runs between two boundary classes (sets of bytes; ALL where nothing is asked).

    Attributes:
        why: why the form accepts more than the expression; empty where it is exact.
        closed: the form ends where the match of the expression ends.
    """

    runs: tuple[Run, ...]
    left: int = byteset.ALL
    right: int = byteset.ALL
    why: str = ""
    closed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    elements: tuple[Element, ...]
    left: int = byteset.ALL
    left_edge: bool = True
    right: int = byteset.ALL
    right_edge: bool = True
    why: str = ""
    cut: bool = False


def resolve(sequence: Sequence) -> list[Form]:
    """The forms of one alternative; none where its assertions contradict each other."""
    work = [
        _Draft(elements=sequence.elements, why=sequence.cut, cut=bool(sequence.cut)),
    ]
    done: list[Form] = []
    while work:
        draft = work.pop(0)
        if len(work) + len(done) > FORKS:
            plain = tuple(part for part in draft.elements if isinstance(part, Run))
            draft = replace(draft, elements=plain, why="its assertions have too many cases")
        index = next((i for i, e in enumerate(draft.elements) if not isinstance(e, Run)), None)
        if index is None:
            done.append(_form(draft))
        else:
            work[:0] = _step(draft, index)
    return done


def merged(runs: tuple[Run, ...]) -> tuple[Run, ...]:
    """Neighbouring runs of one set as one run; runs of nothing left out."""
    result: list[Run] = []
    for run in runs:
        if run.max == 0:
            continue
        if result and result[-1].mask == run.mask:
            last = result.pop()
            run = Run(run.mask, last.min + run.min, last.max + run.max)  # noqa: PLW2901
        result.append(run)
    return tuple(result)


def _form(draft: _Draft) -> Form:
    runs = tuple(run for run in draft.elements if isinstance(run, Run))
    why = draft.why
    left, exact_left = _edge(draft.left, edge=draft.left_edge)
    right, exact_right = _edge(draft.right, edge=draft.right_edge)
    if not why and not (exact_left and exact_right):
        end = "behind" if exact_left else "before"
        why = f"the byte {end} it may be NUL, which the end of the data reads as"
    return Form(runs=merged(runs), left=left, right=right, why=why, closed=not draft.cut)


def _edge(mask: int, *, edge: bool) -> tuple[int, bool]:
    """The class the kernel needs, which reads NUL where there is no byte, and if it is exact."""
    if edge == bool(mask & byteset.NUL):
        return mask, True
    return mask | byteset.NUL, False


def _step(draft: _Draft, index: int) -> list[_Draft]:
    """Resolve the assertion at `index`; those before it are resolved already."""
    assertion = draft.elements[index]
    if isinstance(assertion, Boundary):
        behind, ahead = Look(False, byteset.WORD, False), Look(True, byteset.WORD, False)  # noqa: FBT003
        no_behind, no_ahead = Look(False, _NONWORD, True), Look(True, _NONWORD, True)  # noqa: FBT003
        pairs = (
            ((behind, ahead), (no_behind, no_ahead))
            if assertion.negated
            else ((behind, no_ahead), (no_behind, ahead))
        )
        return [_replace(draft, index, pair) for pair in pairs]
    if isinstance(assertion, Look):
        return list(
            _ahead(draft, index, assertion) if assertion.ahead else _behind(draft, index, assertion)
        )
    return [draft]


def _replace(draft: _Draft, index: int, parts: tuple[Element, ...], width: int = 1) -> _Draft:
    elements = draft.elements[:index] + parts + draft.elements[index + width :]
    return replace(draft, elements=elements)


def _behind(draft: _Draft, index: int, look: Look) -> Iterator[_Draft]:
    if index == 0:
        yield replace(
            _replace(draft, 0, ()),
            left=draft.left & look.mask,
            left_edge=draft.left_edge and look.edge,
        )
        return
    run = draft.elements[index - 1]
    if not isinstance(run, Run):
        return
    for parts in _narrowed(run, look, last=True):
        if parts is None:
            yield replace(_replace(draft, index, ()), why=draft.why or _INSIDE)
        else:
            yield _replace(draft, index - 1, parts, 2)


def _ahead(draft: _Draft, index: int, look: Look) -> Iterator[_Draft]:
    place = index + 1
    while place < len(draft.elements) and not isinstance(draft.elements[place], Run):
        place += 1
    if place == len(draft.elements):
        if draft.cut:
            yield _replace(draft, index, ())
            return
        yield replace(
            _replace(draft, index, ()),
            right=draft.right & look.mask,
            right_edge=draft.right_edge and look.edge,
        )
        return
    run = draft.elements[place]
    if not isinstance(run, Run):
        return
    for parts in _narrowed(run, look, last=False):
        if parts is None:
            yield replace(_replace(draft, index, ()), why=draft.why or _INSIDE)
        else:
            yield _replace(_replace(draft, place, parts), index, () if parts else (look,))


_INSIDE: Final = "an assertion inside it cannot be expressed in runs"


def _narrowed(run: Run, look: Look, *, last: bool) -> Iterator[tuple[Element, ...] | None]:
    """Ways to write the run with its last (or first) byte in the set looked for.

    An empty way (the run takes nothing) keeps the assertion for the run beyond; None
    says that it cannot be written.
    """
    if run.min == 0:
        yield (look,) if last else ()
        if run.max == 0:
            return
        run = Run(run.mask, 1, run.max)
    common = run.mask & look.mask
    if common == run.mask:
        yield (run,)
    elif common and run.max == 1:
        yield (Run(common, 1, 1),)
    elif common and not last:
        yield (Run(common, 1, 1), Run(run.mask, run.min - 1, run.max - 1))
    elif common and run.max - run.min < WIDEST:
        for count in range(run.min, run.max + 1):
            head = (Run(run.mask, count - 1, count - 1),) if count > 1 else ()
            yield (*head, Run(common, 1, 1))
    elif common:
        yield None
