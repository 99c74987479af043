"""Runs the mutants: each is built, and must disagree with the model within so many cases."""

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
    mutant: Mutant
    killed: bool
    cases: int


def run_mutants(seed: int) -> Iterator[Trial]:
    """Try each mutant in a process of its own. Raises StaleMutantError before the first."""
    for mutant in MUTANTS:
        mutants.broken(mutant, (bpf_dir() / mutant.file).read_text())
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, initializer=leave_namespace) as pool:
        for mutant in MUTANTS:
            yield pool.apply(try_mutant, (mutant, seed))


def try_mutant(mutant: Mutant, seed: int) -> Trial:
    """Run cases until one disagrees."""
    with tempfile.TemporaryDirectory(prefix="mutant") as directory:
        mutants.apply(mutant, bpf_dir(), Path(directory))
        text = source.joined(Path(directory))
    judge = judge_of(None, seed)
    numbers = (
        number
        for number in count()
        if not mutant.kinds or judge.cases.kind_of(number) in mutant.kinds
    )
    tried = 0
    with Kernel(text=text) as kernel:
        while tried < PATIENCE:
            tally = judge.run(kernel, list(islice(numbers, BATCH)))
            tried += tally.cases
            if tally.disagreements:
                return Trial(mutant, killed=True, cases=tried)
    return Trial(mutant, killed=False, cases=tried)
