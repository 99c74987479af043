"""What the compiler made of a signature, for people who write or judge one.

Read from the image alone, so that it tells what the kernel runs; the pack gives name
and description. Nothing here decides anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from dlp.errors import PackError
from dlp.model import DecidedBy
from dlp.signatures import anchors, byteset, frequency
from dlp.signatures.confidence import Confidence, assess
from dlp.signatures.frequency import Corpus
from dlp.signatures.image import Check, KernelImage, Shape, Step
from dlp.signatures.literal import GAP
from dlp.signatures.pack import Pack
from dlp.signatures.proximity import Proximity

_FOLDED: Final = byteset.FOLD
_KINDS: Final = 15 * 2 * 10  # lengths, separator or not, first digits


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorExplanation:
    """Sampled q-grams at one offset: how many variants, and how often per MB they turn up.

    `per_megabyte` in the mixture that anchors are chosen by, `text` and `json` in those.
    """

    offset: int
    variants: int
    example: str
    per_megabyte: float
    text: float
    json: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeExplanation:
    """One shape: its steps as text, its bounds, and the lane that finds it.

    `lane_entries` counts the entries of the digit lane's first table that select it. A
    trigger begins a hold and decides nothing.
    """

    steps: str
    before: str
    behind: str
    span: int
    lane: bool
    lane_offset: int
    lane_entries: int
    anchors: tuple[AnchorExplanation, ...]
    trigger: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Bytes that a row of the kernel's tables takes; an anchor is a q-gram of a shape."""

    signature: int
    shape: int
    anchor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """How one signature is found and decided; `str()` gives it as text.

    Attributes:
        text, json: expected candidates by q-gram per MB of these, as `per_megabyte` of the
            mixture.
        table_bytes: of the kernel's tables that it takes; None where no rows were given.
        leaves: most bytes of a match that can have left in earlier segments (see
            ImageSignature).
        held: explained as one that a policy holds.
    """

    id: str
    name: str
    description: str
    regex: str
    validator: str
    check: Check
    decided: DecidedBy
    why: str
    stride: int
    shapes: tuple[ShapeExplanation, ...]
    grams: int
    per_megabyte: float
    text: float
    json: float
    table_bytes: int | None
    confidence: Confidence
    proximity: Proximity | None
    leaves: int | None
    held: bool

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def explain(
    image: KernelImage,
    signature_id: str,
    packs: Sequence[Pack],
    *,
    held: bool = False,
    rows: Rows | None = None,
) -> Explanation:
    """Explain a signature of an image compiled from these packs.

    Args:
        held: it was compiled as one that a policy holds, with triggers.
        rows: sizes of the kernel's rows, to tell what it takes of them.

    Raises PackError for an id that the image does not hold.
    """
    source = next(
        (one for pack in packs for one in pack.signatures if one.id == signature_id), None
    )
    compiled = next((one for one in image.signatures if one.id == signature_id), None)
    if source is None or compiled is None:
        raise PackError(
            f"there is no signature {signature_id}", remedy="dlp signatures list names them"
        )
    shapes = tuple(_shape(image, index) for index in compiled.shapes)
    found = [one for shape in shapes for one in shape.anchors]
    grams = len({gram for index in compiled.shapes for gram, _ in image.shapes[index].grams})
    size = None
    if rows is not None:
        places = sum(len(image.shapes[index].grams) for index in compiled.shapes)
        size = rows.signature + len(shapes) * rows.shape + places * rows.anchor
    return Explanation(
        id=compiled.id,
        name=source.name,
        description=source.description,
        regex=compiled.regex,
        validator=compiled.validator,
        check=compiled.check,
        decided=compiled.decided,
        why=compiled.why,
        stride=image.stride,
        shapes=shapes,
        grams=grams,
        per_megabyte=sum(one.per_megabyte for one in found),
        text=sum(one.text for one in found),
        json=sum(one.json for one in found),
        table_bytes=size,
        confidence=assess(source),
        proximity=source.proximity,
        leaves=compiled.leaves,
        held=held,
    )


def _shape(image: KernelImage, index: int) -> ShapeExplanation:
    shape = image.shapes[index]
    entries = 0
    if shape.lane:
        bit = image.lane.shapes.index(index)
        entries = sum(word >> bit & 1 for word in image.lane.first)
    offsets = sorted({offset for _, offset in shape.grams})
    return ShapeExplanation(
        steps=_steps(image, shape),
        before=_boundary(image, shape.left),
        behind=_boundary(image, shape.right),
        span=shape.span,
        lane=shape.lane,
        lane_offset=shape.lane_offset,
        lane_entries=entries,
        anchors=tuple(_anchor(image, shape, offset) for offset in offsets),
        trigger=shape.trigger,
    )


def _anchor(image: KernelImage, shape: Shape, offset: int) -> AnchorExplanation:
    grams = [gram for gram, place in shape.grams if place == offset]
    sets = [tuple(sorted({gram[place] for gram in grams})) for place in range(anchors.GRAM)]
    expected = math.prod(map(len, sets))
    mixture, text, json = (
        frequency.share(sets, corpus) * len(grams) / expected * anchors.MEGABYTE / image.stride
        for corpus in (Corpus.MIXTURE, Corpus.TEXT, Corpus.JSON)
    )
    return AnchorExplanation(
        offset=offset,
        variants=len(grams),
        example="".join(_sampled(values) for values in sets),
        per_megabyte=mixture,
        text=text,
        json=json,
    )


