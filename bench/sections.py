"""The parts of a run: each measures, fills tables and names the measures that targets refer to."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import namespaces, perbyte, startup, throughput
from bench.corpora import Corpus
from bench.gateway import EMPTY
from bench.perbyte import Cost
from bench.report import Results, Spread, Table
from bench.signatures import Token
from bench.subject import Subject
from bench.traffic import Way
from dlp.datapath import libbpf

HUNDRED, THOUSAND = "100", "1000"
_TITLES = {HUNDRED: "100 signatures", THOUSAND: "1,000 signatures"}
_MISSING = "{}: {} of {} planted values found"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run measures, and how long.

    Attributes:
        corpora: with the planted values in them.
        planted: values in each corpus that every filter must find.
        tokens: of the 100 signatures; the first `planted_tokens` occur in the corpora.
        regexes: of the 100 signatures, digit packs first.
        plain: the corpora with nothing planted.
        against: the commit whose throughput is measured beside this one's.
        cache: for what outlives the run; scratch: for what does not.
    """

    rounds: int
    seconds: float
    corpora: Sequence[Corpus]
    planted: int
    planted_tokens: int
    tokens: Sequence[Token]
    regexes: Sequence[str]
    cache: Path
    scratch: Path
    plain: Sequence[Corpus]
    against: str
    quick: bool

    def files(self) -> dict[str, Path]:
        """The corpora as files."""
        paths = {corpus.name: self.scratch / corpus.name for corpus in self.corpora}
        for corpus in self.corpora:
            paths[corpus.name].write_bytes(corpus.data)
        return paths


def testrun(plan: Plan, subjects: Mapping[str, Subject], results: Results) -> None:
    """Cost per byte of 3.4 KB packets, by BPF_PROG_TEST_RUN."""
    progress("cost per byte, test runs")
    costs: dict[tuple[str, str], list[Cost]] = defaultdict(list)
    for name, corpus, cost in perbyte.test_runs(list(subjects.values()), plan.corpora, plan.rounds):
        costs[name, corpus].append(cost)
    _cost_tables("ns/B over an empty classifier, test runs of 3.4 KB", "testrun", costs, results)


def packet(plan: Plan, subjects: Mapping[str, Subject], results: Results) -> None:
    """Cost of small packets, by BPF_PROG_TEST_RUN."""
    progress("cost per packet")
    times: dict[tuple[str, int], list[float]] = defaultdict(list)
    for name, size, nanoseconds in perbyte.packet_runs(
        list(subjects.values()), plan.corpora[0], plan.rounds
    ):
        times[name, size].append(nanoseconds)
    rows = []
    for name, title in _TITLES.items():
        cells = []
        for size in perbyte.PACKET_SIZES:
            over = Spread.of(_differences(times[name, size], times[EMPTY, size]))
            cells.append(over)
            if name == HUNDRED:
                results.measures[f"packet.{size}"] = over
        rows.append((title, tuple(cells)))
    columns = tuple(f"{size:,} B" for size in perbyte.PACKET_SIZES)
    results.tables.append(
        Table("ns per packet over an empty classifier, source text", columns, tuple(rows))
    )


def gso(plan: Plan, subjects: Mapping[str, Subject], results: Results) -> None:
    """Cost per byte of TCP over veth, by the kernel's run-time statistics."""
    costs: dict[tuple[str, str], list[Cost]] = defaultdict(list)
    with ExitStack() as stack:
        ways = {}
        for number, (name, subject) in enumerate(subjects.items()):
            link = stack.enter_context(namespaces.pair(f"gso-{name}", 10 + number))
            subject.attach(link)
            ways[name] = (subject, Way(link.sender, link.receiver, link.receiver_address))
        progress("cost per byte, GSO traffic")
        # The kernel stops counting when the descriptor goes, whatever becomes of us.
        stack.callback(os.close, libbpf.enable_statistics())
        for name, corpus, cost in perbyte.gso_runs(
            ways, plan.files(), plan.rounds, seconds=plan.seconds / 4, planted=plan.planted
        ):
            costs[name, corpus].append(cost)
            if name != EMPTY and cost.candidates.matches < cost.planted:
                label = f"GSO traffic, {_TITLES[name]}, {corpus}"
                results.faults.append(_MISSING.format(label, cost.candidates.matches, cost.planted))
            if cost.candidates.over_budget:
                results.faults.append(
                    f"GSO traffic, {_TITLES[name]}, {corpus}: {cost.candidates.over_budget} of "
                    f"{cost.packets} packets over budget, not wholly scanned"
                )
    _cost_tables("ns/B over an empty classifier, GSO traffic over veth", "gso", costs, results)
    _candidate_table(costs, results)


def through(plan: Plan, subjects: Mapping[str, Subject], results: Results) -> None:
    """Throughput of the alternatives, source text."""
    literals = [token.prefix for token in plan.tokens]
    literals += [token.prefix for token in plan.tokens][: 100 - len(literals)]
    values = [token.value()[:120] for token in plan.tokens]
    values += values[: 100 - len(values)]
    tens = plan.planted_tokens
    first_token = len(plan.regexes) - len(plan.tokens)
    planted_regexes = range(first_token, first_token + tens)
    with ExitStack() as stack:
        enter = stack.enter_context
        contenders = [
            enter(throughput.unfiltered(20)),
            enter(throughput.filtered(21, subjects[HUNDRED], plan.planted)),
            enter(throughput.filtered(22, subjects[THOUSAND], plan.planted)),
            enter(throughput.relay(23, RELAY, plan.regexes, planted_regexes, plan.cache)),
            enter(throughput.iptables(25, "iptables, 10 literals", literals[:10], literals[:tens])),
            enter(throughput.iptables(26, IPTABLES, literals, literals[:tens])),
            enter(throughput.iptables(27, "iptables, 100 whole values", values, values[:tens])),
        ]
        progress("throughput")
        samples: dict[str, list[throughput.Sample]] = defaultdict(list)
        for name, sample in throughput.rounds(
            contenders, plan.files()["source"], count=plan.rounds, seconds=plan.seconds
        ):
            samples[name].append(sample)
    _throughput_table(samples, results)


