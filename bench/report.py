"""What was measured: spreads, the comparison with limits and aims, tables, JSON.

Pure: values in, text out.
"""

from __future__ import annotations

import enum
import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and extremes of the rounds."""

    median: float
    low: float
    high: float
    rounds: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """Raises ValueError where there is no sample."""
        if not samples:
            raise ValueError("no sample")
        return cls(statistics.median(samples), min(samples), max(samples), len(samples))

    def __str__(self) -> str:
        if self.rounds == 1:
            return figure(self.median)
        return f"{figure(self.median)} ({figure(self.low)}-{figure(self.high)})"


@dataclass(frozen=True, slots=True)
class Table:
    """One table of results: a row has a label and one cell for each column."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Spread | str | None, ...]], ...]
    note: str = ""


class Bound(enum.Enum):
    AT_MOST = "≤"
    AT_LEAST = "≥"


@dataclass(frozen=True, slots=True)
class Target:
    """What a measure must reach (`limit`) and should (`aim`)."""

    measure: str
    title: str
    bound: Bound
    limit: float
    aim: float | None
    unit: str


@dataclass(slots=True)
class Results:
    """Everything one run found out.

    Attributes:
        host: what it ran on, for whoever compares two runs.
        measures: medians and spreads by name; targets refer to these names.
        faults: measurements that cannot be believed (a planted value was not found).
    """

    host: dict[str, str]
    tables: list[Table] = field(default_factory=list)
    measures: dict[str, Spread] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


TARGETS = (
    Target("gso.100.source", "100 signatures, source text", Bound.AT_MOST, 1.0, 0.5, "ns/B"),
    Target("gso.100.documents", "100 signatures, documents", Bound.AT_MOST, 1.0, 0.5, "ns/B"),
    Target("gso.100.random", "100 signatures, random data", Bound.AT_MOST, 0.8, 0.4, "ns/B"),
    Target("gso.100.json", "100 signatures, digit-rich JSON", Bound.AT_MOST, 3.0, 1.2, "ns/B"),
    Target("growth.source", "1,000 over 100, source text", Bound.AT_MOST, 1.5, 1.2, "x"),
    Target("growth.documents", "1,000 over 100, documents", Bound.AT_MOST, 1.5, 1.2, "x"),
    Target("growth.random", "1,000 over 100, random data", Bound.AT_MOST, 1.5, 1.2, "x"),
    Target("growth.json", "1,000 over 100, digit-rich JSON", Bound.AT_MOST, 1.5, 1.2, "x"),
    Target("packet.200", "packet of 200 B", Bound.AT_MOST, 500, 300, "ns"),
    Target("packet.1448", "packet of 1,448 B", Bound.AT_MOST, 1200, 700, "ns"),
    Target("share.filtered", "filtered over unfiltered", Bound.AT_LEAST, 35, 50, "%"),
    Target("over.iptables-100", "filtered over iptables, 100 rules", Bound.AT_LEAST, 20, None, "x"),
    Target("ready.cold", "ready, 10 namespaces, first start", Bound.AT_MOST, 3, 1.5, "s"),
    Target("attach", "new namespace attached", Bound.AT_MOST, 50, 10, "ms"),
    Target("memory.rss", "resident memory of the daemon", Bound.AT_MOST, 180, 120, "MB"),
    Target("guard.stream", "guard, packet of a stream", Bound.AT_MOST, 120, None, "ns"),
    Target("guard.datagrams", "guard, small datagram", Bound.AT_MOST, 120, None, "ns"),
    Target("against.share", "filtered over released version", Bound.AT_LEAST, 95, None, "%"),
    Target("hold.p50", "delay added by a hold, p50", Bound.AT_MOST, 60, None, "ms"),
    Target("hold.p99", "delay added by a hold, p99", Bound.AT_MOST, 120, None, "ms"),
    Target("hold.needless", "needless retransmissions beside", Bound.AT_MOST, 0, None, ""),
    Target("hold.share", "held once in 100 MB over filtered", Bound.AT_LEAST, 70, None, "%"),
    Target("worst.us", "worst 32 KB packet within budget", Bound.AT_MOST, 60, None, "µs"),
    Target("tamper.ms", "re-attached after tampering", Bound.AT_MOST, 20, None, "ms"),
    Target("tamper.passed", "packets past the guard meanwhile", Bound.AT_MOST, 0, None, ""),
    Target("tables.shadow", "kernel tables, 1,000 and shadow", Bound.AT_MOST, 8, None, "MB"),
    Target("tables.builtin", "kernel tables, built-in packs", Bound.AT_MOST, 8, None, "MB"),
    Target("flood.forgotten", "blocks forgotten, 1 M flows", Bound.AT_MOST, 0, None, ""),
    Target("switch.leaks", "leaks whole, 1,000 activations", Bound.AT_MOST, 0, None, ""),
    Target("switch.differing", "streams that differ meanwhile", Bound.AT_MOST, 0, None, ""),
    Target("switch.lost", "datagrams lost, over those without", Bound.AT_MOST, 0, None, ""),
    Target("switch.longest", "the switch itself, the longest", Bound.AT_MOST, 10, None, "ms"),
    Target("live.cold", "upload to live, never compiled", Bound.AT_MOST, 6, None, "s"),
    Target("live.cached", "upload to live, compiled before", Bound.AT_MOST, 1, None, "s"),
)


