"""Which policy a workload has, which action a signature: values in, values out.

Builds what datapath.tables writes into the kernel's policy, action and exception tables.
Number 0 is synthesised: the strictest of all policies, for workloads that none matches;
1 to n are the file's policies in order. Knows no kernel structs, reads no clock: the time
is given to it.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import translate

from dlp.config import (
    Config,
    Destination,
    InspectorDown,
    OtherProtocols,
    Policy,
    PolicyException,
    PortRange,
    check_signatures,
)
from dlp.config.model import DESTINATION_ROWS, Network
from dlp.errors import ConfigError
from dlp.model import Action, DestinationAction, Mode

STRICTEST = 0
STRICTEST_NAME = "(strictest)"

_ALL_PORTS = PortRange(low=0, high=65535)


class PolicyFlag(enum.IntFlag):
    """Numbers as enum dlp_policy_flag in bpf/abi.h."""

    MONITOR = 1
    INSPECTOR_DOWN_CLOSED = 2
    OTHER_DROP = 4
    OVER_BUDGET_DROP = 8


@dataclass(frozen=True, slots=True)
class RuleRow:
    """What happens to matches of a signature under a policy.

    Attributes:
        rule_index: of the rule in its policy; distinct values are counted per rule.
        threshold: distinct values in a flow at which the action begins; 1 is at once.
    """

    action: Action
    rule_index: int
    threshold: int


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
        rules: by signature index; a signature without an entry is not in the policy.
        exceptions: digests (32 bytes) in force.
    """

    name: str
    flags: PolicyFlag
    uninspectable: Action
    destinations: tuple[DestinationRow, ...]
    rules: Mapping[int, RuleRow]
    exceptions: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelPolicies:
    """All rows, by policy number.

    Attributes:
        next_expiry: seconds since the epoch at which an exception ends, so that the
            rows are out of date; None if none does.
    """

    policies: tuple[KernelPolicy, ...]
    next_expiry: float | None


class PolicySet:
    """The policies of a file against the ids of a signature set, in the image's order.

    Raises:
        ConfigError: a rule names no signature, or the denied destinations of all
            policies together exceed the kernel's rows.
    """

    def __init__(self, config: Config, signature_ids: Sequence[str]) -> None:
        check_signatures(config, signature_ids)
        self._policies = config.policies
        self._place = config.place
        self._selectors = tuple(_Selector(policy) for policy in config.policies)
        own = [_rows(policy, signature_ids) for policy in config.policies]
        self._rules: tuple[Mapping[int, RuleRow], ...] = (_strictest_rules(own), *own)
        self._denies = _strictest_denies(config)

    def __len__(self) -> int:
        return len(self._policies) + 1

    @property
    def names(self) -> tuple[str, ...]:
        """By policy number."""
        return (STRICTEST_NAME, *(policy.name for policy in self._policies))

    def mode(self, policy_index: int) -> Mode:
        """Of a policy; the strictest enforces if any does."""
        if policy_index != STRICTEST:
            return self._policies[policy_index - 1].mode
        enforce = any(policy.mode is Mode.ENFORCE for policy in self._policies)
        return Mode.ENFORCE if enforce else Mode.MONITOR

    def resolve(self, netns: str, cgroup: str | None) -> int:
        """Number of the first policy that matches.

        Args:
            netns: name of the namespace.
            cgroup: path below the cgroup root, as `/docker/ab12`; None for sockets of
                any cgroup, which a policy with `cgroup:` does not match.

        Raises:
            ConfigError: none matches.
        """
        for number, selector in enumerate(self._selectors, 1):
            if selector.matches(netns, cgroup):
                return number
        raise ConfigError(
            f"no policy matches the namespace '{netns}'",
            remedy="add a policy at the end with `match: {}`",
            place=self._place("policies"),
        )

    def applicable(self, netns: str) -> tuple[int, ...]:
        """Numbers of the policies that sockets of a namespace can have, its own first.

        Those with `cgroup:` follow, in order, up to where the namespace's own one hides
        what stands behind it.
        """
        by_cgroup: list[int] = []
        for number, selector in enumerate(self._selectors, 1):
            if selector.matches(netns, None):
                return (number, *by_cgroup)
            if selector.may_match(netns):
                by_cgroup.append(number)
        return tuple(by_cgroup)

    def action_for(self, policy_index: int, signature_index: int) -> RuleRow | None:
        """The first rule of a policy that names the signature; None where none does."""
        return self._rules[policy_index].get(signature_index)

    def next_expiry(self, now: float) -> float | None:
        """Seconds since the epoch at which the next exception ends, after `now`."""
        ends = (_end(entry) for policy in self._policies for entry in policy.exceptions)
        return min((end for end in ends if end > now), default=None)

    def expired(self, now: float) -> tuple[tuple[str, PolicyException], ...]:
        """Exceptions that have ended, each with its policy's name."""
        return tuple(
            (policy.name, entry)
            for policy in self._policies
            for entry in policy.exceptions
            if _end(entry) <= now
        )

    def kernel_policies(self, now: float) -> KernelPolicies:
        """The rows to write, with the exceptions in force at `now` (seconds since the epoch)."""
        rows = [
            KernelPolicy(
                name=STRICTEST_NAME,
                flags=self._strictest_flags(),
                uninspectable=max(policy.uninspectable for policy in self._policies),
                destinations=self._denies,
                rules=self._rules[STRICTEST],
                exceptions=(),
            )
        ]
        rows += (
            KernelPolicy(
                name=policy.name,
                flags=_flags(policy),
                uninspectable=policy.uninspectable,
                destinations=tuple(
                    row for entry in policy.destinations for row in _destination_rows(entry)
                ),
                rules=rules,
                exceptions=tuple(entry.digest for entry in policy.exceptions if _end(entry) > now),
            )
            for policy, rules in zip(self._policies, self._rules[1:], strict=True)
        )
        return KernelPolicies(policies=tuple(rows), next_expiry=self.next_expiry(now))

    def _strictest_flags(self) -> PolicyFlag:
        each = [_flags(policy) for policy in self._policies]
        flags = PolicyFlag(0)
        for one in each:
            flags |= one & ~PolicyFlag.MONITOR
        if all(one & PolicyFlag.MONITOR for one in each):
            flags |= PolicyFlag.MONITOR
        return flags


