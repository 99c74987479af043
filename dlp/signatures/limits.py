"""Whether a judged set has room in the kernel's tables, and what to drop where it has not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from dlp.errors import PackError
from dlp.signatures import image, literal
from dlp.signatures.forms import Form
from dlp.signatures.placement import Judged

_NAMED = 3


def check(judged: Sequence[Judged]) -> None:
    """Raise PackError where shapes, the digit lane or byte classes do not suffice.

    The message names the packs and the signatures that take most, and has the place of the
    first of those.
    """
    forms = {one.signature.id: [each.form for each in one.candidates] for one in judged}
    lane = {
        one.signature.id: sum(each.plan is not None for each in one.candidates) for one in judged
    }
    classes = _classes(forms)
    shared = Counter(mask for own in classes.values() for mask in own)
    for costs, needed, most, what in (
        (lane, sum(lane.values()), image.LANE_SHAPES, "shapes that the digit lane has"),
        (
            {name: len(own) for name, own in forms.items()},
            sum(map(len, forms.values())),
            image.SHAPES,
            "shapes there are",
        ),
        (
            {name: sum(shared[mask] == 1 for mask in own) for name, own in classes.items()},
            len(shared) + 1,
            image.CLASSES,
            "byte classes there are",
        ),
    ):
        if needed > most:
            raise _exceeded(judged, costs, f"{needed} of the {most} {what}")


def _classes(forms: Mapping[str, Sequence[Form]]) -> dict[str, set[int]]:
    """Masks for which each signature needs a numbered class; that of all bytes is there."""
    every = (1 << 256) - 1
    return {
        name: {
            mask
            for form in own
            for mask in (form.left, form.right, *(run.mask for run in literal.steps(form.runs)))
        }
        - {every}
        for name, own in forms.items()
    }


def _exceeded(judged: Sequence[Judged], costs: Mapping[str, int], what: str) -> PackError:
    packs: Counter[str] = Counter()
    for name, cost in costs.items():
        packs[name.partition(".")[0]] += cost
    largest = Counter(costs).most_common(_NAMED)
    place = next(one.signature.place for one in judged if one.signature.id == largest[0][0])
    return PackError(
        f"the set needs {what}; most are taken by the packs {_told(packs.most_common(_NAMED))}, "
        f"and by the signatures {_told(largest)}",
        place=place,
        remedy="drop one of these, or split the set over hosts by what each sends",
    )


def _told(costs: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{name} ({cost})" for name, cost in costs if cost)
