"""Commands on verdicts: the stored ones, and those that come."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from dlp.cli.client import Api, Client, Token, wait_for
from dlp.cli.follow import follow_stored, print_stream
from dlp.cli.output import Json, clock, examples, print_json, print_table
from dlp.errors import UsageError

COLUMNS = (
    "id",
    "time",
    "workload",
    "flow",
    "signature",
    "action",
    "enforced",
    "decided",
    "value",
    "sent before",
)

_SINCE = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

_Workload = Annotated[
    str | None, typer.Option("--workload", help="Of one workload.", metavar="NAME")
]
_Signature = Annotated[
    str | None, typer.Option("--signature", help="Of one signature.", metavar="ID")
]
_Action = Annotated[
    str | None,
    typer.Option("--action", help="allow, alert, mirror, hold or drop.", metavar="ACTION"),
]
_Since = Annotated[
    str | None,
    typer.Option("--since", help="Not older: 30s, 10m, 2h, 7d or a UTC time.", metavar="WHEN"),
]
_Limit = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many.")]
_Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with those that come.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=examples(
            "dlp verdicts --workload web --since 1h",
            "dlp verdicts --signature pci.card.visa --action drop --json",
            "dlp verdicts --follow --json",
        )
    )(verdicts)
    app.command(epilog=examples("dlp events", "dlp events --json"))(events)


def verdicts(
    *,
    workload: _Workload = None,
    signature: _Signature = None,
    action: _Action = None,
    since: _Since = None,
    limit: _Limit = 100,
    follow: _Follow = False,
    api: Api = "",
    token: Token = "",
    json: Json = False,
) -> None:
    """List verdicts, newest first.

    With --follow the oldest come first, and then those that are made from now on. A verdict
    tells what was found where and what became of it; never the value itself.
    """
    query = {
        "workload": workload,
        "signature": signature,
        "action": action,
        "since": None if since is None else moment(since, time.time()),
    }
    client = Client(api, token)
    if follow:
        wait_for(follow_stored(client, "verdicts", query, _row, limit=limit, json=json))
        return
    found = wait_for(client.pages("verdicts", query, limit))
    if json:
        print_json(found)
        return
    print_table(COLUMNS, [_row(entry) for entry in found], empty="no verdicts")


def events(*, api: Api = "", token: Token = "", json: Json = False) -> None:
    """Print verdicts as they come."""
    wait_for(print_stream(Client(api, token).events(), {}, _row, json=json))


def moment(text: str, now: float) -> float:
    """Seconds since the epoch of `10m` (before `now`) or of an ISO time, UTC unless it says.

    Raises:
        UsageError: it is neither.
    """
    if ago := _SINCE.fullmatch(text):
        return now - int(ago[1]) * _UNITS[ago[2]]
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            "--since is no time", remedy="write it as 10m, 2h, 7d or 2027-01-31T12:00"
        ) from error
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def endpoint(value: Mapping[str, Any]) -> str:
    """`address:port`, an IPv6 address in brackets."""
    address, port = str(value.get("address", "")), value.get("port")
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _row(entry: Mapping[str, Any]) -> list[object]:
    source, destination = entry.get("source") or {}, entry.get("destination") or {}
    flow = f"{entry.get('protocol')} {endpoint(source)} > {endpoint(destination)}"
    return [
        entry.get("id"),
        clock(float(entry.get("time") or 0)),
        entry.get("workload"),
        flow,
        entry.get("signature") or entry.get("kind"),
        entry.get("action"),
        entry.get("enforced"),
        entry.get("decided"),
        entry.get("masked"),
        entry.get("sent_before"),
    ]