def decide(matches: Iterable[tuple[RuleRow, int]]) -> Action:
    """What becomes of a packet: the strongest action of its matches.

    Args:
        matches: each with its row and the number of distinct values its rule has met in
            the flow, this one included; below the threshold a match does nothing.
    """
    return max(
        (row.action for row, count in matches if count >= row.threshold), default=Action.ALLOW
    )


class _Selector:
    """A policy's match, with its globs compiled."""

    def __init__(self, policy: Policy) -> None:
        self._netns = _any_of(policy.match.netns)
        self._cgroup = _any_of(policy.match.cgroup)
        self._of_cgroups = bool(policy.match.cgroup)

    def may_match(self, netns: str) -> bool:
        return self._netns(netns)

    def matches(self, netns: str, cgroup: str | None) -> bool:
        if not self._netns(netns):
            return False
        if not self._of_cgroups:
            return True
        return cgroup is not None and self._cgroup(cgroup)


def _any_of(globs: Sequence[str]) -> Callable[[str], bool]:
    """A predicate for "one of the globs fits"; no globs fit all."""
    if not globs:
        return lambda _: True
    match = re.compile("|".join(f"(?:{translate(glob)})" for glob in globs)).match
    return lambda text: match(text) is not None


def _rows(policy: Policy, signature_ids: Sequence[str]) -> dict[int, RuleRow]:
    rows: dict[int, RuleRow] = {}
    for number, rule in enumerate(policy.rules):
        fits = _any_of(rule.signatures)
        row = RuleRow(rule.action, number, rule.threshold)
        for index, name in enumerate(signature_ids):
            if index not in rows and fits(name):
                rows[index] = row
    return rows


def _strictest_rules(each: Iterable[Mapping[int, RuleRow]]) -> dict[int, RuleRow]:
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


def _strictest_denies(config: Config) -> tuple[DestinationRow, ...]:
    """The destinations that any policy denies, those inside others left out."""
    wanted = {
        (ports, entry.network)
        for policy in config.policies
        for entry in policy.destinations
        if entry.action is DestinationAction.DENY
        for ports in entry.ports or (_ALL_PORTS,)
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
    return tuple(_row(network, ports, DestinationAction.DENY) for ports, network in kept)


def _deny_order(entry: tuple[PortRange, Network]) -> tuple[int, bytes, int, PortRange]:
    ports, network = entry
    return network.version, network.network_address.packed, network.prefixlen, ports


def _holds(outer: tuple[PortRange, Network], inner: tuple[PortRange, Network]) -> bool:
    ports_fit = outer[0].low <= inner[0].low and inner[0].high <= outer[0].high
    return (
        ports_fit and outer[1].version == inner[1].version and inner[1].subnet_of(outer[1])  # type: ignore[arg-type]  # versions are equal
    )


def _destination_rows(entry: Destination) -> Iterable[DestinationRow]:
    return (_row(entry.network, ports, entry.action) for ports in entry.ports or (_ALL_PORTS,))


def _row(network: Network, ports: PortRange, action: DestinationAction) -> DestinationRow:
    address, mask = network.network_address.packed, network.netmask.packed
    if network.version == 4:  # noqa: PLR2004 - the protocol's own name
        address, mask = bytes(10) + b"\xff\xff" + address, b"\xff" * 12 + mask
    return DestinationRow(
        address=address, mask=mask, port_low=ports.low, port_high=ports.high, action=action
    )


def _flags(policy: Policy) -> PolicyFlag:
    flags = PolicyFlag(0)
    if policy.mode is Mode.MONITOR:
        flags |= PolicyFlag.MONITOR
    if policy.on_inspector_down is InspectorDown.CLOSED:
        flags |= PolicyFlag.INSPECTOR_DOWN_CLOSED
    if policy.other_protocols is OtherProtocols.DROP:
        flags |= PolicyFlag.OTHER_DROP
    if policy.over_budget is Action.DROP:
        flags |= PolicyFlag.OVER_BUDGET_DROP
    return flags


def _end(entry: PolicyException) -> float:
    """An exception ends when its day begins, UTC."""
    day = entry.until
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
