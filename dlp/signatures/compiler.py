"""The compiler: packs in, a kernel image out; nothing is read, written or kept.

For each signature: samples, tree, forms, decision where it is decided, lane. Then one
stride for all, anchors that share no q-gram too often, and the numbered classes. The
same packs give the same image. A signature that cannot be found in the kernel
refuses the whole set and names what is missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from dlp.errors import PackError
from dlp.model import DecidedBy
from dlp.signatures import anchors, byteset, lane, lowering, regex, samples
from dlp.signatures.anchors import Anchor
from dlp.signatures.forms import Form
from dlp.signatures.image import (
    ANCHORS_PER_GRAM,
    BLOOM_WORDS,
    CLASSES,
    LANE_SHAPES,
    SHAPES,
    SIGNATURES,
    STRIDES,
    Check,
    ImageSignature,
    KernelImage,
    Lane,
    Shape,
    Step,
    bloom_bits,
)
from dlp.signatures.lane import LanePlan
from dlp.signatures.pack import Pack, Signature
from dlp.signatures.validators import kernel_check, uncomputed

PREFERRED: Final = 3
_EXACT: Final = "possessive steps equal the regex"


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


def compile_packs(packs: Sequence[Pack], *, stride: int | None = None) -> KernelImage:
    """Compile packs into an image.

    Args:
        packs: as `load_packs` gives them.
        stride: of the q-gram scan, one of STRIDES; by default the largest that every
            signature allows.

    Raises PackError, with the place of the signature at fault.
    """
    if stride is not None and stride not in STRIDES:
        raise PackError(f"stride {stride} is not one of {', '.join(map(str, STRIDES))}")
    signatures = [signature for pack in packs for signature in pack.signatures]
    if len(signatures) > SIGNATURES:
        raise PackError(f"more than {SIGNATURES} signatures", remedy="enable fewer packs")
    strides = STRIDES if stride is None else (stride,)
    judged = [judge(signature, min(strides)) for signature in signatures]
    chosen = _stride(judged, strides)
    return _assemble(judged, chosen)


def judge(signature: Signature, stride: int) -> Judged:
    """Samples, forms, decision and lane of one signature. Raises PackError with its place."""
    samples.check(signature)
    try:
        check = kernel_check(signature.validator)
        checked = check is not Check.NONE
        lowered = lowering.lower(regex.parse(signature.regex), checked=checked)
        why = lowered.why or uncomputed(check, lowered.forms)
        if signature.validator and not checked:
            why = why or f"the kernel does not compute {signature.validator}"
        return _placed(signature, lowered.forms, check, why, stride)
    except PackError as error:
        if error.place:
            raise
        raise PackError(
            f"signature {signature.id}: {error.message}",
            place=signature.at("regex" if "regex" in dict(signature.lines) else "literals"),
            remedy=error.remedy,
        ) from error


def _placed(
    signature: Signature, forms: Sequence[Form], check: Check, why: str, stride: int
) -> Judged:
    direct: list[Candidate] = []
    digits: dict[Form, LanePlan] = {}
    for form in forms:
        found = _candidates(form, stride)
        if not found:
            raise PackError(
                f"no anchor: {anchors.missing(form, stride)}, or {lane.STRETCH} digits with single "
                f"separators behind a byte that is no digit",
                remedy="begin the regex with more fixed bytes, or bound it with \\b",
            )
        direct.extend(
            Candidate(spelling, None)
            for one in found
            if one.plan is None
            for spelling in lowering.spelled(one.form)
        )
        digits.update({one.form: one.plan for one in found if one.plan is not None})
    # The lane has few shapes and the classes are few too: forms are joined in the lane only.
    for form in lowering.joined(list(digits)):
        plan = digits.get(form) or lane.plan(form)
        if plan is not None:
            direct.append(Candidate(form, plan))
    return Judged(signature, tuple(direct), Check.NONE if why else check, why)


def _candidates(form: Form, stride: int) -> list[Candidate]:
    """The form, or the form in all lengths of its first variable run, each with a lane."""
    plan = lane.plan(form)
    if plan is not None and not anchors.cheap(form, max(stride, PREFERRED)):
        return [Candidate(form, plan)]
    if anchors.candidates(form, stride) is not None:
        return [Candidate(form, None)]
    index = next((i for i, run in enumerate(form.runs) if run.min != run.max), None)
    if index is None or form.runs[index].max - form.runs[index].min > LANE_SHAPES // 16:
        return []
    result: list[Candidate] = []
    for count in range(form.runs[index].min, form.runs[index].max + 1):
        found = _candidates(lowering.with_length(form, index, count), stride)
        if not found:
            return []
        result.extend(found)
    return result


def _stride(judged: Sequence[Judged], strides: Sequence[int]) -> int:
    forms = [form for one in judged for form in one.grams]
    for stride in sorted(strides, reverse=True):
        if all(anchors.candidates(form, stride) is not None for form in forms):
            return stride
    return min(strides)


def _assemble(judged: Sequence[Judged], stride: int) -> KernelImage:
    classes = _Classes()
    table = _Grams(stride)
    shapes: list[Shape] = []
    plans: dict[int, LanePlan] = {}
    finished: list[ImageSignature] = []
    for number, one in enumerate(judged):
        first = len(shapes)
        try:
            for candidate in one.candidates:
                if candidate.plan is not None:
                    plans[len(shapes)] = candidate.plan
                shapes.append(_shape(number, candidate, len(shapes), classes, table))
            if len(plans) > LANE_SHAPES or len(shapes) > SHAPES:
                what = f"{LANE_SHAPES} digit-lane" if len(plans) > LANE_SHAPES else str(SHAPES)
                raise PackError(
                    f"needs more than the {what} shapes there are", remedy="enable fewer packs"
                )
        except PackError as error:
            raise PackError(
                f"signature {one.signature.id}: {error.message}",
                place=one.signature.place,
                remedy=error.remedy,
            ) from error
        finished.append(_signature(one, tuple(range(first, len(shapes)))))
    image = KernelImage(
        version="",
        stride=stride,
        signatures=tuple(finished),
        shapes=tuple(shapes),
        classes=classes.frozen(),
        bloom=_bloom(table.entries),
        anchors={gram: tuple(table.entries[gram]) for gram in sorted(table.entries)},
        lane=_lane(plans),
    )
    return replace(image, version=_version(image))


def _shape(
    number: int, candidate: Candidate, index: int, classes: _Classes, table: _Grams
) -> Shape:
    form, plan = candidate.form, candidate.plan
    fixed = lowering.literal(form.runs)
    return Shape(
        signature=number,
        literal=fixed.text,
        fold=fixed.fold,
        literal_offset=fixed.offset,
        steps=tuple(
            Step(classes.number(run.mask), run.min, run.max) for run in lowering.steps(form.runs)
        ),
        left=classes.number(form.left),
        right=classes.number(form.right),
        grams=() if plan else table.add(form, index),
        lane=plan is not None,
        lane_offset=plan.offset if plan else 0,
        span=lowering.span(form.runs),
    )


def _signature(one: Judged, shapes: tuple[int, ...]) -> ImageSignature:
    source = one.signature
    return ImageSignature(
        id=source.id,
        severity=source.severity,
        decided=DecidedBy.INSPECTOR if one.why else DecidedBy.KERNEL,
        why=one.why or _EXACT,
        check=one.check,
        normalise=source.normalise,
        mask_head=source.mask_head,
        mask_tail=source.mask_tail,
        regex=source.regex,
        validator=source.validator,
        shapes=shapes,
    )


class _Classes:
    """Byte classes in the order of their first use; number 0 holds all bytes."""

    def __init__(self) -> None:
        self.numbers: dict[int, int] = {byteset.ALL: 0}

    def number(self, mask: int) -> int:
        if mask not in self.numbers and len(self.numbers) == CLASSES:
            raise PackError(
                f"needs more than the {CLASSES} byte classes there are",
                remedy="write classes alike in all signatures, or enable fewer packs",
            )
        return self.numbers.setdefault(mask, len(self.numbers))

    def frozen(self) -> tuple[frozenset[int], ...]:
        return tuple(frozenset(byteset.members(mask)) for mask in self.numbers)


class _Grams:
    """The q-gram table as it fills: at most ANCHORS_PER_GRAM entries a gram."""

    def __init__(self, stride: int) -> None:
        self.stride = stride
        self.entries: dict[bytes, list[tuple[int, int]]] = {}

    def add(self, form: Form, shape: int) -> tuple[tuple[bytes, int], ...]:
        """Enter a form's anchors, the cheapest that have room. Raises PackError."""
        choices = anchors.candidates(form, self.stride)
        if choices is None:
            raise PackError(
                f"no anchor at stride {self.stride}: {anchors.missing(form, self.stride)}",
                remedy="allow a smaller stride, or begin the regex with more fixed bytes",
            )
        result: list[tuple[bytes, int]] = []
        for options in choices:
            chosen = next((anchor for anchor in options if self._room(anchor)), None)
            if chosen is None:
                raise PackError(
                    f"its q-grams are shared by more than {ANCHORS_PER_GRAM} shapes",
                    remedy="join signatures of one prefix, or make their prefixes differ",
                )
            for gram in chosen.grams():
                self.entries.setdefault(gram, []).append((shape, chosen.offset))
                result.append((gram, chosen.offset))
        return tuple(sorted(result, key=lambda entry: (entry[1], entry[0])))

    def _room(self, anchor: Anchor) -> bool:
        return all(len(self.entries.get(gram, ())) < ANCHORS_PER_GRAM for gram in anchor.grams())


def _bloom(entries: dict[bytes, list[tuple[int, int]]]) -> tuple[int, ...]:
    words = [0] * BLOOM_WORDS
    for gram in entries:
        word, one, two = bloom_bits(gram)
        words[word] |= 1 << one | 1 << two
    return tuple(words)


def _lane(plans: dict[int, LanePlan]) -> Lane:
    first, second = [0] * lane.FIRST, [0] * lane.SECOND
    for bit, plan in enumerate(plans.values()):
        for index in plan.first:
            first[index] |= 1 << bit
        for index in plan.second:
            second[index] |= 1 << bit
    return Lane(first=tuple(first), second=tuple(second), shapes=tuple(plans))


def _version(image: KernelImage) -> str:
    digest = hashlib.sha256()
    for part in _parts(image):
        digest.update(repr(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()


def _parts(image: KernelImage) -> Iterator[object]:
    yield image.stride
    yield from image.signatures
    yield from image.shapes
    yield [sorted(members) for members in image.classes]
    yield image.bloom
    yield from image.anchors.items()
    yield image.lane
