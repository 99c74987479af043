"""The rows of the kernel's policy, action and exception tables, as values.

No kernel structs: datapath.tables alone turns these into map values.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dlp.config import (
    Destination,
    Handling,
    InspectorDown,
    OpenEnd,
    Policy,
    PortRange,
)
from dlp.config.model import Network
from dlp.model import Action, DestinationAction, Mode

STRICTEST = 0
STRICTEST_NAME = "(strictest)"
ALL_PORTS = PortRange(low=0, high=65535)
FOREVER = 0xFFFF_FFFF


class PolicyFlag(enum.IntFlag):
    """Numbers as enum dlp_policy_flag in bpf/abi.h."""

    MONITOR = 1
    INSPECTOR_DOWN_CLOSED = 2
    OTHER_DROP = 4
    OVER_BUDGET_DROP = 8
    UNOWNED_DROP = 16
    URGENT_DROP = 32
    MPTCP_DROP = 64
    FRAGMENTS_DROP = 128
    OPEN_END_WAIT = 256
    HOLD_CLOSED = 512
    HOLD_UDP_DROP = 1024
    OVERLOAD_CLOSED = 2048


@dataclass(frozen=True, slots=True)
class RuleRow:
    """What happens to matches of a signature under a policy.

    Attributes:
        rule_index: of the rule in its policy; distinct values are counted per rule.
        threshold: distinct values at which the action begins, 1 to 64; 1 is at once.
        alone: id of the signature whose values are counted by themselves, where the
            threshold is that signature's own; empty where all of the rule count together.
        window_s: 0: the values of a flow count; else those that the workload sent in so many
            seconds, FOREVER for all that are remembered.
        shadow: matches are counted and told of, and never acted on.
    """

    action: Action
    rule_index: int
    threshold: int
    alone: str = ""
    window_s: int = 0
    shadow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationRow:
    """`address` and `mask`: 16 bytes, network order, IPv4 as ::ffff:a.b.c.d.

    Ports are inclusive. The first row that fits counts.
    """

    address: bytes
    mask: bytes
    port_low: int
    port_high: int
    action: DestinationAction


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelPolicy:
    """One row of the policy table.

    Attributes:
        uninspectable: allow, alert or drop.
        hold_timeout_ms: how long a segment waits for the inspector's word, in milliseconds.
        rules: by signature index; a signature without an entry is not in the policy.
        exceptions: digests (32 bytes) in force.
    """

    name: str
    flags: PolicyFlag
    uninspectable: Action
    destinations: tuple[DestinationRow, ...]
    rules: Mapping[int, RuleRow]
    exceptions: tuple[bytes, ...]
    hold_timeout_ms: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelPolicies:
    """All rows, by policy number.

    Attributes:
        next_expiry: seconds since the epoch at which an exception ends, so that the
            rows are out of date; None if none does.
    """

    policies: tuple[KernelPolicy, ...]
    next_expiry: float | None


def decide(matches: Iterable[tuple[RuleRow, int]]) -> Action:
    """What becomes of a packet: the strongest action of its matches.

    Args:
        matches: each with its row and the number of distinct values its rule has met in
            the flow or window, this one included; below the threshold a match does nothing,
            nor does one of a shadow row.
    """
    return max(
        (row.action for row, count in matches if count >= row.threshold and not row.shadow),
        default=Action.ALLOW,
    )


def destination_rows(entry: Destination) -> Iterable[DestinationRow]:
    """One row for each port range of a destination."""
    return (
        destination_row(entry.network, ports, entry.action) for ports in entry.ports or (ALL_PORTS,)
    )


def destination_row(
    network: Network, ports: PortRange, action: DestinationAction
) -> DestinationRow:
    """The row of a network and a port range."""
    address, mask = network.network_address.packed, network.netmask.packed
    if network.version == 4:  # noqa: PLR2004 - the protocol's own name
        address, mask = bytes(10) + b"\xff\xff" + address, b"\xff" * 12 + mask
    return DestinationRow(
        address=address, mask=mask, port_low=ports.low, port_high=ports.high, action=action
    )


def flags_of(policy: Policy) -> PolicyFlag:
    """The settings of a policy that the kernel knows as flags."""
    closed, drop = InspectorDown.CLOSED, Handling.DROP
    settings = {
        PolicyFlag.MONITOR: policy.mode is Mode.MONITOR,
        PolicyFlag.INSPECTOR_DOWN_CLOSED: policy.on_inspector_down is closed,
        PolicyFlag.OTHER_DROP: policy.other_protocols is drop,
        PolicyFlag.OVER_BUDGET_DROP: policy.over_budget is Action.DROP,
        PolicyFlag.UNOWNED_DROP: policy.unowned is drop,
        PolicyFlag.URGENT_DROP: policy.urgent is drop,
        PolicyFlag.MPTCP_DROP: policy.mptcp is drop,
        PolicyFlag.FRAGMENTS_DROP: policy.fragments is drop,
        PolicyFlag.OPEN_END_WAIT: policy.open_end is OpenEnd.WAIT,
        PolicyFlag.HOLD_CLOSED: policy.on_hold_timeout is closed,
        PolicyFlag.HOLD_UDP_DROP: policy.hold_udp is Action.DROP,
        PolicyFlag.OVERLOAD_CLOSED: policy.on_overload is closed,
    }
    flags = PolicyFlag(0)
    for flag, given in settings.items():
        if given:
            flags |= flag
    return flags
