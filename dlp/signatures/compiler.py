"""The compiler: packs in, a kernel image out; nothing is read, written or kept.

For each signature: samples, tree, forms, decision where it is decided, lane. Then one
stride for all, anchors that share no q-gram too often, and the numbered classes. The
same packs give the same image. A signature that cannot be found in the kernel
refuses the whole set and names what is missing.

Of signatures that some policy holds, triggers follow behind all other shapes, which they
leave as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Final

from dlp.errors import PackError
from dlp.model import DecidedBy
from dlp.signatures import (
    anchors,
    byteset,
    collector,
    lane,
    limits,
    literal,
    lowering,
    samples,
    triggers,
)
from dlp.signatures.forms import Form
from dlp.signatures.gramtable import WELL_FILLED, GramTable
from dlp.signatures.image import (
    CLASSES,
    SHAPES,
    SIGNATURES,
    STRIDES,
    Check,
    ImageSignature,
    KernelImage,
    Lane,
    Shape,
    Step,
)
from dlp.signatures.image import SUMS as SUM_ROWS
from dlp.signatures.keywords import keyword_table
from dlp.signatures.lane import LanePlan
from dlp.signatures.pack import SEVERITIES, Pack
from dlp.signatures.placement import CROWDED, Candidate, Judged, judge, prefilter
from dlp.signatures.validators import SUMS

_EXACT: Final = "possessive steps equal the regex"


def compile_packs(
    packs: Sequence[Pack], *, stride: int | None = None, held: Collection[str] = ()
) -> KernelImage:
    """Compile packs into an image.

    Args:
        packs: as `load_packs` gives them.
        stride: of the q-gram scan, one of STRIDES; by default the largest that every
            signature allows, and that leaves the triggers of held ones half of the table.
        held: ids of the signatures that some policy holds, which get triggers.

    Raises PackError, with the place of the signature at fault.
    """
    if stride is not None and stride not in STRIDES:
        raise PackError(f"stride {stride} is not one of {', '.join(map(str, STRIDES))}")
    signatures = [signature for pack in packs for signature in pack.signatures]
    if len(signatures) > SIGNATURES:
        raise _too_many(packs, len(signatures))
    strides = STRIDES if stride is None else (stride,)
    with collector.paused():
        samples.check(signatures)
        judged = [judge(signature, min(strides)) for signature in signatures]
        limits.check(judged)
        return _largest(judged, strides, held)


def _largest(
    judged: Sequence[Judged], strides: Sequence[int], held: Collection[str]
) -> KernelImage:
    """The image at the largest stride at which every signature has room."""
    *larger, smallest = _possible(judged, strides)
    for chosen in larger:
        try:
            return _assemble(judged, chosen, held, most=WELL_FILLED // 2 if held else None)
        except PackError:
            # Shapes that crowd a q-gram at a large stride may have room at a smaller one.
            continue
    return _assemble(judged, smallest, held, yielding=True)


def _possible(judged: Sequence[Judged], strides: Sequence[int]) -> list[int]:
    """The strides at which every form has anchors, the largest first; the smallest if none."""
    forms = [form for one in judged for form in one.grams]
    return [
        stride
        for stride in sorted(strides, reverse=True)
        if all(anchors.candidates(form, stride) is not None for form in forms)
    ] or [min(strides)]


def _assemble(
    judged: Sequence[Judged],
    stride: int,
    held: Collection[str],
    *,
    yielding: bool = False,
    most: int | None = None,
) -> KernelImage:
    """The image at a stride. Raises PackError where a signature has no room.

    Args:
        yielding: one that has none for its shapes becomes a prefilter first.
        most: q-grams that shapes may take, triggers not counted.
    """
    judged = list(judged)
    classes = _Classes()
    table = GramTable(stride)
    shapes: list[Shape] = []
    plans: dict[int, LanePlan] = {}
    finished: list[ImageSignature] = []
    for number in range(len(judged)):
        first = len(shapes)
        try:
            _entered(judged[number], number, shapes, plans, classes, table)
        except PackError as error:
            one = judged[number]
            try:
                if not yielding:
                    raise
                judged[number] = prefilter(one, CROWDED)
                _entered(judged[number], number, shapes, plans, classes, table)
            except PackError:
                raise PackError(
                    f"signature {one.signature.id}: {error.message}",
                    place=one.signature.place,
                    remedy=error.remedy,
                ) from error
        finished.append(_signature(judged[number], range(first, len(shapes)), shapes))
    if most is not None and len(table.entries) > most:
        raise PackError(f"more than {most} q-grams", remedy="allow a smaller stride")
    for number in sorted(range(len(judged)), key=lambda number: _turn(judged[number])):
        one = judged[number]
        if one.signature.id in held:
            finished[number] = _triggered(one, finished[number], number, shapes, classes, table)
    _summed(finished)
    asked = [signature.near for signature in finished if signature.near is not None]
    image = KernelImage(
        version="",
        stride=stride,
        signatures=tuple(finished),
        shapes=tuple(shapes),
        classes=classes.frozen(),
        bloom=table.bloom(),
        anchors=table.frozen(),
        lane=_lane(plans),
        keywords=keyword_table(asked),
    )
    return replace(image, version=_version(image))


def _entered(
    one: Judged,
    number: int,
    shapes: list[Shape],
    plans: dict[int, LanePlan],
    classes: _Classes,
    table: GramTable,
) -> None:
    """Enter the shapes of a signature. Raises PackError; nothing is entered then."""
    first = len(shapes)
    try:
        for candidate in one.candidates:
            if candidate.plan is not None:
                plans[len(shapes)] = candidate.plan
            shapes.append(_shape(number, candidate, len(shapes), classes, table))
    except PackError:
        for index in range(first, len(shapes)):
            table.remove(index, shapes[index].grams)
            plans.pop(index, None)
        plans.pop(len(shapes), None)
        del shapes[first:]
        raise


def _too_many(packs: Sequence[Pack], count: int) -> PackError:
    largest = sorted(packs, key=lambda pack: -len(pack.signatures))[:3]
    told = ", ".join(f"{pack.name} ({len(pack.signatures)})" for pack in largest)
    return PackError(
        f"{count} signatures of the {SIGNATURES} there is room for; most are in {told}",
        remedy="drop one of these packs, or split the set over hosts by what each sends",
    )


def _turn(one: Judged) -> tuple[int, int]:
    """Whose triggers come first, as room is short: the gravest, then those of few shapes."""
    return (-SEVERITIES.index(one.signature.severity), len(one.candidates))


def _summed(signatures: Sequence[ImageSignature]) -> None:
    """Raise PackError where the table of weighted sums has no room for all."""
    distinct = {each for signature in signatures for each in signature.sums}
    if len(distinct) > SUM_ROWS:
        raise PackError(
            f"{len(distinct)} different weighted sums, the kernel has room for {SUM_ROWS}",
            remedy="enable fewer packs whose validators are weighted sums",
        )


def _triggered(
    one: Judged,
    signature: ImageSignature,
    number: int,
    shapes: list[Shape],
    classes: _Classes,
    table: GramTable,
) -> ImageSignature:
    """The signature with the triggers that there is room for, at the end of the shapes."""
    own = list(signature.shapes)
    prefilters = [candidate.form for candidate in one.candidates] if one.why else []
    begun: dict[Form, bool] = {}

    def enter(trigger: Form) -> bool:
        if len(shapes) == SHAPES:
            return False
        try:
            shape = _shape(
                number, Candidate(trigger, None), len(shapes), classes, table, trigger=True
            )
        except PackError:
            return False
        own.append(len(shapes))
        shapes.append(shape)
        return True

    def add(trigger: Form) -> bool:
        if trigger not in begun:
            begun[trigger] = enter(trigger)
        return begun[trigger]

    span = triggers.most(
        [
            triggers.enter(front, table.stride, prefilters, add)
            for front in triggers.fronts(one.signature.regex, checked=bool(one.signature.validator))
        ]
    )
    leaves = signature.leaves if span is None else span - 1
    return replace(signature, shapes=tuple(own), leaves=leaves)


def _shape(
    number: int,
    candidate: Candidate,
    index: int,
    classes: _Classes,
    table: GramTable,
    *,
    trigger: bool = False,
) -> Shape:
    form, plan = candidate.form, candidate.plan
    fixed = literal.literal(form.runs)
    return Shape(
        signature=number,
        literal=fixed.text,
        fold=fixed.fold,
        literal_offset=fixed.offset,
        steps=tuple(
            Step(classes.number(run.mask), run.min, run.max) for run in literal.steps(form.runs)
        ),
        left=classes.number(form.left),
        right=classes.number(form.right),
        grams=() if plan else table.add(form, index, spare=trigger),
        lane=plan is not None,
        lane_offset=plan.offset if plan else 0,
        span=lowering.span(form.runs),
        trigger=trigger,
    )


def _signature(one: Judged, own: range, shapes: Sequence[Shape]) -> ImageSignature:
    source = one.signature
    most = max(shapes[index].span for index in own)
    return ImageSignature(
        id=source.id,
        severity=source.severity,
        decided=DecidedBy.INSPECTOR if one.why else DecidedBy.KERNEL,
        why=one.why or _EXACT,
        check=one.check,
        proximity=source.proximity,
        sums=SUMS.get(source.validator, ()) if one.check is Check.WEIGHTED else (),
        normalise=source.normalise,
        mask_head=source.mask_head,
        mask_tail=source.mask_tail,
        regex=source.regex,
        validator=source.validator,
        shapes=tuple(own),
        leaves=None if one.why else most - 1,
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


def _lane(plans: dict[int, LanePlan]) -> Lane:
    first, second = [0] * lane.FIRST, [0] * lane.SECOND
    before, after = [0] * 256, [0] * 256
    for bit, plan in enumerate(plans.values()):
        for index in plan.first:
            first[index] |= 1 << bit
        for index in plan.second:
            second[index] |= 1 << bit
        for byte in byteset.members(plan.before):
            before[byte] |= 1 << bit
        for byte in byteset.members(plan.after):
            after[byte] |= 1 << bit
    return Lane(
        first=tuple(first),
        second=tuple(second),
        before=tuple(before),
        after=tuple(after),
        shapes=tuple(plans),
    )


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
    yield image.keywords
