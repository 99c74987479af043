"""What follows on a verdict beside its being stored: sockets killed, workloads cut.

Decides only; killing and cutting are others' work.
"""

from __future__ import annotations

from collections.abc import Callable

from dlp.config import Policy
from dlp.datapath.events import Event, Packet
from dlp.enforcement.escalation import Escalations
from dlp.enforcement.kill import Target, target_of, target_of_flow
from dlp.model import Action, Verdict
from dlp.policy import PolicySet


class Responses:
    """Asks the policy of each verdict what is to follow.

    Args:
        kill: destroys a socket.
        escalate: cuts the workload of a verdict, for the reason given.
    """

    def __init__(
        self, kill: Callable[[Target], None], escalate: Callable[[Verdict, str], None]
    ) -> None:
        self._kill = kill
        self._escalate = escalate
        self._escalations = Escalations()
        self._settings: dict[str, Policy] = {}

    def use(self, policies: PolicySet) -> None:
        """From here on the policies are these; a verdict names its own."""
        self._settings = {
            name: policies.settings(number) for number, name in enumerate(policies.names)
        }

    def to_event(self, event: Event, verdict: Verdict) -> None:
        """The kernel decided."""
        settings = self._settings.get(verdict.policy)
        if settings is None:
            return
        target = target_of(event) if settings.kill else None
        if target is not None:
            self._kill(target)
        self._count(verdict, settings)

    def to_finding(self, packet: Packet, verdict: Verdict) -> None:
        """The inspector decided, on a flow of which `packet` was one."""
        settings = self._settings.get(verdict.policy)
        if settings is None:
            return
        if settings.kill and verdict.enforced and verdict.action is Action.DROP:
            target = target_of_flow(packet, verdict.flow)
            if target is not None:
                self._kill(target)
        self._count(verdict, settings)

    def _count(self, verdict: Verdict, settings: Policy) -> None:
        rule = settings.escalate
        if rule is not None and self._escalations.reached(verdict, rule):
            reason = f"{rule.verdicts} enforced drops within {rule.window_s:g} s"
            self._escalate(verdict, f"{reason} (policy {verdict.policy})")
