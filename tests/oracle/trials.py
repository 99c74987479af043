"""Runs the mutants: each is built, and must disagree with the model within so many cases.

The source as it is goes first, on as many: where that disagrees too, a mutant's disagreement
proves nothing. Mutants that name tests are given to those, in a copy of the checkout.
"""

from __future__ import annotations

import multiprocessing
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
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
_ROOT = Path(__file__).resolve().parents[2]
_GREEN, _RED = 0, 1  # as pytest ends


@dataclass(frozen=True, slots=True)
class Trial:
    """`killed`: the model disagreed, or a test was red, within `cases` cases or tests."""

    name: str
    killed: bool
    cases: int


CONTROL = "the source as it is"


def run_mutants(seed: int) -> Iterator[Trial]:
    """The control, then each mutant. Raises StaleMutantError before the first."""
    for mutant in MUTANTS:
        mutants.broken(mutant, (bpf_dir() / mutant.file).read_text())
    context = multiprocessing.get_context("spawn")
    yield _test(CONTROL, None, sorted({test for mutant in MUTANTS for test in mutant.tests}))
    with context.Pool(1, initializer=leave_namespace) as pool:
        yield pool.apply(_try, (CONTROL, source.joined(bpf_dir()), (), seed))
        for mutant in MUTANTS:
            if mutant.tests:
                yield _test(mutant.name, mutant, mutant.tests)
            else:
                yield pool.apply(_try, (mutant.name, _text(mutant), mutant.kinds, seed))


def _text(mutant: Mutant) -> str:
    with tempfile.TemporaryDirectory(prefix="mutant") as directory:
        mutants.apply(mutant, bpf_dir(), Path(directory))
        return source.joined(Path(directory))


def _test(name: str, mutant: Mutant | None, tests: Sequence[str]) -> Trial:
    """Run tests in a copy of the checkout; a red one has found the fault.

    Raises RuntimeError where they could not be run.
    """
    with tempfile.TemporaryDirectory(prefix="mutant") as directory:
        copy = Path(directory)
        for part in ("dlp", "signatures", "tests"):
            shutil.copytree(_ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(_ROOT / "pyproject.toml", copy)
        if mutant is None:
            shutil.copytree(bpf_dir(), copy / "bpf")
        else:
            mutants.apply(mutant, bpf_dir(), copy / "bpf")
        nodes = [f"tests/datapath/{test}" for test in tests]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *nodes],
            cwd=copy,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode not in {_GREEN, _RED}:
        raise RuntimeError(f"{name}: pytest ended with {done.returncode}: {done.stdout[-2000:]}")
    return Trial(name, killed=done.returncode == _RED, cases=len(tests))


def _try(name: str, text: str, kinds: tuple[str, ...], seed: int) -> Trial:
    """Run cases until one disagrees."""
    judge = judge_of(None, seed, broad=True)
    numbers = (n for n in count() if not kinds or judge.cases.kind_of(n) in kinds)
    tried = 0
    with Kernel(text=text) as kernel:
        while tried < PATIENCE:
            tally = judge.run(kernel, list(islice(numbers, BATCH)))
            tried += tally.cases
            if tally.disagreements:
                return Trial(name, killed=True, cases=tried)
    return Trial(name, killed=False, cases=tried)