def _sampled(values: tuple[int, ...]) -> str:
    """Folded values of one byte as text; 0x20 stands for NUL too, 0x7f for `_`."""
    if len(values) > 1:
        return f"<{len(values)}>"
    value = values[0] - _FOLDED if values[0] == 0x7F else values[0]  # noqa: PLR2004 - of `_`
    return chr(value) if _FOLDED <= value < 0x7F else f"\\x{value:02x}"  # noqa: PLR2004


def _steps(image: KernelImage, shape: Shape) -> str:
    parts: list[str] = []
    offset = 0
    for step in shape.steps:
        if step.cls == 0 and step.min == step.max:
            parts.append(_text(shape, offset, step.min))
        else:
            parts.append(_class(image, step.cls) + _count(step))
        offset += step.min if step.min == step.max else 1 << 20
    return " ".join(parts)


def _text(shape: Shape, offset: int, length: int) -> str:
    """The part of the literal that a step over any bytes covers."""
    start = offset - shape.literal_offset
    if start < 0 or start + length > len(shape.literal):
        return f"any{{{length}}}"
    pairs = list(zip(shape.literal, shape.fold, strict=True))[start : start + length]
    folded = any(fold == _FOLDED for _, fold in pairs)
    text = "".join(
        chr(byte) if _FOLDED <= byte < 0x7F else f"\\x{byte:02x}"  # noqa: PLR2004 - ASCII
        for byte, fold in pairs
        if fold != GAP
    )
    return f'"{text}"' + ("i" if folded else "")


def _count(step: Step) -> str:
    if step.min == step.max:
        return "" if step.min == 1 else f"{{{step.min}}}"
    return f"{{{step.min},{step.max}}}"


def _class(image: KernelImage, number: int) -> str:
    return byteset.render(byteset.of(image.classes[number]))


def _boundary(image: KernelImage, number: int) -> str:
    if number == 0:
        return ""
    text = _class(image, number)
    return f"{text} or none" if 0 in image.classes[number] else text


def _lines(one: Explanation) -> list[str]:
    lines = [
        f"{one.id}: {one.name}",
        f"  {one.description}",
        f"  regex      {one.regex}",
        f"  validator  {one.validator or 'none'}{_computed(one.check)}",
        f"  confidence {one.confidence.level}: {one.confidence.why}",
        *(f"  proximity  {text}" for text in _near(one)),
        f"  decided    in the {one.decided.value}: {one.why}",
        f"  costs      {_cost(one)}",
        f"  tables     {_tables(one)}",
        f"  leaves     {_leaves(one)}",
    ]
    shapes = [shape for shape in one.shapes if not shape.trigger]
    triggers = [shape for shape in one.shapes if shape.trigger]
    for number, shape in (*enumerate(shapes, 1), *enumerate(triggers, 1)):
        if shape.trigger:
            lines.append(f"  trigger {number} of {len(triggers)}, {shape.span} bytes")
        else:
            lines.append(f"  shape {number} of {len(shapes)}, up to {shape.span} bytes")
        lines.extend(f"    before   {text}" for text in (shape.before,) if text)
        lines.append(f"    steps    {shape.steps}")
        lines.extend(f"    behind   {text}" for text in (shape.behind,) if text)
        if shape.lane:
            lines.append(
                f"    found by digit lane, group at offset {shape.lane_offset}, "
                f"{shape.lane_entries} of {_KINDS} kinds of group select it"
            )
        lines.extend(
            f"    found by q-gram {anchor.example} at offset {anchor.offset}, "
            f"{anchor.variants} variants, {anchor.text:.2f} per MB of text, "
            f"{anchor.json:.2f} of JSON"
            for anchor in shape.anchors
        )
    return lines


def _leaves(one: Explanation) -> str:
    if one.leaves is None and one.held:
        return "no bound: a hold begins where a shape fits, and not every match begins with one"
    if one.leaves is None:
        return "no bound: the match is whole when the inspector decides, unless a rule holds it"
    before = "a hold begins" if one.held else "it is found"
    return f"at most {one.leaves} bytes of a match in earlier segments before {before}"


def _computed(check: Check) -> str:
    return f", computed in the kernel as {check.name}" if check else ""


def _cost(one: Explanation) -> str:
    return (
        f"about {one.per_megabyte:.2f} candidates per MB by q-gram at stride {one.stride}, "
        f"{one.text:.2f} in text, {one.json:.2f} in JSON"
    )


def _tables(one: Explanation) -> str:
    size = "" if one.table_bytes is None else f", {one.table_bytes / 1024:.1f} KB"
    return f"{one.grams} q-grams, {len(one.shapes)} shapes{size}"


def _near(one: Explanation) -> Iterator[str]:
    near = one.proximity
    if near is None:
        return
    words = ", ".join(word.decode() for word in near.keywords)
    side = {"before": "before it", "after": "behind it"}.get(near.side, "on either side")
    yield (
        f"one of {words} within {near.distance} bytes {side}, "
        f"decided in the {one.decided.value} with the value"
    )
