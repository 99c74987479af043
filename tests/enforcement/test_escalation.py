"""Counting enforced drops."""

from __future__ import annotations

import pytest

from dlp.config.model import Escalation
from dlp.enforcement import escalation as module
from dlp.enforcement.escalation import Escalations
from dlp.model import Action
from tests.store.conftest import make_verdict

RULE = Escalation(verdicts=3, window_s=60.0)


def drop(time: float, **changes):
    values = {"time": time, "action": Action.DROP, "enforced": True, "workload": "web"}
    return make_verdict(**(values | changes))


def at(*verdicts, rule=RULE) -> list[int]:
    """Places of the verdicts that were one too many."""
    counting = Escalations()
    return [number for number, one in enumerate(verdicts) if counting.reached(one, rule)]


def test_reached():
    """The third within the window; then counting begins anew."""

    assert [2, 5] == at(*(drop(number) for number in range(8)))


def test_window():
    """What lies further apart than the window does not count together."""

    assert [] == at(*(drop(31.0 * number) for number in range(8)))
    assert [2] == at(*(drop(30.0 * number) for number in range(3)))


def test_one():
    """With 1 each drop is one too many."""

    assert [0, 1] == at(drop(1.0), drop(2.0), rule=Escalation(verdicts=1, window_s=60.0))


@pytest.mark.parametrize(
    "changes", [{"action": Action.ALERT}, {"action": Action.ALLOW}, {"enforced": False}]
)
def test_no_enforced_drop(changes):
    """Only what was dropped counts: not alerts, not monitor mode."""

    assert [] == at(*(drop(number, **changes) for number in range(8)))


def test_apart():
    """Each workload and each policy is counted by itself."""
    mixed = [drop(n, workload=("web", "db")[n % 2]) for n in range(4)]
    policies = [drop(n, policy=("a", "b")[n % 2]) for n in range(4)]

    assert [] == at(*mixed)
    assert [] == at(*policies)


def test_no_rule():
    """A policy without `escalate` escalates never."""

    assert [] == at(*(drop(number) for number in range(8)), rule=None)


def test_rule_that_changes():
    """A reload that asks for fewer counts those there were."""
    counting = Escalations()
    first = [counting.reached(drop(n), Escalation(verdicts=5, window_s=60)) for n in range(3)]

    assert [False] * 3 == first
    assert counting.reached(drop(3.0), Escalation(verdicts=2, window_s=60))


def test_bounded(monkeypatch):
    """Memory does not grow with workloads that come and go."""
    monkeypatch.setattr(module, "_WORKLOADS", 10)
    counting = Escalations()
    for number in range(100):
        counting.reached(drop(1.0, workload=f"w{number}"), RULE)

    assert 10 == len(counting._drops)
