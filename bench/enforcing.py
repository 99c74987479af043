"""The parts of a run that measure guard and hold: limits of the way round and of waiting."""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import datagrams as udp
from bench import flood, holding, namespaces, protected, tampering, worstcase
from bench.gateway import bounded
from bench.namespaces import BenchError
from bench.protected import NEVER, Protected, Word
from bench.released import attached, checkout, packs_of
from bench.report import Results, Spread, Table
from bench.sections import Plan, progress
from bench.signatures import DIGIT_PACKS, Token
from bench.traffic import Way, transfer
from dlp.datapath import libbpf
from dlp.datapath.abi import Reason
from dlp.datapath.links import Hook
from dlp.model import Action
from dlp.policy import PolicyFlag
from dlp.signatures.compiler import compile_packs
from dlp.signatures.pack import Pack, load_packs

_STRICT = (
    PolicyFlag.HOLD_CLOSED
    | PolicyFlag.OPEN_END_WAIT
    | PolicyFlag.UNOWNED_DROP
    | PolicyFlag.OVER_BUDGET_DROP
)
_KEY = 200  # of the first pair; addresses are 10.77.KEY.0/24
_SMALL, _SMALL_COUNT = 200, 60_000
_FLOWS = 1_000_000
_CONNECTIONS = 2
_THEN, _SAME, _TODAY = "then", "guard, TCX, socket storage", "the same, today's packs"


def guard(plan: Plan, packs: Sequence[Pack], results: Results) -> None:
    """Cost of the guard a packet, by the kernel's run-time statistics on real traffic."""
    progress("the guard")
    costs: dict[tuple[str, str], list[float]] = defaultdict(list)
    with ExitStack() as stack:
        datapath = stack.enter_context(protected.built("guard", plan.scratch))
        protected.load(datapath, compile_packs(packs), {}, flags=_STRICT, threshold=NEVER)
        mine = stack.enter_context(protected.protected(datapath, "guard", _KEY))
        other = stack.enter_context(
            protected.protected(datapath, "noguard", _KEY + 1, guarded=False)
        )
        empty = datapath.empty()
        stack.callback(os.close, empty)
        protected.put(stack, empty, other.link.receiver, "eth0", Hook.INGRESS)
        stack.callback(os.close, libbpf.enable_statistics())
        source = plan.files()["source"]
        small = plan.scratch / "small"
        small.write_bytes(source.read_bytes()[:_SMALL])
        for _ in range(plan.rounds):
            for name, each, program in (("guard", mine, mine.guard), ("empty", other, empty)):
                costs[name, "stream"].append(_streamed(each, program, source, plan.seconds / 2))
                costs[name, "datagrams"].append(_sent(each, program, small))
        if mine.count(Reason.BYPASS):
            results.faults.append(f"the guard refused {mine.count(Reason.BYPASS)} honest packets")
        rejected = [
            libbpf.test_run(mine.guard, bytes(_SMALL), repeat=20_000).duration_ns
            for _ in range(plan.rounds)
        ]
    rows: list[tuple[str, tuple[Spread | str | None, ...]]] = []
    for kind, title in (
        ("stream", "TCP, packets of up to 16 KB"),
        ("datagrams", f"UDP, {_SMALL} B"),
    ):
        pairs = zip(costs["guard", kind], costs["empty", kind], strict=True)
        over = Spread.of([ours - nothing for ours, nothing in pairs])
        results.measures[f"guard.{kind}"] = over
        both = (Spread.of(costs["guard", kind]), Spread.of(costs["empty", kind]))
        rows.append((title, (*both, over)))
    rows.append(
        ("without a token, test run", (Spread.of([float(ns) for ns in rejected]), None, None))
    )
    note = "by the kernel's run-time statistics, which cost what the empty program shows"
    columns = ("guard", "empty program", "difference")
    results.tables.append(Table("Guard, ns a packet", columns, tuple(rows), note))


def against(plan: Plan, packs: Sequence[Pack], token_pack: Path, results: Results) -> None:
    """Throughput beside a released version's: guard, TCX and socket storage, or neither.

    The same signatures in both, the released version's own; and today's packs besides, which
    have more signatures and other ones.
    """
    progress(f"throughput beside {plan.against}")
    rates: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        tree = stack.enter_context(checkout(plan.against, plan.scratch))
        link = stack.enter_context(namespaces.pair("then", _KEY + 2))
        bounded(link)
        then = [*packs_of(tree, DIGIT_PACKS), str(token_pack)]
        stack.enter_context(attached(tree, then, plan.scratch / "then", link))
        links = {_THEN: link}
        for name, number, mine in (
            (_SAME, _KEY + 3, load_packs(then, plan.scratch)),
            (_TODAY, _KEY + 7, packs),
        ):
            datapath = stack.enter_context(protected.built(f"now{number}", plan.scratch))
            protected.load(datapath, compile_packs(mine), {}, flags=_STRICT, threshold=NEVER)
            one = protected.protected(datapath, f"now{number}", number)
            links[name] = stack.enter_context(one).link
        source = plan.files()["source"]
        order = list(links.items())
        for number in range(2 * plan.rounds):
            first = number % len(order)
            for name, each in (*order[first:], *order[:first]):
                way = Way(each.sender, each.receiver, each.receiver_address)
                done = transfer(way, source, seconds=plan.seconds, connections=_CONNECTIONS)
                rates[name].append(done.gigabits)
    shares = {
        name: Spread.of(
            [100 * mine / its for mine, its in zip(rates[name], rates[_THEN], strict=True)]
        )
        for name in (_SAME, _TODAY)
    }
    results.measures["against.share"] = shares[_SAME]
    rows = (
        (f"released, {plan.against}", (Spread.of(rates[_THEN]), None)),
        *((name, (Spread.of(rates[name]), shares[name])) for name in (_SAME, _TODAY)),
    )
    columns = ("Gb/s", "% of released")
    note = "packets of up to 16 KB, two connections, taking turns"
    results.tables.append(Table("Throughput beside the released version", columns, rows, note))


