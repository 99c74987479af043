"""The digit lane: which forms it finds, and the tables that select them.

The lane sees a match whose digits begin at a fixed place, preceded by no digit, and
within 16 bytes of there run on for 7 bytes or more with single separators between.
It then reads the maximal digit group (length, first digit), whether a separator
follows, and the group behind that. The tables must allow whatever a form allows;
they are made by walking the form over digits, separators and the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dlp.signatures import byteset
from dlp.signatures.branches import Run
from dlp.signatures.forms import Form
from dlp.signatures.image import SPAN

LONGEST_GROUP: Final = 15
FARTHEST_OFFSET: Final = 15
STRETCH: Final = 7
WITHIN: Final = 16
FIRST: Final = 512
SECOND: Final = 16

_OTHER: Final = byteset.ALL ^ byteset.DIGITS ^ byteset.SEPARATORS
_BEHIND: Final = (-1, 0)
_BEYOND: Final = (-2, 0)
_State = tuple[int, int]
_States = frozenset[_State]


@dataclass(frozen=True, slots=True)
class LanePlan:
    """Where the first digit group lies, and the table entries the form may match at.

    `before` and `after`: sets of the bytes on either side of the group, as masks.
    """

    offset: int
    first: frozenset[int]
    second: frozenset[int]
    before: int
    after: int


def plan(form: Form) -> LanePlan | None:
    """How the lane finds a form; None where it provably does not always."""
    offset = 0
    before = form.left
    for index, run in enumerate(form.runs):
        if offset > FARTHEST_OFFSET:
            return None
        if _digits(run) and not before & byteset.DIGITS and _stretches(form.runs, index):
            return _tables(form, index, offset, before)
        if run.min != run.max:
            return None
        offset += run.min
        before = run.mask
    return None


def first_index(length: int, digit: int, *, separated: bool) -> int:
    """Index into the table `first` (struct dlp_lane)."""
    return min(length, LONGEST_GROUP) * 32 + separated * 16 + digit


def _digits(run: Run) -> bool:
    return run.min > 0 and not run.mask & ~byteset.DIGITS


def _stretches(runs: tuple[Run, ...], group: int) -> bool:
    """Whether in every match a long enough stretch begins near enough to run `group`."""
    latest = 0
    for start in range(group, len(runs)):
        if latest > WITHIN:
            return False
        if _digits(runs[start]) and _least(runs[start:]) >= STRETCH:
            return True
        latest += runs[start].max
    return False


def _least(runs: tuple[Run, ...]) -> int:
    """Least length of the stretch that these runs begin with."""
    length = 0
    separated = False
    for run in runs:
        if not run.mask & ~byteset.DIGITS:
            separated = separated and run.min == 0
        elif not run.mask & ~byteset.SEPARATORS and run.max == 1 and not separated:
            separated = True
        else:
            break
        length += run.min
    return length


def _tables(form: Form, index: int, offset: int, before: int) -> LanePlan:
    first: set[int] = set()
    second: set[int] = set()
    after = 0
    known: dict[_States, tuple[frozenset[tuple[int, bool]], frozenset[int], int]] = {}
    for digit in range(10):
        states = _advance(form, frozenset({(index, 0)}), 1 << (0x30 + digit))
        if not states:
            continue
        if states not in known:
            known[states] = _walk(form, states)
        groups, following, behind = known[states]
        first.update(first_index(length, digit, separated=sep) for length, sep in groups)
        second |= following
        after |= behind
    return LanePlan(offset, frozenset(first), frozenset(second), before, after)


def _walk(form: Form, states: _States) -> tuple[frozenset[tuple[int, bool]], frozenset[int], int]:
    """Possible (length, separator follows), lengths of the group behind, bytes behind."""
    groups: set[tuple[int, bool]] = set()
    second: set[int] = set()
    after = 0
    for length in range(1, SPAN + 3):
        capped = min(length, LONGEST_GROUP)
        # Of a longer group the kernel knows no end, so it asks not for what is behind.
        ended = length < LONGEST_GROUP
        if ended:
            after |= _following(form, states)
        if _ends(form, states) or _advance(form, states, _OTHER):
            groups.add((capped, False))
            second |= {0} if ended else set()
        behind = _advance(form, states, byteset.SEPARATORS)
        if behind:
            groups.add((capped, True))
            second |= _group(form, behind) if ended else set()
        states = _advance(form, states, byteset.DIGITS)
        if not states:
            break
    return frozenset(groups), frozenset(second), after


def _following(form: Form, states: _States) -> int:
    """The bytes other than digits that may stand next; NUL where the data may end."""
    mask = byteset.NUL if _ends(form, states) else 0
    for state in _closure(form, set(states)):
        index, count = state
        if state == _BEYOND:
            return byteset.ALL
        if state == _BEHIND:
            mask |= form.right
        elif count < form.runs[index].max:
            mask |= form.runs[index].mask
    return mask & ~byteset.DIGITS


def _group(form: Form, states: _States) -> set[int]:
    """Possible lengths of a digit group that begins here; 0 where none does."""
    found: set[int] = set()
    for length in range(SPAN + 3):
        if _ends(form, states) or _advance(form, states, byteset.ALL ^ byteset.DIGITS):
            found.add(min(length, LONGEST_GROUP))
        states = _advance(form, states, byteset.DIGITS)
        if not states:
            break
    return found


def _closure(form: Form, states: set[_State]) -> _States:
    """States with those reached by leaving runs that have enough."""
    work = list(states)
    result = set(states)
    while work:
        state = work.pop()
        index, count = state
        if index < 0 or count < form.runs[index].min:
            continue
        after = (index + 1, 0) if index + 1 < len(form.runs) else _BEHIND
        if after not in result:
            result.add(after)
            work.append(after)
    return frozenset(result)


def _advance(form: Form, states: _States, mask: int) -> _States:
    """States after one byte of the set."""
    after: set[_State] = set()
    for state in _closure(form, set(states)):
        index, count = state
        if state == _BEYOND or (state == _BEHIND and form.right & mask):
            after.add(_BEYOND)
        elif index >= 0 and count < form.runs[index].max and form.runs[index].mask & mask:
            after.add((index, count + 1))
    return frozenset(after)


def _ends(form: Form, states: _States) -> bool:
    """Whether the data may end here."""
    closed = _closure(form, set(states))
    return _BEYOND in closed or (_BEHIND in closed and bool(form.right & byteset.NUL))
