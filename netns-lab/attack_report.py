"""The table of attacks: what was tried, what was complete at the sink, what stopped it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from judge import Outcome
from rich.table import Table
from runner import Result

CAPABILITIES = {"none": "none", "docker": "Docker's", "net_admin": "+ NET_ADMIN"}
# Reasons for which a packet does not leave, of `dlp stats`.
STOPPING = (
    "match_dropped",
    "flow_blocked",
    "bypass",
    "unowned",
    "urgent",
    "mptcp_join",
    "fragment_order",
    "hop_limit",
    "fragment_refused",
    "ip_options",
    "rewritten",
    "other_protocol",
    "trailer",
    "malformed_l2",
    "malformed_ip4",
    "malformed_ip6",
    "malformed_l4",
    "ip6_chain",
    "out_of_order",
    "over_budget",
    "closed",
    "guard_held",
    "hold_udp",
    "hold_timeout",
    "inspector_blocked",
    "overload",
    "quarantined",
    "denied",
    "uninspectable",
)


def table(results: Sequence[Result], *, with_gateway: bool) -> Table:
    """A row for each attack."""
    made = Table(title=None, header_style="bold", show_lines=False, expand=False)
    made.add_column("attack")
    made.add_column("capabilities")
    made.add_column("sent")
    made.add_column("complete matches")
    if with_gateway:
        made.add_column("stopped by")
    made.add_column("honest traffic")
    made.add_column("time", justify="right")
    made.add_column("")
    for result in results:
        outcome = result.outcome
        cells = [result.scenario.title, capability(result), sent(result)]
        if result.impossible:
            cells += [f"not possible here: {result.impossible}"]
            cells += [""] if with_gateway else []
        else:
            cells += [complete(result)]
            cells += [stopped_by(outcome)] if with_gateway else []
        cells += [honest(outcome), f"{result.seconds:.1f} s", verdict(result)]
        made.add_row(*cells)
    return made


def capability(result: Result) -> str:
    """The strongest that the row grants to a script."""
    granted = [attack.caps for attack in result.scenario.attacks]
    return CAPABILITIES[max(granted, key=list(CAPABILITIES).index)]


def sent(result: Result) -> str:
    """How many values it tried to bring out."""
    count = len(result.scenario.forbidden)
    return f"{count} value" if count == 1 else f"{count} values"


def complete(result: Result) -> str:
    """How many came out complete, and where."""
    forbidden = result.scenario.forbidden
    places = [
        f"{len(names & forbidden)} at the {place}"
        for place, names in result.outcome.complete.items()
        if names & forbidden
    ]
    return ", ".join(places) or "0"


def stopped_by(outcome: Outcome) -> str:
    """Counters of what did not leave, and kinds of incidents."""
    counted = [
        f"{reason} {outcome.counted[reason]}"
        for reason in STOPPING
        if outcome.counted.get(reason, 0) > 0
    ]
    kinds = sorted({str(incident["kind"]) for incident in outcome.incidents})
    return ", ".join(counted) + (f"; incident {', '.join(kinds)}" if kinds else "")


def honest(outcome: Outcome) -> str:
    """Whether the clean traffic arrived."""
    return "arrived exactly" if outcome.honest_unhurt else "HURT"


def verdict(result: Result) -> str:
    """The last cell."""
    if result.problems:
        return "[red]FAIL[/]"
    return "[yellow]not tried[/]" if result.impossible else "[green]ok[/]"


def row(result: Result) -> dict[str, Any]:
    """What the JSON document says of an attack, beside what it says of every scenario."""
    outcome = result.outcome
    return {
        "capabilities": [attack.caps for attack in result.scenario.attacks],
        "scripts": [attack.script for attack in result.scenario.attacks],
        "values": len(result.scenario.forbidden),
        "complete": {place: sorted(names) for place, names in outcome.complete.items()},
        "incidents": [
            {key: incident.get(key) for key in ("kind", "what", "count")}
            for incident in outcome.incidents
        ],
        "honest_unhurt": outcome.honest_unhurt,
        "not_possible_here": result.impossible,
    }