def hold(plan: Plan, packs: Sequence[Pack], results: Results) -> None:
    """Added delay under hold by floor of the retransmission timeout, and honest flows beside."""
    progress("hold: added delay")
    token = plan.tokens[0]
    added: dict[int, list[float]] = defaultdict(list)
    honest: dict[int, list[int]] = defaultdict(list)
    needless: dict[int, list[int]] = defaultdict(list)
    with ExitStack() as stack:
        mine, word = _holding(stack, plan, packs, token, _KEY + 4)
        front = token.value()[:12].encode()
        floors = holding.FLOORS if not plan.quick else (holding.GATEWAY,)
        for one in holding.delays(mine, word, front, floors, 20 * plan.rounds):
            added[one.floor_us] += one.added_ms
            honest[one.floor_us].append(one.honest)
            needless[one.floor_us].append(one.needless)
        if not word.records:
            results.faults.append("hold: nothing was held, so that no delay was measured")
    rows = []
    for floor in floors:
        half, most = (_quantile(added[floor], part) for part in (0.5, 0.99))
        total, again = sum(honest[floor]), sum(needless[floor])
        rows.append((_floor(floor), (half, most, f"{again} of {total:,}")))
        if floor == holding.GATEWAY:
            results.measures["hold.p50"], results.measures["hold.p99"] = half, most
            results.measures["hold.needless"] = Spread.of([float(again)])
    columns = ("p50", "p99", "needless retransmissions of honest messages")
    note = (
        f"one message in three held, cleared {holding.DECISION_S * 1000:.0f} ms later; honest "
        "connections beside it, answered after 5, 30 and 70 ms"
    )
    results.tables.append(Table("Delay that a hold adds, ms", columns, tuple(rows), note))


def held_stream(plan: Plan, packs: Sequence[Pack], results: Results) -> None:
    """Throughput of a connection that is held once in 100 MB, against one that is not."""
    progress("hold: throughput")
    token = plan.tokens[0]
    rates: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        mine, word = _holding(stack, plan, packs, token, _KEY + 5)
        # Without what is planted for the other parts: only one value is to be found.
        text = next(each.data for each in plan.plain if each.name == "source")
        for _ in range(plan.rounds):
            before = word.records
            value = token.value().encode()
            for kind, rate in holding.streams(mine, word, text, value, plan.scratch, plan.seconds):
                rates[kind].append(rate)
            if word.records == before:
                results.faults.append("hold: the planted value was not held")
    rows: list[tuple[str, tuple[Spread | str | None, ...]]] = []
    for kind, measured in rates.items():
        pairs = zip(measured, rates[holding.FREE], strict=True)
        share = Spread.of([100 * mine / free for mine, free in pairs])
        rows.append((kind, (Spread.of(measured), share)))
        if kind == holding.HELD:
            results.measures["hold.share"] = share
    congestion = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    note = f"one connection, {congestion}, floor 45 ms, cleared at once"
    results.tables.append(
        Table("Throughput of a held connection", ("Gb/s", "% of filtered"), tuple(rows), note)
    )


