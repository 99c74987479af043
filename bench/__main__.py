"""Runs the bench: `python bench [--quick] [--only NAME] [--json FILE]`, as root."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from bench import activating, enforcing, gateway, sections, tables
from bench.corpora import SIZE, Corpus, corpora, planted
from bench.namespaces import BenchError, cleared
from bench.released import RELEASE
from bench.report import Results, comparison, render, to_json
from bench.sections import Plan
from bench.signatures import CARD, DIGIT_PACKS, PACK, Token, pack_text, tokens
from dlp.errors import DlpError
from dlp.signatures.pack import Pack, load_pack, load_packs

SECTIONS = (
    *("testrun", "packet", "gso", "throughput", "startup"),
    *("guard", "against", "hold", "stream", "worst", "tamper", "flood", "switch", "tables"),
)
# What takes long: left out by --quick unless it is named.
_LONG = ("throughput", "startup", "against", "stream", "tamper", "flood", "switch")
_CACHE = Path(__file__).resolve().parent.parent / ".cache" / "bench"
_PLANTED_TOKENS = 10


def main(arguments: list[str]) -> int:
    """Exit code 0: measured; 1: a filter missed what was planted; 3: could not be measured."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, _stop)
    try:
        results = _measure(options)
    except (BenchError, DlpError, OSError, RuntimeError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("bench: stopped, all cleaned up", file=sys.stderr)
        return 130
    for table in (*results.tables, comparison(results.measures)):
        print(render(table))
    for fault in results.faults:
        print(f"NOT TO BE BELIEVED: {fault}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(to_json(results) + "\n")
    print(f"written to {options.json}")
    return 1 if results.faults else 0


def _measure(options: argparse.Namespace) -> Results:
    chosen = options.only or [name for name in SECTIONS if not (options.quick and name in _LONG)]
    results = Results(_host())
    _CACHE.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(cleared())
        stack.enter_context(gateway.unpinned())
        # In memory: the sender must not wait for a disk.
        scratch = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="dlpbench-", dir="/dev/shm")
        )
        plan, sets = _plan(options, Path(scratch))
        if {"testrun", "packet", "gso", "throughput"} & set(chosen):
            sections.progress("compiling and loading the classifiers")
            subjects = stack.enter_context(gateway.subjects(sets, Path(scratch)))
            for name, section in (
                ("testrun", sections.testrun),
                ("packet", sections.packet),
                ("gso", sections.gso),
                ("throughput", sections.through),
            ):
                if name in chosen:
                    section(plan, subjects, results)
        if "startup" in chosen:
            sections.start(plan, results)
        packs = sets[sections.HUNDRED]
        for name, part in (
            ("guard", enforcing.guard),
            ("hold", enforcing.hold),
            ("stream", enforcing.held_stream),
            ("worst", enforcing.worst),
            ("flood", enforcing.flooded),
            ("switch", activating.switch),
        ):
            if name in chosen:
                part(plan, packs, results)
        if "against" in chosen:
            enforcing.against(
                plan, packs, plan.scratch / sections.HUNDRED / f"{PACK}.yaml", results
            )
        if "tables" in chosen:
            shadow = tokens(2000)[1000:]
            others = _token_pack(Path(scratch) / "shadow", shadow)
            tables.memory(sets[sections.THOUSAND], (others,), Path(scratch), results)
        if "tamper" in chosen:
            enforcing.tamper(plan, results)
    return results


def _plan(options: argparse.Namespace, scratch: Path) -> tuple[Plan, dict[str, tuple[Pack, ...]]]:
    """What to measure, and the packs of each signature set by its name."""
    digits = load_packs(DIGIT_PACKS, scratch)
    built_in = sum(len(pack.signatures) for pack in digits)
    sets = {
        name: (*digits, _token_pack(scratch / name, tokens(size - built_in)))
        for name, size in ((sections.HUNDRED, 100), (sections.THOUSAND, 1000))
    }
    filling = tokens(100 - built_in)
    values = [token.value().encode() for token in filling[:_PLANTED_TOKENS]]
    values.append(CARD.encode())
    plain = corpora(SIZE)
    plan = Plan(
        rounds=2 if options.quick else 5,
        seconds=0.4 if options.quick else 2.0,
        corpora=[Corpus(each.name, planted(each.data, values)) for each in plain],
        planted=len(values),
        planted_tokens=_PLANTED_TOKENS,
        tokens=filling,
        regexes=[each.regex for pack in sets[sections.HUNDRED] for each in pack.signatures],
        cache=_CACHE,
        scratch=scratch,
        plain=plain,
        against=options.against,
        quick=options.quick,
    )
    return plan, sets


def _token_pack(directory: Path, members: Sequence[Token]) -> Pack:
    directory.mkdir()
    file = directory / f"{PACK}.yaml"
    file.write_text(pack_text(members))
    return load_pack(file)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="two short rounds, without the parts that take long: figures are rough",
    )
    parser.add_argument(
        "--only", action="append", choices=SECTIONS, help="this part alone; may be repeated"
    )
    parser.add_argument(
        "--against",
        default=RELEASE,
        metavar="COMMIT",
        help="the released version to compare throughput with (default: %(default)s)",
    )
    parser.add_argument(
        "--json",
        type=Path,
        default=_CACHE / "results.json",
        metavar="FILE",
        help="where the results are written (default: %(default)s)",
    )
    return parser.parse_args(arguments)


def _host() -> dict[str, str]:
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = next((line for line in cpuinfo.splitlines() if line.startswith("model name")), ":")
    load = " ".join(f"{each:.2f}" for each in os.getloadavg())
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "kernel": platform.release(),
        "processor": model.partition(":")[2].strip(),
        "cores": str(os.cpu_count()),
        "load before": load,
    }


def _stop(*_: object) -> None:
    """SIGTERM cleans up as Ctrl-C does."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
