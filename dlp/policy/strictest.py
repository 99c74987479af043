"""The policy that nothing chose: what holds for workloads that no policy matches.

Never weaker than any policy of the file: what one of them drops, it drops.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from dlp.config import (
    Config,
    Escalation,
    Handling,
    InspectorDown,
    Loopback,
    OpenEnd,
    Policy,
    PortRange,
)
from dlp.config.model import DESTINATION_ROWS, Network
from dlp.errors import ConfigError
from dlp.model import Action, DestinationAction, Mode
from dlp.policy.rows import (
    ALL_PORTS,
    FOREVER,
    STRICTEST_NAME,
    DestinationRow,
    RuleRow,
    destination_row,
)

T = TypeVar("T")


def strictest_rules(each: Iterable[Mapping[int, RuleRow]]) -> dict[int, RuleRow]:
    """Per signature the strongest action, of those the lowest threshold in the longest window.

    All rows share rule 0, so that all distinct values of a flow count together: no rule of
    any policy can count more, and what one of them drops this drops too. Where some count in
    a flow and some in a window, this counts in a window without end, which holds both.
    Shadow rows do nothing, so they are in no one's way here.
    """
    strictest: dict[int, RuleRow] = {}
    for rows in each:
        for index, row in rows.items():
            if row.shadow:
                continue
            strictest[index] = _stricter(strictest.get(index, row), row)
    return dict(sorted(strictest.items()))


def _stricter(best: RuleRow, row: RuleRow) -> RuleRow:
    action = max(best.action, row.action)
    same = [one for one in (best, row) if one.action is action]
    threshold = min(one.threshold for one in same)
    windows = {one.window_s for one in same if threshold > 1}
    window_s = FOREVER if 0 in windows and len(windows) > 1 else max(windows, default=0)
    return RuleRow(action, 0, threshold, window_s=window_s)


def strictest_denies(config: Config) -> tuple[DestinationRow, ...]:
    """The destinations that any policy denies, those inside others left out."""
    wanted = {
        (ports, entry.network)
        for policy in config.policies
        for entry in policy.destinations
        if entry.action is DestinationAction.DENY
        for ports in entry.ports or (ALL_PORTS,)
    }
    kept = [
        (ports, network)
        for ports, network in sorted(wanted, key=_deny_order)
        if not any(
            other != (ports, network) and _holds(other, (ports, network)) for other in wanted
        )
    ]
    if len(kept) > DESTINATION_ROWS:
        raise ConfigError(
            f"the denied destinations of all policies make {len(kept)} rows together, the "
            f"kernel holds {DESTINATION_ROWS} for workloads that no policy matches",
            remedy="join ports to ranges and networks to larger ones",
            place=config.place("policies"),
        )
    return tuple(destination_row(network, ports, DestinationAction.DENY) for ports, network in kept)


def _deny_order(entry: tuple[PortRange, Network]) -> tuple[int, bytes, int, PortRange]:
    ports, network = entry
    return network.version, network.network_address.packed, network.prefixlen, ports


def _holds(outer: tuple[PortRange, Network], inner: tuple[PortRange, Network]) -> bool:
    if outer[1].version != inner[1].version:
        return False
    ports_fit = outer[0].low <= inner[0].low and inner[0].high <= outer[0].high
    return ports_fit and inner[1].subnet_of(outer[1])  # type: ignore[arg-type]  # same version


def strictest_settings(policies: Sequence[Policy]) -> Policy:
    """The strictest of each setting; monitor only where no policy enforces.

    `open_end`: drop, as it takes what wait takes and what would have proved harmless too.
    `hold_timeout_ms`: the least where its end blocks the flow, the most where it lets it
    out. `escalate`: the fewest verdicts in the longest window.
    """
    if not policies:
        return Policy(name=STRICTEST_NAME, uninspectable=Action.DROP)
    closed = _any_closed(policy.on_hold_timeout for policy in policies)
    timeouts = [policy.hold_timeout_ms for policy in policies]
    return Policy(
        name=STRICTEST_NAME,
        mode=_first_of(Mode.ENFORCE, Mode.MONITOR, (policy.mode for policy in policies)),
        on_inspector_down=_any_closed(policy.on_inspector_down for policy in policies),
        uninspectable=max(policy.uninspectable for policy in policies),
        on_hold_timeout=closed,
        on_overload=_any_closed(policy.on_overload for policy in policies),
        hold_timeout_ms=min(timeouts) if closed is InspectorDown.CLOSED else max(timeouts),
        hold_udp=max(policy.hold_udp for policy in policies),
        open_end=_first_of(OpenEnd.DROP, OpenEnd.WAIT, (policy.open_end for policy in policies)),
        unowned=_any_drop(policy.unowned for policy in policies),
        urgent=_any_drop(policy.urgent for policy in policies),
        mptcp=_any_drop(policy.mptcp for policy in policies),
        fragments=_any_drop(policy.fragments for policy in policies),
        other_protocols=_any_drop(policy.other_protocols for policy in policies),
        loopback=_first_of(Loopback.SCAN, Loopback.IGNORE, (each.loopback for each in policies)),
        kill=any(policy.kill for policy in policies),
        escalate=_strictest_escalation(policies),
        over_budget=max(policy.over_budget for policy in policies),
    )


def _first_of(stricter: T, other: T, values: Iterable[T]) -> T:
    return stricter if stricter in values else other


def _any_closed(values: Iterable[InspectorDown]) -> InspectorDown:
    return _first_of(InspectorDown.CLOSED, InspectorDown.OPEN, values)


def _any_drop(values: Iterable[Handling]) -> Handling:
    return _first_of(Handling.DROP, Handling.SCAN, values)


def _strictest_escalation(policies: Iterable[Policy]) -> Escalation | None:
    given = [policy.escalate for policy in policies if policy.escalate is not None]
    if not given:
        return None
    return Escalation(
        verdicts=min(one.verdicts for one in given), window_s=max(one.window_s for one in given)
    )
