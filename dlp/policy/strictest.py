"""The policy that nothing chose: what holds for workloads that no policy matches.

Never weaker than any policy of the file: what one of them drops, it drops.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dlp.config import Config, Policy, PortRange
from dlp.config.model import DESTINATION_ROWS, Network
from dlp.errors import ConfigError
from dlp.model import DestinationAction
from dlp.policy.rows import (
    ALL_PORTS,
    DestinationRow,
    PolicyFlag,
    RuleRow,
    destination_row,
    flags_of,
)


def strictest_rules(each: Iterable[Mapping[int, RuleRow]]) -> dict[int, RuleRow]:
    """Per signature the strongest action, of those the lowest threshold.

    All rows share rule 0, so that all distinct values of a flow count together: no rule of
    any policy can count more, and what one of them drops this drops too.
    """
    strictest: dict[int, RuleRow] = {}
    for rows in each:
        for index, row in rows.items():
            best = strictest.get(index)
            if best is None or (row.action, -row.threshold) > (best.action, -best.threshold):
                strictest[index] = RuleRow(row.action, 0, row.threshold)
    return dict(sorted(strictest.items()))


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


def strictest_flags(policies: Sequence[Policy]) -> PolicyFlag:
    """The strictest of each setting; monitor only where no policy enforces."""
    flags, monitor = PolicyFlag(0), PolicyFlag.MONITOR
    for policy in policies:
        flags |= flags_of(policy)
        monitor &= flags_of(policy)
    return (flags & ~PolicyFlag.MONITOR) | monitor
