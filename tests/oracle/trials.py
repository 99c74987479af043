"""Runs the mutants: each is built, and must disagree with the model within so many cases.

The source as it is goes first, on as many: where that disagrees too, a mutant's disagreement
proves nothing.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

from dlp.datapath import source
from dlp.resources import bpf_dir
from tests.oracle import mutants
from tests.oracle.campaign import BATCH, judge_of
from tests.oracle.harness import Kernel
from tests.oracle.mutants import MUTANTS, Mutant
from tests.oracle.wire import leave_namespace

PATIENCE = 6000  # cases


@dataclass(frozen=True, slots=True)
class Trial:
    """`killed`: the model disagreed, after `cases` cases."""

    name: str
    killed: bool
    cases: int


CONTROL = "the source as it is"


def run_mutants(seed: int) -> Iterator[Trial]:
    """The control, then each mutant. Raises StaleMutantError before the first."""
    for mutant in MUTANTS:
        mutants.broken(mutant, (bpf_dir() / mutant.file).read_text())
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, initializer=leave_namespace) as pool:
        yield pool.apply(_try, (CONTROL, source.joined(bpf_dir()), (), seed))
        for mutant in MUTANTS:
            yield pool.apply(_try, (mutant.name, _text(mutant), mutant.kinds, seed))


def _text(mutant: Mutant) -> str:
    with tempfile.TemporaryDirectory(prefix="mutant") as directory:
        mutants.apply(mutant, bpf_dir(), Path(directory))
        return source.joined(Path(directory))


def _try(name: str, text: str, kinds: tuple[str, ...], seed: int) -> Trial:
    """Run cases until one disagrees."""
    judge = judge_of(None, seed)
    numbers = (n for n in count() if not kinds or judge.cases.kind_of(n) in kinds)
    tried = 0
    with Kernel(text=text) as kernel:
        while tried < PATIENCE:
            tally = judge.run(kernel, list(islice(numbers, BATCH)))
            tried += tally.cases
            if tally.disagreements:
                return Trial(name, killed=True, cases=tried)
    return Trial(name, killed=False, cases=tried)
