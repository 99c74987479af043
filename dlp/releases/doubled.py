"""The policies of a union: what acts, what is only counted, and for whom the candidate acts.

Numbers 0 to n are those of the policy file, as ever: the live set's rules act, the
candidate's own are counted. For a canary n more follow, policy by policy, in which the
candidate's rules act; the workloads it chooses have those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlp.config import Config
from dlp.config.model import POLICIES
from dlp.errors import ConfigError
from dlp.model import Subject
from dlp.policy import PolicySet, RuleRow
from dlp.policy.selection import EXCEPTIONS
from dlp.releases.canary import Canary
from dlp.releases.union import Union, candidate_rules, live_rules


class DoubledPolicies(PolicySet):
    """The policies of a file against a union; `subjects` are in the union's order.

    Raises:
        ConfigError: as PolicySet, for either set; or a canary for which the kernel's tables
            have no room.
    """

    def __init__(
        self, config: Config, union: Union, subjects: Sequence[Subject], canary: Canary | None
    ) -> None:
        super().__init__(config, subjects)
        live = PolicySet(config, [subjects[index] for index in union.live])
        candidate = PolicySet(config, [subjects[index] for index in union.candidate])
        self._canary = canary
        self._count = len(config.policies)
        numbers = range(len(live))
        rules: list[Mapping[int, RuleRow]] = [
            live_rules(union, live.rules(number), candidate.rules(number)) for number in numbers
        ]
        if canary is not None:
            self._check_room(config)
            rules += [candidate_rules(union, candidate.rules(number)) for number in numbers[1:]]
            self._policies = (*config.policies, *config.policies)
            self._settings = (*self._settings, *config.policies)
        self._rules = tuple(rules)

    def resolve(self, netns: str, cgroup: str | None) -> int:
        """As PolicySet; a workload that the canary chooses has the candidate's number."""
        return super().resolve(netns, cgroup) + self._shift(netns)

    def applicable(self, netns: str) -> tuple[int, ...]:
        """As PolicySet, with the numbers that `resolve` gives."""
        shift = self._shift(netns)
        return tuple(number + shift for number in super().applicable(netns))

    def _shift(self, netns: str) -> int:
        chosen = self._canary is not None and self._canary.chooses(netns)
        return self._count if chosen else 0

    def _check_room(self, config: Config) -> None:
        exceptions = sum(len(policy.exceptions) for policy in config.policies)
        if 2 * self._count > POLICIES or 2 * exceptions > EXCEPTIONS:
            raise ConfigError(
                f"a canary needs each policy and exception twice: at most {POLICIES // 2} "
                f"policies and {EXCEPTIONS // 2} exceptions fit",
                remedy="activate it for all workloads, after its shadow",
                place=config.place("policies"),
            )
