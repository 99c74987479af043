"""One signature judged: its forms, where it is decided, and which lane finds each form.

A form goes to the digit lane where the lane provably finds it and few q-grams do not;
else to the q-gram lane. Where a form has no anchor at its start, the part behind the
first run of variable length serves as a prefilter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from dlp.errors import PackError
from dlp.signatures import anchors, byteset, confidence, keywords, lane, lowering, reduction, regex
from dlp.signatures.forms import Form
from dlp.signatures.gramtable import GramTable
from dlp.signatures.image import ANCHORS_PER_GRAM, Check
from dlp.signatures.lane import LanePlan
from dlp.signatures.pack import Signature
from dlp.signatures.validators import kernel_check

PREFERRED: Final = 3
WRITTEN_OUT: Final = 4
VALUES: Final = 48
DIGITS: Final = 24
LETTERED: Final = frozenset({Check.IBAN, Check.ES_DNI, Check.FR_NIR, Check.WEIGHTED})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A form with the lane that finds it; `plan` is None for the q-gram lane."""

    form: Form
    plan: LanePlan | None


@dataclass(frozen=True, slots=True)
class Judged:
    """A signature with its forms; `why` it is a prefilter only, or empty."""

    signature: Signature
    candidates: tuple[Candidate, ...]
    check: Check
    why: str

    @property
    def grams(self) -> tuple[Form, ...]:
        return tuple(one.form for one in self.candidates if one.plan is None)


def judge(signature: Signature, stride: int) -> Judged:
    """Forms, decision and lane of one signature. Raises PackError with its place."""
    try:
        check = kernel_check(signature.validator)
        checked = check is not Check.NONE
        confidence.claimed(signature)
        lowered = lowering.lower(regex.parse(signature.regex), checked=checked)
        why = lowered.why or uncomputed(check, lowered.forms)
        if signature.proximity is not None:
            span = max(lowering.span(form.runs) for form in lowered.forms)
            why = why or keywords.undecided(signature.proximity, span)
        if signature.validator and not checked:
            why = why or f"the kernel does not compute {signature.validator}"
        return _placed(signature, lowered.forms, check, why, stride)
    except PackError as error:
        if error.place:
            raise
        raise PackError(
            f"signature {signature.id}: {error.message}",
            place=signature.expression,
            remedy=error.remedy,
        ) from error


def _placed(
    signature: Signature, forms: Sequence[Form], check: Check, why: str, stride: int
) -> Judged:
    grams: list[Form] = []
    digits: list[Form] = []
    for form in forms:
        found = _anchored(form, stride)
        why = why or next((one.form.why for one in found), "")
        grams.extend(one.form for one in found if one.plan is None)
        digits.extend(one.form for one in found if one.plan is not None)
    grams, crowded = _uncrowded(grams, stride)
    why = why or crowded
    candidates = [Candidate(form, None) for form in grams]
    candidates.extend(_lane(digits))
    return Judged(signature, tuple(candidates), Check.NONE if why else check, why)


def _anchored(form: Form, stride: int) -> list[Candidate]:
    """The form's candidates, or those of its part behind what has no anchor."""
    rest: Form | None = form
    while rest is not None:
        found = [
            one for finished in lowering.finished(rest) for one in _candidates(finished, stride)
        ]
        if found:
            return found
        rest = lowering.behind(rest)
    raise PackError(
        f"no anchor: {anchors.missing(form, stride)}, or {lane.STRETCH} digits with single "
        f"separators behind a byte that is no digit",
        remedy="begin the regex with more fixed bytes, or bound it with \\b",
    )


def _uncrowded(forms: list[Form], stride: int) -> tuple[list[Form], str]:
    """The forms, spelled out where that fits, and why they became prefilters, or empty."""
    spelled = [spelling for form in forms for spelling in reduction.spelled(form)]
    for choice in (spelled, forms):
        if _fits(choice, stride):
            return choice, ""
    return lowering.beginnings(forms), "its alternatives share their anchors"


def _fits(forms: list[Form], stride: int) -> bool:
    """Whether a table of their own has room for the forms, at the least stride at least."""
    if len(forms) <= ANCHORS_PER_GRAM:
        return True
    table = GramTable(stride)
    try:
        for number, form in enumerate(forms):
            table.add(form, number)
    except PackError:
        return False
    return True


def prefilter(one: Judged, why: str) -> Judged:
    """The signature with few shapes of its forms' first bytes, decided by the inspector.

    Raises PackError where a form has no bytes at fixed places.
    """
    grams = lowering.beginnings(one.grams)
    candidates = [Candidate(form, None) for form in grams]
    candidates.extend(each for each in one.candidates if each.plan is not None)
    return Judged(one.signature, tuple(candidates), Check.NONE, one.why or why)


CROWDED: Final = "too many signatures begin as it does"


def _lane(forms: list[Form]) -> list[Candidate]:
    """Forms of the digit lane, joined where that leaves it to find them: it has few shapes."""
    for choice in (reduction.joined(forms), forms):
        plans = [lane.plan(form) for form in choice]
        if None not in plans:
            break
    return [Candidate(form, lane.plan(form)) for form in choice]


def _candidates(form: Form, stride: int) -> list[Candidate]:
    """The form, or the form in all lengths of its first variable run, each with a lane."""
    plan = lane.plan(form)
    if plan is not None and not anchors.cheap(form, max(stride, PREFERRED)):
        return [Candidate(form, plan)]
    if anchors.candidates(form, stride) is not None:
        return [Candidate(form, None)]
    index = next((i for i, run in enumerate(form.runs) if run.min != run.max), None)
    if index is None or form.runs[index].max - form.runs[index].min > WRITTEN_OUT:
        return []
    result: list[Candidate] = []
    for count in range(form.runs[index].min, form.runs[index].max + 1):
        found = _candidates(lowering.with_length(form, index, count), stride)
        if not found:
            return []
        result.extend(found)
    return result


def uncomputed(check: Check, forms: Iterable[Form]) -> str:
    """Why the kernel cannot compute the checksum of these forms; empty where it can.

    It reads VALUES letters and digits at most, DIGITS of them for Luhn and Verhoeff, and for
    checks over digits takes letters for digits.
    """
    if check is Check.NONE:
        return ""
    for form in forms:
        if sum(run.max for run in form.runs) > VALUES:
            return f"its checksum would be over more than {VALUES} bytes"
        letters = any(run.mask & byteset.LETTERS for run in form.runs)
        if letters and check not in LETTERED:
            return f"its {check.name} checksum would be over letters too"
        count = sum(run.max for run in form.runs if run.mask & byteset.DIGITS)
        if check in (Check.LUHN, Check.VERHOEFF) and count > DIGITS:
            return f"its {check.name} checksum would be over more than {DIGITS} digits"
    return ""