def verdict(target: Target, measured: Spread | None) -> str:
    """`aim`, `limit` or `MISSED` by the median; `not measured` where there is none."""
    if measured is None:
        return "not measured"
    if target.aim is not None and _reaches(target.bound, measured.median, target.aim):
        return "aim"
    return "limit" if _reaches(target.bound, measured.median, target.limit) else "MISSED"


def comparison(measures: dict[str, Spread], targets: Iterable[Target] = TARGETS) -> Table:
    """The table of limits and aims, with what was measured."""
    rows = []
    for target in targets:
        measured = measures.get(target.measure)
        aim = "" if target.aim is None else figure(target.aim)
        cells = (target.bound.value + " " + figure(target.limit), aim, measured, target.unit)
        rows.append((target.title, (*cells, verdict(target, measured))))
    columns = ("limit", "aim", "measured", "unit", "met")
    return Table("Limits and aims", columns, tuple(rows), "Medians decide; reported, not gated.")


def render(table: Table) -> str:
    """The table as aligned text, columns to the right of their labels right-aligned."""
    lines = [("", *table.columns)]
    lines += [(label, *(_cell(cell) for cell in cells)) for label, cells in table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    out = [table.title, "-" * len(table.title)]
    for label, *cells in lines:
        padded = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        out.append("  ".join([label.ljust(widths[0]), *padded]).rstrip())
    if table.note:
        out.append(table.note)
    return "\n".join(out) + "\n"


def to_json(results: Results) -> str:
    """All of it for machines: measures by name, targets with what they got, tables, host."""
    targets = [
        asdict(target)
        | {
            "bound": target.bound.value,
            "met": verdict(target, results.measures.get(target.measure)),
        }
        for target in TARGETS
    ]
    return json.dumps(
        {
            "host": results.host,
            "measures": {name: asdict(spread) for name, spread in results.measures.items()},
            "targets": targets,
            "tables": [asdict(table) for table in results.tables],
            "faults": results.faults,
        },
        indent=1,
        ensure_ascii=False,
    )


def figure(value: float) -> str:
    """Three significant digits without an exponent; below 0.1, three decimals."""
    if value == 0:
        return "0"
    whole = math.floor(math.log10(abs(value)))
    return f"{value:,.{min(3, max(0, 2 - max(whole, -1)))}f}"


def _cell(cell: Spread | str | None) -> str:
    return "-" if cell is None else str(cell)


def _reaches(bound: Bound, value: float, goal: float) -> bool:
    return value <= goal if bound is Bound.AT_MOST else value >= goal