def start(plan: Plan, results: Results) -> None:
    """Start times and memory of the daemon."""
    progress("start and memory of the daemon")
    rounds = []
    for _ in range(max(1, plan.rounds // 2)):
        with tempfile.TemporaryDirectory(dir=plan.scratch) as directory:
            rounds.append(startup.measure(Path(directory)))
    figures = {
        "ready.cold": ("ready, 10 namespaces, first start (s)", "cold_s"),
        "ready.warm": ("ready, 10 namespaces, after a kill (s)", "warm_s"),
        "attach": ("new namespace: device to classifier (ms)", "attach_ms"),
        "appear": ("new namespace: `ip netns add` to classifier (ms)", "appear_ms"),
        "memory.rss": ("resident memory of the daemon (MB)", "rss_mb"),
        "memory.pss": ("its proportional share (MB)", "pss_mb"),
        "memory.family": ("with its matcher process (MB)", "family_pss_mb"),
    }
    rows = []
    for measure, (title, attribute) in figures.items():
        spread = Spread.of([getattr(each, attribute) for each in rounds])
        results.measures[measure] = spread
        rows.append((title, (spread,)))
    results.tables.append(Table("Daemon", ("measured",), tuple(rows)))


RELAY = "C relay with Hyperscan, 100"
IPTABLES = "iptables, 100 literals"


def progress(text: str) -> None:
    """Tells on standard error what is going on."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def _cost_tables(
    title: str, key: str, costs: Mapping[tuple[str, str], Sequence[Cost]], results: Results
) -> None:
    corpora = tuple(dict.fromkeys(corpus for _, corpus in costs))
    rows: list[tuple[str, tuple[Spread | str | None, ...]]] = []
    empty = {corpus: [cost.per_byte for cost in costs[EMPTY, corpus]] for corpus in corpora}
    rows.append(("empty classifier", tuple(Spread.of(empty[corpus]) for corpus in corpora)))
    for name, label in _TITLES.items():
        cells = []
        for corpus in corpora:
            mine = [cost.per_byte for cost in costs[name, corpus]]
            over = Spread.of(_differences(mine, empty[corpus]))
            results.measures[f"{key}.{name}.{corpus}"] = over
            cells.append(over)
        rows.append((label, tuple(cells)))
    if key == "gso":
        for corpus in corpora:
            hundred, thousand = (
                _differences([cost.per_byte for cost in costs[name, corpus]], empty[corpus])
                for name in _TITLES
            )
            results.measures[f"growth.{corpus}"] = Spread.of(
                [more / less for more, less in zip(thousand, hundred, strict=True)]
            )
        sizes = [cost.bytes / cost.packets for cost in costs[HUNDRED, corpora[0]]]
        note = f"packets of {sum(sizes) / len(sizes) / 1024:.0f} KB on average, ACKs counted in"
    else:
        note = ""
    results.tables.append(Table(title, corpora, tuple(rows), note))


def _candidate_table(costs: Mapping[tuple[str, str], Sequence[Cost]], results: Results) -> None:
    """Candidates per MB (10^6 bytes) of payload that arrived."""
    rows: list[tuple[str, tuple[Spread | str | None, ...]]] = []
    for (name, corpus), measured in sorted(costs.items()):
        if name == EMPTY:
            continue
        cells = []
        for kind in ("bloom", "digit", "shape", "matches", "over_budget"):
            counts = [getattr(each.candidates, kind) for each in measured]
            sent = sum(each.bytes for each in measured)
            cells.append(Spread.of([sum(counts) * 1e6 / sent]))
        rows.append((f"{_TITLES[name]}, {corpus}", tuple(cells)))
    columns = ("q-grams", "digit groups", "shapes", "matches", "packets over budget")
    results.tables.append(Table("Candidates per MB, GSO traffic", columns, tuple(rows)))


def _throughput_table(samples: Mapping[str, Sequence[throughput.Sample]], results: Results) -> None:
    plain = [sample.gigabits for sample in samples["unfiltered"]]
    rows = []
    for name, measured in samples.items():
        rates = [sample.gigabits for sample in measured]
        share = Spread.of([100 * mine / its for mine, its in zip(rates, plain, strict=True)])
        found = sum(sample.found for sample in measured)
        due = sum(sample.due for sample in measured)
        rows.append((name, (Spread.of(rates), share, f"{found:,} of {due:,}" if due else "-")))
        if found < due:
            results.faults.append(_MISSING.format(name, found, due))
        results.measures[f"throughput.{name}"] = Spread.of(rates)
        results.measures[f"share.{name}"] = share
    results.measures["share.filtered"] = results.measures["share.filtered, 100 signatures"]
    slow = [sample.gigabits for sample in samples[IPTABLES]]
    fast = [sample.gigabits for sample in samples["filtered, 100 signatures"]]
    results.measures["over.iptables-100"] = Spread.of(
        [mine / its for mine, its in zip(fast, slow, strict=True)]
    )
    columns = ("Gb/s", "% of unfiltered", "planted values found")
    note = f"{throughput.CONNECTIONS} TCP connections of source text; shares within a round"
    results.tables.append(Table("Throughput over veth", columns, tuple(rows), note))


def _differences(mine: Sequence[float], empty: Sequence[float]) -> list[float]:
    """Round by round, since machines drift from one round to the next."""
    return [cost - base for cost, base in zip(mine, empty, strict=True)]
