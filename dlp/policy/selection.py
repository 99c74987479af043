"""Which policy a workload has, which action a signature: values in, values out.

Number 0 is synthesised (policy.strictest); 1 to n are the file's policies in order. Reads
no clock: the time is given to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from dlp.config import (
    Config,
    Loopback,
    Policy,
    PolicyException,
    Rule,
    any_of,
    check_signatures,
    named_by,
)
from dlp.errors import ConfigError
from dlp.model import Action, Mode, Subject
from dlp.policy.rows import (
    STRICTEST,
    STRICTEST_NAME,
    KernelPolicies,
    KernelPolicy,
    RuleRow,
    destination_rows,
    flags_of,
)
from dlp.policy.strictest import strictest_denies, strictest_rules, strictest_settings

EXCEPTIONS = 4096  # the kernel's table holds twice as many, for two generations


class PolicySet:
    """The policies of a file against a signature set, in the image's order.

    Raises:
        ConfigError: a rule names no signature, or the denied destinations of all
            policies together exceed the kernel's rows.
    """

    def __init__(self, config: Config, subjects: Sequence[Subject]) -> None:
        check_signatures(config, subjects)
        _check_exceptions(config)
        self._held = held_signatures(config, subjects)
        self._policies: tuple[Policy, ...] = config.policies
        self._settings: tuple[Policy, ...] = (strictest_settings(config.policies), *config.policies)
        self._place = config.place
        self._selectors = tuple(_Selector(policy) for policy in config.policies)
        own = [_rows(policy, subjects) for policy in config.policies]
        self._rules: tuple[Mapping[int, RuleRow], ...] = (strictest_rules(own), *own)
        self._denies = strictest_denies(config)

    def __len__(self) -> int:
        return len(self._policies) + 1

    @property
    def names(self) -> tuple[str, ...]:
        """By policy number."""
        return (STRICTEST_NAME, *(policy.name for policy in self._policies))

    def settings(self, policy_index: int) -> Policy:
        """A policy's settings, as mode, kill and escalate, by its number.

        Of the strictest they are the strictest of each; its lists are empty here.
        """
        return self._settings[policy_index]

    def mode(self, policy_index: int) -> Mode:
        """Of a policy; the strictest enforces if any does."""
        return self._settings[policy_index].mode

    def holds(self, policy_index: int) -> bool:
        """Whether a policy holds some signature."""
        return any(
            row.action is Action.HOLD and not row.shadow
            for row in self._rules[policy_index].values()
        )

    def holds_for(self, netns: str) -> bool:
        """Whether sockets of a namespace can have a policy that holds some signature."""
        return any(self.holds(number) for number in self._possible(netns))

    def loopback_for(self, netns: str) -> bool:
        """Whether sockets of a namespace can have a policy that scans `lo`."""
        return any(
            self._settings[number].loopback is Loopback.SCAN for number in self._possible(netns)
        )

    @property
    def held_signatures(self) -> frozenset[str]:
        """Ids that some policy holds."""
        return self._held

    def _possible(self, netns: str) -> Iterable[int]:
        """Numbers of the policies that packets of a namespace can meet."""
        return self.applicable(netns) or (STRICTEST,)

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

    def rules(self, policy_index: int) -> Mapping[int, RuleRow]:
        """The rows of a policy, by signature index."""
        return self._rules[policy_index]

    def action_for(self, policy_index: int, signature_index: int) -> RuleRow | None:
        """The first rule of a policy that names the signature; None where none does."""
        return self._rules[policy_index].get(signature_index)

    def next_expiry(self, now: float) -> float | None:
        """Seconds since the epoch at which the next exception ends, after `now`."""
        ends = (_end(entry) for policy in self._policies for entry in policy.exceptions)
        return min((end for end in ends if end > now), default=None)

    def excepted(self, policy_index: int, digest: bytes, now: float) -> bool:
        """Whether a value may pass under a policy at `now`; under the strictest none may."""
        if policy_index == STRICTEST:
            return False
        entries = self._policies[policy_index - 1].exceptions
        return any(entry.digest == digest and _end(entry) > now for entry in entries)

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
                flags=flags_of(self._settings[STRICTEST]),
                uninspectable=self._settings[STRICTEST].uninspectable,
                hold_timeout_ms=self._settings[STRICTEST].hold_timeout_ms,
                destinations=self._denies,
                rules=self._rules[STRICTEST],
                exceptions=(),
            )
        ]
        rows += (
            KernelPolicy(
                name=policy.name,
                flags=flags_of(policy),
                uninspectable=policy.uninspectable,
                hold_timeout_ms=policy.hold_timeout_ms,
                destinations=tuple(
                    row for entry in policy.destinations for row in destination_rows(entry)
                ),
                rules=rules,
                exceptions=tuple(entry.digest for entry in policy.exceptions if _end(entry) > now),
            )
            for policy, rules in zip(self._policies, self._rules[1:], strict=True)
        )
        return KernelPolicies(policies=tuple(rows), next_expiry=self.next_expiry(now))


class _Selector:
    """A policy's match, with its globs compiled."""

    def __init__(self, policy: Policy) -> None:
        self._netns = any_of(policy.match.netns)
        self._cgroup = any_of(policy.match.cgroup)
        self._of_cgroups = bool(policy.match.cgroup)

    def may_match(self, netns: str) -> bool:
        return self._netns(netns)

    def matches(self, netns: str, cgroup: str | None) -> bool:
        if not self._netns(netns):
            return False
        if not self._of_cgroups:
            return True
        return cgroup is not None and self._cgroup(cgroup)


def _rows(policy: Policy, subjects: Sequence[Subject]) -> dict[int, RuleRow]:
    rows: dict[int, RuleRow] = {}
    for number, rule in enumerate(policy.rules):
        named = named_by(rule)
        for index, subject in enumerate(subjects):
            if index not in rows and named(subject):
                rows[index] = _row(rule, number, subject)
    return rows


def _row(rule: Rule, number: int, subject: Subject) -> RuleRow:
    if rule.threshold is None and subject.threshold > 1:
        return RuleRow(rule.action, number, subject.threshold, alone=subject.id)
    return RuleRow(rule.action, number, rule.threshold or 1, window_s=rule.window_s)


def held_signatures(config: Config, subjects: Sequence[Subject]) -> frozenset[str]:
    """Ids that some policy of a file holds, asked before a signature set is compiled."""
    return frozenset(
        subjects[index].id
        for policy in config.policies
        for index, row in _rows(policy, subjects).items()
        if row.action is Action.HOLD
    )


def _end(entry: PolicyException) -> float:
    """An exception ends when its day begins, UTC."""
    day = entry.until
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def _check_exceptions(config: Config) -> None:
    count = sum(len(policy.exceptions) for policy in config.policies)
    if count > EXCEPTIONS:
        raise ConfigError(
            f"{count} exceptions in all policies together, at most {EXCEPTIONS} fit",
            remedy="remove those that have ended",
            place=config.place("policies"),
        )
