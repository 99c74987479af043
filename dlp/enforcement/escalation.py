"""Counts enforced drops of a workload, and says when they are too many.

Counting only: what follows is the caller's. Memory is bounded by the number of workloads
and by the policy's own `verdicts`.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from dlp.config.model import Escalation
from dlp.model import Action, Verdict

_WORKLOADS = 4096


class Escalations:
    """Enforced drops by workload and policy, those of the last window."""

    def __init__(self) -> None:
        self._drops: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def reached(self, verdict: Verdict, rule: Escalation | None) -> bool:
        """Count a verdict under its policy's rule; whether it is the one too many.

        Counting begins anew then, so that it is said once for so many.
        """
        if rule is None or not verdict.enforced or verdict.action is not Action.DROP:
            return False
        key = (verdict.workload, verdict.policy)
        drops = self._drops.get(key)
        if drops is None or drops.maxlen != rule.verdicts:
            drops = self._drops[key] = deque(drops or (), maxlen=rule.verdicts)
        self._drops.move_to_end(key)
        while len(self._drops) > _WORKLOADS:
            self._drops.popitem(last=False)
        drops.append(verdict.time)
        if len(drops) < rule.verdicts or verdict.time - min(drops) > rule.window_s:
            return False
        del self._drops[key]
        return True
