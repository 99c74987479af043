"""What a run looks like: a line for each scenario as it ends, a table, the last line, JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import attack_report
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from runner import Result

SIZES = ((1_000_000, "MB"), (1_000, "kB"))
EXPECTED = {"all": "everything", "none": "nothing", "part": "a part, no secret"}


class Live:
    """Progress while scenarios run: a bar on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("building the lab", total=total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, text: str) -> None:
        """What is going on."""
        self._bar.update(self._task, description=text)
        if not self._console.is_terminal:
            self._console.print(text, highlight=False)

    def done(self, result: Result) -> None:
        """A scenario ended."""
        mark = "[green]ok[/]  " if result.ok else "[red]FAIL[/]"
        if result.impossible:
            mark = "[yellow]not tried[/]"
        self._console.print(
            f"{mark} {result.seconds:5.1f} s  {result.scenario.title}", highlight=False
        )
        self._bar.advance(self._task)
        self._bar.update(self._task, description="running scenarios")


def table(results: Sequence[Result], *, with_gateway: bool) -> Table:
    """All results; what was expected beside what came."""
    made = Table(title=None, header_style="bold", show_lines=False, expand=False)
    for name, justify in (("scenario", "left"), ("expected", "left"), ("arrived", "left")):
        made.add_column(name, justify=justify)  # type: ignore[arg-type]
    made.add_column("verdict" if with_gateway else "leaked")
    made.add_column("time", justify="right")
    made.add_column("", justify="left")
    for result in results:
        leaked = f"{result.leaked} bytes" if result.leaked else "nothing"
        made.add_row(
            result.scenario.title,
            expected(result),
            arrived(result),
            result.verdicts if with_gateway else leaked,
            f"{result.seconds:.1f} s",
            "[green]ok[/]" if result.ok else "[red]FAIL[/]",
        )
    return made


def expected(result: Result) -> str:
    """The cell of what must arrive."""
    wanted = result.scenario.expect.arrives
    return f"{wanted} requests" if isinstance(wanted, int) else EXPECTED[wanted]


def arrived(result: Result) -> str:
    """The cell of what did."""
    outcome = result.outcome
    if isinstance(result.scenario.expect.arrives, int):
        return f"{outcome.requests} requests"
    sent = sum(map(len, outcome.sent))
    text = f"{size(outcome.bytes_arrived)} of {size(sent)}"
    if outcome.program:  # with the headers of its protocol
        text = size(outcome.bytes_arrived)
    return f"{text}, {result.gigabits:.1f} Gb/s" if result.gigabits else text


def size(count: int) -> str:
    """Bytes in words."""
    for unit, name in SIZES:
        if count >= unit:
            return f"{count / unit:.0f} {name}"
    return f"{count} B"


def show(console: Console, results: Sequence[Result], *, with_gateway: bool) -> None:
    """A table of scenarios, one of attacks, then what is not as expected."""
    plain = [result for result in results if not result.scenario.attacks]
    attacks = [result for result in results if result.scenario.attacks]
    if plain:
        console.print(table(plain, with_gateway=with_gateway))
    if attacks:
        console.print(attack_report.table(attacks, with_gateway=with_gateway))
    for result in results:
        for problem in result.problems:
            console.print(
                f"{result.scenario.name}: {problem}", style="red", highlight=False, markup=False
            )


def last_line(results: Sequence[Result], *, with_gateway: bool) -> str:
    """The sum of it all; scripts read it."""
    untried = sum(bool(result.impossible) for result in results)
    good = sum(result.ok and not result.impossible for result in results)
    leaked = sum(result.leaked for result in results)
    if not with_gateway:
        name = "control"
    else:
        name = "attack" if all(result.scenario.attacks for result in results) else "demo"
    parts = [f"{len(results)} scenarios", f"{good} as expected"]
    parts += [f"{untried} not possible here"] if untried else []
    return f"{name}: {', '.join([*parts, f'{leaked} bytes leaked'])}"


def write_json(path: Path, results: Sequence[Result], ready_seconds: float | None) -> None:
    """Results for machines."""
    document: dict[str, Any] = {
        "ready_seconds": ready_seconds,
        "scenarios": len(results),
        "as_expected": sum(result.ok and not result.impossible for result in results),
        "not_possible_here": sum(bool(result.impossible) for result in results),
        "bytes_leaked": sum(result.leaked for result in results),
        "results": [_row(result) for result in results],
    }
    path.write_text(json.dumps(document, indent=2) + "\n")


def _row(result: Result) -> dict[str, Any]:
    more = {"attack": attack_report.row(result)} if result.scenario.attacks else {}
    return more | {
        "name": result.scenario.name,
        "title": result.scenario.title,
        "ok": result.ok,
        "problems": result.problems,
        "expected": expected(result),
        "bytes_sent": sum(map(len, result.outcome.sent)),
        "bytes_arrived": result.outcome.bytes_arrived,
        "requests": result.outcome.requests,
        "verdicts": [
            {key: verdict.get(key) for key in ("signature", "action", "enforced", "masked")}
            for verdict in result.outcome.verdicts
        ],
        "counters": {name: count for name, count in result.outcome.counted.items() if count},
        "bytes_leaked": result.leaked,
        "seconds": round(result.seconds, 3),
        "gigabits": result.gigabits and round(result.gigabits, 2),
    }
