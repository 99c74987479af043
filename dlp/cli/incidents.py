"""Commands on incidents, and on the workloads that are cut off for them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer

from dlp.cli.client import Api, Client, Token, ask, wait_for
from dlp.cli.follow import follow_stored
from dlp.cli.output import Json, clock, examples, print_json, print_table
from dlp.cli.verdicts import endpoint, moment

COLUMNS = ("id", "began", "last", "count", "workload", "kind", "what", "device", "packet", "detail")

_Workload = Annotated[
    str | None, typer.Option("--workload", help="Of one workload.", metavar="NAME")
]
_Kind = Annotated[
    str | None,
    typer.Option(
        "--kind",
        help="bypass, tamper, unguarded, over_budget, overload, quarantine or release.",
        metavar="KIND",
    ),
]
_Since = Annotated[
    str | None,
    typer.Option("--since", help="Not ended before: 30s, 10m, 2h, 7d, a UTC time.", metavar="WHEN"),
]
_Limit = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many.")]
_Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with those that come.")]
_Name = Annotated[str, typer.Argument(help="As `dlp workloads` shows it.", metavar="NAME")]
_Reason = Annotated[
    str, typer.Option("--reason", help="For those who ask later why.", metavar="TEXT")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=examples(
            "dlp incidents --since 1h",
            "dlp incidents --workload web --kind bypass --json",
            "dlp incidents --follow",
        )
    )(incidents)
    app.command(epilog=examples('dlp quarantine web --reason "leak seen in verdict 4711"'))(
        quarantine
    )


def incidents(
    *,
    workload: _Workload = None,
    kind: _Kind = None,
    since: _Since = None,
    limit: _Limit = 100,
    follow: _Follow = False,
    api: Api = "",
    token: Token = "",
    json: Json = False,
) -> None:
    """List incidents, newest first: ways around that were tried, and limits that were met.

    What repeats is one line with a count. With --follow the oldest come first, and then those
    that begin from now on.
    """
    query = {
        "workload": workload,
        "kind": kind,
        "since": None if since is None else moment(since, time.time()),
    }
    client = Client(api, token)
    if follow:
        wait_for(follow_stored(client, "incidents", query, _row, limit=limit, json=json))
        return
    found = wait_for(client.pages("incidents", query, limit))
    if json:
        print_json(found)
        return
    print_table(COLUMNS, [_row(entry) for entry in found], empty="no incidents")


def quarantine(
    name: _Name, *, reason: _Reason, api: Api = "", token: Token = "", json: Json = False
) -> None:
    """Cut a workload's egress until it is released.

    It stays cut when the gateway or the host restarts.
    """
    _change(name, "quarantine", {"reason": reason}, api=api, token=token, json=json)


def release(name: _Name, *, api: Api = "", token: Token = "", json: Json = False) -> None:
    """Let a quarantined workload send again."""
    _change(name, "release", {}, api=api, token=token, json=json)


def _change(
    name: str, change: str, body: Mapping[str, object], *, api: str, token: str, json: bool
) -> None:
    path = f"workloads/{quote(name, safe='')}/{change}"
    workload = ask(api, token, path, method="POST", body=body)
    if json:
        print_json(workload)
        return
    state = "quarantined" if workload.get("quarantined") else "released"
    print_table(("", ""), [[workload.get("name"), state]], empty="no answer")


def _row(entry: Mapping[str, Any]) -> list[object]:
    source, destination = entry.get("source"), entry.get("destination")
    packet = str(entry.get("protocol") or "")
    if source and destination:
        packet += f" {endpoint(source)} > {endpoint(destination)}"
    return [
        entry.get("id"),
        clock(float(entry.get("time") or 0)),
        clock(float(entry.get("last") or 0)),
        entry.get("count"),
        entry.get("workload"),
        entry.get("kind"),
        entry.get("what"),
        entry.get("device"),
        packet,
        entry.get("detail"),
    ]