def worst(plan: Plan, packs: Sequence[Pack], results: Results) -> None:
    """Microseconds that packets cost which are made to cost much."""
    progress("worst-case input")
    found: dict[tuple[str, int], list[worstcase.Worst]] = defaultdict(list)
    with ExitStack() as stack:
        datapath = stack.enter_context(protected.built("worst", plan.scratch))
        protected.load(datapath, compile_packs(packs), {}, flags=_STRICT, threshold=NEVER)
        mine = stack.enter_context(protected.protected(datapath, "worst", _KEY + 6))
        stack.callback(os.close, libbpf.enable_statistics())
        payloads = worstcase.inputs(plan.tokens)
        for _ in range(plan.rounds):
            for name, size, one in worstcase.measure(mine, payloads, plan.scratch):
                found[name, size].append(one)
    rows = []
    within: list[Spread] = []
    beyond: list[Spread] = []
    for name in payloads:
        cells: list[Spread | str | None] = []
        for size in (worstcase.SIZE, worstcase.TCP_SIZE):
            spent = Spread.of([one.microseconds for one in found[name, size]])
            over = Spread.of([100 * one.over_budget for one in found[name, size]])
            cells += [spent, f"{over.median:.0f} %"]
            if size == worstcase.SIZE:
                (beyond if over.high else within).append(spent)
        rows.append((name, tuple(cells)))
    results.measures["worst.us"] = max(within, key=lambda one: one.median)
    if beyond:
        results.measures["worst.over.us"] = max(beyond, key=lambda one: one.median)
    columns = ("32 KB, µs", "over budget", "16 KB, µs", "over budget")
    note = (
        "over budget: dropped, after the time shown; matches alert, below their threshold; TCP "
        "sends 16 KB at most. The limit is for what stays within the budget"
    )
    results.tables.append(Table("Worst-case input", columns, tuple(rows), note))


def tamper(plan: Plan, results: Results) -> None:
    """Time until the running gateway has put back what was taken away, and what passed."""
    progress("re-attaching after tampering")
    with tempfile.TemporaryDirectory(dir=plan.scratch) as directory:
        try:
            found = tampering.measure(Path(directory), plan.rounds)
        except BenchError as error:
            results.faults.append(f"tampering: {error}")
            return
    rows = []
    for way in dict.fromkeys(one.way for one in found):
        taken = Spread.of([one.milliseconds for one in found if one.way == way])
        passed = sum(one.passed for one in found if one.way == way)
        sent = sum(one.sent for one in found if one.way == way)
        rows.append((way, (taken, f"{passed} of {sent:,}")))
    results.measures["tamper.ms"] = Spread.of([one.milliseconds for one in found])
    results.measures["tamper.passed"] = Spread.of([float(sum(one.passed for one in found))])
    columns = ("ms until restored", "forbidden packets past the guard")
    results.tables.append(Table("Tampering", columns, tuple(rows)))


def flooded(plan: Plan, packs: Sequence[Pack], results: Results) -> None:
    """Blocked connections under a flood of other flows."""
    progress("a flood of flows")
    token = plan.tokens[1]
    with ExitStack() as stack:
        datapath = stack.enter_context(protected.built("flood", plan.scratch))
        actions = {token.id: Action.DROP}
        protected.load(datapath, compile_packs(packs), actions, flags=_STRICT)
        mine = stack.enter_context(protected.protected(datapath, "flood", _KEY + 7))
        one = flood.measure(mine, b" " + token.value().encode() + b" ", _FLOWS, plan.scratch)
    results.measures["flood.forgotten"] = Spread.of([float(one.forgotten)])
    cells = (f"{one.flows:,}", f"{one.forgotten} of {flood.BLOCKED}", Spread.of([one.seconds]))
    columns = ("other flows", "blocks forgotten", "s")
    results.tables.append(Table("Blocked connections", columns, (("flood", cells),)))


def _holding(
    stack: ExitStack, plan: Plan, packs: Sequence[Pack], token: Token, key: int
) -> tuple[Protected, Word]:
    """A protected pair whose policy holds that token, and a thread that gives the word."""
    datapath = stack.enter_context(protected.built(f"hold{key}", plan.scratch))
    image = compile_packs(packs, held=[token.id])
    protected.load(datapath, image, {token.id: Action.HOLD}, flags=_STRICT, threshold=NEVER)
    mine = stack.enter_context(protected.protected(datapath, f"hold{key}", key))
    return mine, stack.enter_context(Word(datapath))


def _streamed(each: Protected, program: int, file: Path, seconds: float) -> float:
    """Nanoseconds a run of the program during a transfer."""
    way = Way(each.link.sender, each.link.receiver, each.link.receiver_address)
    before = libbpf.program_info(program)
    transfer(way, file, seconds=seconds, connections=1)
    return _a_run(before, libbpf.program_info(program))


def _sent(each: Protected, program: int, file: Path) -> float:
    """The same during a row of datagrams."""
    before = libbpf.program_info(program)
    udp.send(each.link.sender, each.link.receiver_address, file, _SMALL_COUNT)
    return _a_run(before, libbpf.program_info(program))


def _a_run(before: libbpf.ProgramInfo, after: libbpf.ProgramInfo) -> float:
    if after.runs == before.runs:
        raise BenchError("the program under measurement did not run")
    return (after.run_ns - before.run_ns) / (after.runs - before.runs)


def _quantile(samples: Sequence[float], part: float) -> Spread:
    ordered = sorted(samples)
    value = ordered[min(len(ordered) - 1, int(part * len(ordered)))]
    return Spread(value, value, value, 1)


def _floor(microseconds: int) -> str:
    label = {holding.KERNEL: ", the kernel's", holding.GATEWAY: ", the gateway's"}
    return f"floor of {microseconds // 1000} ms{label.get(microseconds, '')}"
