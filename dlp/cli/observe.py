"""Commands that look at a running gateway through its API."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from dlp.cli import incidents, verdicts
from dlp.cli.client import Api, Client, Token, ask, items, wait_for
from dlp.cli.output import Json, examples, print_json, print_table, printable

_Workload = Annotated[
    str | None, typer.Option("--workload", help="Of one workload.", metavar="NAME")
]
_Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")]
_All = Annotated[bool, typer.Option("--all", help="Also counters that are zero.")]

WORKLOADS = (
    "name",
    "state",
    "mode",
    "policies",
    "devices",
    "guard",
    "unguarded",
    "attach",
    "quarantined",
    "unprotected_ms",
    "error",
)
FLOWS = (
    "workload",
    "protocol",
    "source",
    "destination",
    "state",
    "opaque",
    "policy",
    "packets",
    "bytes",
    "inspected",
    "opaque_bytes",
    "missed",
    "matches",
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=examples("dlp status", "dlp status --json"))(status)
    app.command(epilog=examples("dlp workloads"))(workloads)
    app.command(epilog=examples("dlp flows --workload web --limit 20"))(flows)
    app.command(epilog=examples("dlp stats", "dlp stats --workload web --json"))(stats)
    verdicts.register(app)
    incidents.register(app)


def status(*, api: Api = "", token: Token = "", json: Json = False) -> None:
    """Tell whether the gateway works.

    The exit code is 1 if it is degraded; warnings do not change it.
    """
    health = ask(api, token, "health")
    if json:
        print_json(health)
    else:
        shown = {key: value for key, value in health.items() if key not in {"problems", "warnings"}}
        print_table(("", ""), list(shown.items()), empty="no answer")
        for problem in health.get("problems") or ():
            typer.echo(f"problem: {printable(problem)}")
        for warning in health.get("warnings") or ():
            typer.echo(f"warning: {printable(warning)}")
    if health.get("status") != "ok":
        raise typer.Exit(1)


def workloads(*, api: Api = "", token: Token = "", json: Json = False) -> None:
    """List workloads, whether each is enforced, guarded, or in quarantine."""
    found = items(ask(api, token, "workloads"))
    if json:
        print_json(found)
        return
    rows = [[entry.get(name) for name in WORKLOADS] for entry in found]
    print_table(WORKLOADS, rows, empty="no workloads: list them under `workloads.netns`")


def flows(
    *,
    workload: _Workload = None,
    limit: _Limit = 100,
    api: Api = "",
    token: Token = "",
    json: Json = False,
) -> None:
    """List flows and how much was inspected.

    The rest was opaque (encrypted) or missed; all in bytes of payload.
    """
    found = wait_for(Client(api, token).pages("flows", {"workload": workload}, limit))
    if json:
        print_json(found)
        return
    rows = [[_cell(entry, name) for name in FLOWS] for entry in found]
    print_table(FLOWS, rows, empty="no flows")


def stats(
    *,
    workload: _Workload = None,
    all_: _All = False,
    api: Api = "",
    token: Token = "",
    json: Json = False,
) -> None:
    """Count packets and bytes by reason.

    A reason says why they were treated as they were.
    """
    answer = ask(api, token, "stats")
    rows = [
        {"workload": name, **counter}
        for name, counters in _counters(answer, workload)
        for counter in counters
        if all_ or counter.get("packets") or counter.get("bytes")
    ]
    if json:
        print_json(rows)
        return
    columns = ("workload", "reason", "packets", "bytes")
    print_table(
        columns,
        [["(all)" if row[name] is None else row[name] for name in columns] for row in rows],
        empty="nothing counted yet",
    )


def _counters(
    answer: dict[str, Any], workload: str | None
) -> list[tuple[str | None, list[dict[str, Any]]]]:
    """Counter rows by workload, None for the total."""
    each = answer.get("workloads") or {}
    if workload is not None:
        return [(workload, list(each.get(workload) or ()))]
    total = list(answer.get("total") or ())
    return [(None, total), *((name, list(rows)) for name, rows in each.items())]


def _cell(entry: dict[str, Any], name: str) -> object:
    value = entry.get(name)
    return verdicts.endpoint(value) if isinstance(value, dict) else value
