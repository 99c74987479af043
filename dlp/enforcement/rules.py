"""What a configuration asks for its namespaces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from dlp.config import Config
from dlp.config.model import AttachWay, NewWorkloads
from dlp.enforcement.cover import Terms
from dlp.model import Mode, Workload, WorkloadState
from dlp.policy import PolicySet


@dataclass(frozen=True, slots=True)
class Rules:
    """What the controller needs of a configuration."""

    netns: tuple[str, ...]
    policies: PolicySet
    attach: AttachWay = AttachWay.AUTO
    new: NewWorkloads = NewWorkloads.CLOSED

    @classmethod
    def of(cls, config: Config, policies: PolicySet) -> Self:
        workloads = config.workloads
        return cls(workloads.netns, policies, workloads.attach, workloads.new)

    def terms(self, name: str) -> Terms:
        """For one namespace."""
        numbers = self.policies.applicable(name)
        return Terms(
            attach=self.attach,
            closed=self.new is NewWorkloads.CLOSED,
            holds=self.policies.holds_for(name),
            loopback=self.policies.loopback_for(name),
            monitor=bool(numbers)
            and all(self.policies.mode(number) is Mode.MONITOR for number in numbers),
        )

    def workload(self, name: str) -> Workload:
        """One of them as long as nothing is known of it but its name."""
        numbers = self.policies.applicable(name)
        return Workload(
            name=name,
            state=WorkloadState.PENDING,
            policies=tuple(self.policies.names[number] for number in numbers),
            mode=self.policies.mode(numbers[0]) if numbers else Mode.ENFORCE,
        )
