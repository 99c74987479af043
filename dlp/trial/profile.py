"""What each signature costs on some bytes, so that an author sees a bad anchor.

Costs by signature are the model's: how often an anchor made its shapes run, what came of it, and
how many bytes they looked at. Where the kernel can be had, its own time and counters are told for
the whole set.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dlp.errors import KernelError, MissingDependency, PrivilegeError
from dlp.signatures.image import KernelImage
from dlp.signatures.model import Counts
from dlp.trial.choice import Wanted
from dlp.trial.corpus import corpus
from dlp.trial.engine import Stream
from dlp.trial.modelled import ModelEngine
from dlp.trial.traffic import Source

if TYPE_CHECKING:
    from dlp.trial.kernel import KernelCost

_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureCost:
    """One signature's part.

    Attributes:
        grams: q-grams that announce it; lane: shapes that the digit lane finds.
        candidates: shapes run; confirmed: those that fitted, checksum and all; failed: those
            whose checksum did not hold.
        work: bytes that its shapes looked at, and one for each candidate.
        share: of the work of the whole set, 0 to 1.
    """

    signature: str
    decided: str
    grams: int
    lane: int
    candidates: int
    candidates_per_mb: float
    confirmed: int
    failed: int
    work: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A set on some bytes; `signatures` the costliest first."""

    sources: tuple[str, ...]
    bytes: int
    stride: int
    grams: int
    groups: int
    candidates: int
    signatures: tuple[SignatureCost, ...]
    kernel: KernelCost | None
    why_not_kernel: str

    def lines(self) -> list[str]:
        """The totals, in words."""
        silent = sum(1 for one in self.signatures if not one.candidates)
        lines = [
            f"{', '.join(self.sources)}: {self.bytes} bytes at stride {self.stride}",
            (
                f"model: {self.grams} q-grams passed the filter, {self.groups} digit groups, "
                f"{self.candidates} candidates; {silent} signatures had none"
            ),
        ]
        if self.kernel is None:
            return [*lines, f"kernel: not run ({self.why_not_kernel})"]
        cost = self.kernel
        return [
            *lines,
            (
                f"kernel: {cost.ns_per_byte} ns a byte, {cost.grams} q-grams, {cost.groups} digit "
                f"groups, {cost.candidates} candidates, {cost.failed} checksums failed, "
                f"{cost.matches} matches, {cost.over_budget} packets over budget"
            ),
        ]


def profile_of(image: KernelImage, sources: Sequence[Source], wanted: Wanted) -> Profile:
    """Profile a set on the sources, or on a corpus of its own where there are none.

    Raises DlpError where the kernel was asked for and cannot be had.
    """
    streams = tuple(stream for source in sources for stream in source.streams) or corpus()
    names = tuple(str(source.file) for source in sources) or ("built-in corpus",)
    counts = Counts()
    ModelEngine(image, counts).read(streams)
    kernel, why = _kernel(image, streams, wanted)
    return Profile(
        sources=names,
        bytes=counts.bytes,
        stride=image.stride,
        grams=counts.grams,
        groups=counts.groups,
        candidates=counts.candidates.total(),
        signatures=_costs(image, counts),
        kernel=kernel,
        why_not_kernel=why,
    )


def _costs(image: KernelImage, counts: Counts) -> tuple[SignatureCost, ...]:
    total, size = max(counts.work.total(), 1), max(counts.bytes, 1)
    costs = [
        SignatureCost(
            signature=one.id,
            decided=one.decided.value,
            grams=len({gram for shape in one.shapes for gram, _ in image.shapes[shape].grams}),
            lane=sum(image.shapes[shape].lane for shape in one.shapes),
            candidates=counts.candidates[index],
            candidates_per_mb=round(counts.candidates[index] * _MEGABYTE / size, 2),
            confirmed=counts.confirmed[index],
            failed=counts.failed[index],
            work=counts.work[index],
            share=round(counts.work[index] / total, 4),
        )
        for index, one in enumerate(image.signatures)
    ]
    return tuple(sorted(costs, key=lambda one: (-one.work, one.signature)))


def _kernel(
    image: KernelImage, streams: Sequence[Stream], wanted: Wanted
) -> tuple[KernelCost | None, str]:
    if wanted is Wanted.MODEL:
        return None, "the model was asked for"
    from dlp.trial.kernel import KernelEngine  # noqa: PLC0415 - see choice

    try:
        engine = KernelEngine(image)
    except (PrivilegeError, MissingDependency, KernelError) as error:
        if wanted is Wanted.KERNEL:
            raise
        return None, error.message
    with closing(engine):
        return engine.cost(streams), ""
