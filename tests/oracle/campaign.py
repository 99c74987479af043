"""A campaign: many cases over several processes, each with kernel programs of its own."""

from __future__ import annotations

import multiprocessing
import multiprocessing.util
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.images import remembered
from tests.oracle.cases import Carrier, Case, Cases
from tests.oracle.compare import Disagreement, Observed, Outcome, compare
from tests.oracle.corpus import Corpus, pools_of
from tests.oracle.harness import Kernel, SignatureSet, pack_files, signature_set
from tests.oracle.model import Expected, Model
from tests.oracle.wire import leave_namespace, require_root

BATCH = 32  # cases between two looks into the rings
BLOCK = 500  # cases that a process takes at a time
# Each stride is a program of its own. The built-in packs allow one; subsets of them the others.
STRIDES: tuple[int | None, ...] = (None, 2, 6)
_SHARES = {None: 14, 2: 3, 6: 3}  # blocks of twenty


@dataclass(slots=True)
class Tally:
    """What a campaign, or a part of it, came to."""

    cases: int = 0
    matches: int = 0
    over_budget: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    disagreements: list[Disagreement] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.cases += other.cases
        self.matches += other.matches
        self.over_budget += other.over_budget
        self.kinds += other.kinds
        self.disagreements += other.disagreements


@dataclass(frozen=True, slots=True)
class Job:
    """Cases `first` to `last` of a seed with the signatures that a stride allows."""

    seed: int
    stride: int | None
    first: int
    last: int
    broad: bool = False


class Judge:
    """Kernel and model over one signature set, built once for a process and a stride."""

    def __init__(self, stride: int | None, seed: int, *, broad: bool = False) -> None:
        self.set: SignatureSet = signature_set(stride, broad=broad)
        rules = self.set.packs.rules
        self.cases = Cases(Corpus(rules, _pools(self.set, stride, seed, broad=broad)), seed)
        self._again = f"--seed {seed}"
        if stride is not None:
            self._again += f" --stride {stride}"
        if broad:
            self._again += " --broad"
        self._model = Model(rules)

    def expected(self, case: Case) -> list[Expected]:
        judge = self._model.datagrams if case.carrier is Carrier.UDP else self._model.stream
        return judge(case.stream, case.segments)

    def judge(self, case: Case, observed: Sequence[Observed], *, flags: str = "") -> Outcome:
        """`flags` go into each disagreement, as arguments that show it again."""
        again = f"{self._again} --case {case.number} --show{flags}"
        return compare(again, case, self.set.packs.rules, self.expected(case), observed)

    def run(self, kernel: Kernel, numbers: Sequence[int]) -> Tally:
        kernel.load(self.set)
        tally = Tally()
        for at in range(0, len(numbers), BATCH):
            cases = [self.cases[number] for number in numbers[at : at + BATCH]]
            for case, observed in zip(cases, kernel.run(cases), strict=True):
                outcome = self.judge(case, observed)
                tally.cases += 1
                tally.matches += outcome.matches
                tally.over_budget += outcome.over_budget
                tally.kinds[case.kind] += 1
                tally.disagreements += outcome.disagreements
        return tally


def _pools(
    chosen: SignatureSet, stride: int | None, seed: int, *, broad: bool
) -> list[tuple[bytes, ...]]:
    """The set's pools of values, remembered: an emulated machine takes minutes to make them."""

    def made() -> list[str]:
        pools = pools_of(chosen.packs.rules, chosen.packs.samples, seed)
        return [",".join(value.hex() for value in pool) for pool in pools]

    name = f"oracle-values-{stride}-{'broad' if broad else 'core'}-{seed}"
    files = (*sorted(Path(__file__).parent.glob("*.py")), *pack_files())
    words = remembered(name, files, made)
    return [tuple(map(bytes.fromhex, word.split(","))) for word in words]


@cache
def judge_of(stride: int | None, seed: int, *, broad: bool = False) -> Judge:
    return Judge(stride, seed, broad=broad)


@cache
def _kernel() -> Kernel:
    return Kernel()


def _enter() -> None:
    """Begin a worker process: away from the host's network, its own programs loaded."""
    leave_namespace()
    multiprocessing.util.Finalize(None, _leave, exitpriority=10)


def _leave() -> None:
    if _kernel.cache_info().currsize:
        _kernel().close()


def _work(job: Job) -> Tally:
    judge = judge_of(job.stride, job.seed, broad=job.broad)
    return judge.run(_kernel(), range(job.first, job.last))


def jobs_of(seed: int, cases: int, *, broad: bool = False) -> Iterator[Job]:
    """Blocks of cases; every stride has its share of them, each from its first case on."""
    pattern = [stride for stride, share in _SHARES.items() for _ in range(share)]
    pattern = [pattern[index * 7 % len(pattern)] for index in range(len(pattern))]  # interleaved
    begun: Counter[int | None] = Counter()
    left = cases
    while left > 0:
        stride = pattern[sum(begun.values()) // BLOCK % len(pattern)]
        size = min(BLOCK, left)
        yield Job(seed, stride, begun[stride], begun[stride] + size, broad)
        begun[stride] += BLOCK
        left -= size


@contextmanager
def workers(processes: int) -> Iterator[Executor]:
    """Processes with kernel programs of their own, verified once for all their campaigns."""
    require_root()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_enter) as pool:
        yield pool


def run(
    pool: Executor,
    seed: int,
    cases: int,
    progress: Callable[[Tally], None],
    *,
    broad: bool = False,
) -> Tally:
    """Run a campaign on `workers`; `progress` is told the sum after each block."""
    total = Tally()
    jobs = jobs_of(seed, cases, broad=broad)
    for done in as_completed([pool.submit(_work, job) for job in jobs]):
        total.add(done.result())
        progress(total)
    return total
