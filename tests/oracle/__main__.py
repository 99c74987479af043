"""python -m tests.oracle: the kernel programs against the model, on many random streams."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from dlp.errors import DlpError
from tests.oracle import campaign, sockets, wire
from tests.oracle.campaign import Tally, judge_of
from tests.oracle.cases import Case
from tests.oracle.compare import outline
from tests.oracle.harness import Kernel
from tests.oracle.mutants import StaleMutantError
from tests.oracle.sockets import Sockets
from tests.oracle.trials import Trial, run_mutants

CASES = 100_000
SEED = 20_241_101
SHOWN = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="of all randomness")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--mutants", action="store_true", help="break the source and see it found")
    parser.add_argument(
        "--stride", type=int, choices=(2, 3, 6), help="with --case or --sockets: of the set"
    )
    parser.add_argument("--broad", action="store_true", help="many signatures, not the core")
    parser.add_argument("--case", type=int, help="run this one alone")
    parser.add_argument("--show", action="store_true", help="with --case: its outline, no value")
    parser.add_argument("--sockets", action="store_true", help="over real TCP connections")
    arguments = parser.parse_args()
    try:
        wire.require_root()
        return _chosen(arguments)
    except PermissionError as error:
        print(f"oracle: {error}", file=sys.stderr)
        return 3
    except StaleMutantError as error:
        print(f"oracle: stale mutant: {error}", file=sys.stderr)
        return 1
    except DlpError as error:
        print(f"oracle: {error.message}", file=sys.stderr)
        return error.exit_code


def _chosen(arguments: argparse.Namespace) -> int:
    if arguments.case is not None:
        return _one(
            arguments.seed,
            arguments.case,
            arguments.stride,
            broad=arguments.broad,
            show=arguments.show,
            connected=arguments.sockets,
        )
    if arguments.mutants:
        return _mutants(arguments.seed)
    if arguments.sockets:
        return _connected(arguments.seed, arguments.cases, arguments.stride)
    return _all(arguments.seed, arguments.cases, arguments.jobs, broad=arguments.broad)


def _all(seed: int, cases: int, jobs: int, *, broad: bool) -> int:
    columns = (
        TextColumn("oracle"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[found]} disagreements"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    began = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("cases", total=cases, found=0)

        def show(total: Tally) -> None:
            bar.update(task, completed=total.cases, found=len(total.disagreements))

        with campaign.workers(jobs) as pool:
            total = campaign.run(pool, seed, cases, show, broad=broad)
    for disagreement in sorted(total.disagreements, key=lambda each: each.case)[:SHOWN]:
        print(disagreement)
    if len(total.disagreements) > SHOWN:
        print(f"… {len(total.disagreements) - SHOWN} more; by kind:")
        sorts = Counter((each.what, each.signature) for each in total.disagreements)
        for (what, signature), number in sorts.most_common():
            print(f"{number:6} {what} {signature}")
    return _sum(total, seed, began)


def _sum(total: Tally, seed: int, began: float) -> int:
    kinds = ", ".join(f"{count} {kind}" for kind, count in total.kinds.most_common())
    print(f"oracle: {kinds}; {total.over_budget} went over budget; seed {seed}")
    print(f"oracle: {time.monotonic() - began:.0f} s")
    print(
        f"oracle: {total.cases} cases, {total.matches} matches, "
        f"{len(total.disagreements)} disagreements"
    )
    return 1 if total.disagreements else 0


def _connected(seed: int, cases: int, stride: int | None) -> int:
    began = time.monotonic()
    with Kernel() as kernel:
        total = sockets.campaign(kernel, seed, cases, stride)
    for disagreement in total.disagreements[:SHOWN]:
        print(disagreement)
    print(f"oracle: over real connections; {total.recut} were cut otherwise by TCP")
    return _sum(total, seed, began)


def _one(
    seed: int, number: int, stride: int | None, *, broad: bool, show: bool, connected: bool
) -> int:
    judge = judge_of(stride, seed, broad=broad)
    case: Case | None = judge.cases[number]
    if connected:
        case = sockets.over_sockets(judge.cases[number])
        if case is None:
            print(f"oracle: case {number} is none that a socket can send", file=sys.stderr)
            return 2
    else:
        wire.leave_namespace()
    assert case is not None
    with Kernel() as kernel:
        kernel.load(judge.set)
        if connected:
            with Sockets(kernel) as road:
                observed = road.run(case)
        else:
            (observed,) = kernel.run([case])
    expected = judge.expected(case)
    rules = judge.set.packs.rules
    if show:
        print(f"case {number}: {case.kind}, {case.carrier} over IPv{case.family}, {judge.set.name}")
        for segment, want, got in zip(case.segments, expected, observed, strict=True):
            text = outline(case.stream[segment.start : segment.end])
            shown = text if len(text) <= 400 else f"{text[:200]} … {text[-200:]}"
            print(f"  {segment.start}-{segment.end}{' SYN' if segment.syn else ''} |{shown}|")
            for place, found in sorted(want.due.items()):
                print(f"    due      {rules[place.rule].id} at {place.start}+{found.length}")
            for place, length in got.hits:
                print(f"    reported {rules[place.rule].id} at {place.start}+{length}")
            if not got.passed:
                print(f"    dropped{' over budget' if got.over_budget else ''}")
    outcome = judge.judge(case, observed)
    for disagreement in outcome.disagreements:
        print(disagreement)
    print(f"oracle: 1 cases, {outcome.matches} matches, {len(outcome.disagreements)} disagreements")
    return 1 if outcome.disagreements else 0


def _mutants(seed: int) -> int:
    tested, control, *mutants = _told(run_mutants(seed))
    survived = [trial for trial in mutants if not trial.killed]
    for trial in survived:
        print(f"oracle: survived: {trial.name}")
    if control.killed or tested.killed:
        print("oracle: the source itself is red: no mutant proves anything")
    print(
        f"oracle: {len(mutants)} mutants, {len(mutants) - len(survived)} red, "
        f"{len(survived)} survived"
    )
    return 1 if survived or control.killed or tested.killed else 0


def _told(trials: Iterator[Trial]) -> Iterator[Trial]:
    for trial in trials:
        state = "red  " if trial.killed else "green"
        print(f"{state} after {trial.cases:5}: {trial.name}", flush=True)
        yield trial


if __name__ == "__main__":
    sys.exit(main())
