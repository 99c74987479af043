"""What degrades a gateway, and what only warns."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlp.config import load
from dlp.enforcement.health import health_of
from dlp.enforcement.loaded import Loaded
from dlp.model import Protection, Workload, WorkloadState

WEB = Workload(name="web", state=WorkloadState.ENFORCED, guard=Protection.GUARDED)


@pytest.fixture
def loaded(policy_set, card_image):
    text = '  - {name: default, rules: [{signatures: ["pci.*"], action: drop}]}'
    policies = policy_set(text)
    return Loaded(load(Path(policies._place("policies").file)), card_image, policies)


def health(loaded, *workloads, **changes):
    values = {
        "release": 3,
        "uptime_s": 1.0,
        "matcher_alive": True,
        "events_lost": 0,
        "verdicts_lost": 0,
        "incidents_lost": 0,
        "now": 1000.0,
    }
    return health_of(workloads or (WEB,), loaded, **(values | changes))


def test_well(loaded):
    """All workloads enforced and guarded: no problem, no warning."""
    found = health(loaded)

    assert ("ok", 1, 0, (), ()) == (
        found.status,
        found.workloads_enforced,
        found.workloads_pending,
        found.problems,
        found.warnings,
    )


@pytest.mark.parametrize("guard", [Protection.UNGUARDED, Protection.PARTIAL])
def test_unguarded(loaded, guard):
    """A device without a guard warns, by workload and device."""
    workload = Workload(
        name="db", state=WorkloadState.ENFORCED, guard=guard, unguarded=("macvlan0",)
    )
    found = health(loaded, WEB, workload)

    assert ("ok", 1) == (found.status, found.workloads_unguarded)
    (warning,) = found.warnings
    assert warning.startswith("db: unguarded on macvlan0")


def test_gates(loaded):
    """A gate that is asked for and not in place is a problem."""
    found = health(loaded, gates=["/docker cannot be gated"])

    assert ("degraded", ("/docker cannot be gated",)) == (found.status, found.problems)


def test_without_devices(loaded):
    """Where there is no device, nothing is unguarded."""
    pending = Workload(name="db", state=WorkloadState.PENDING, guard=Protection.NONE)
    found = health(loaded, pending)

    assert ((), 0, 1) == (found.warnings, found.workloads_unguarded, found.workloads_pending)


def test_quarantined(loaded):
    """A workload that is cut warns, with the command that ends it."""
    workload = Workload(
        name="db", state=WorkloadState.ENFORCED, guard=Protection.GUARDED, quarantined=True
    )
    found = health(loaded, workload)

    assert ("ok", 1) == (found.status, found.workloads_quarantined)
    assert ("db: quarantined, `dlp release db` ends it",) == found.warnings


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"matcher_alive": False}, "matcher process"),
        ({"verdicts_lost": 2}, "2 verdicts could not be stored"),
        ({"incidents_lost": 3}, "3 incidents could not be stored"),
    ],
)
def test_degraded(loaded, changes, problem):
    """What fails degrades."""
    found = health(loaded, **changes)

    assert "degraded" == found.status
    assert problem in found.problems[0]


def test_failed_workload(loaded):
    """An error of a workload is a problem under its name."""
    found = health(loaded, Workload(name="db", state=WorkloadState.FAILED, error="no such device"))

    assert ("degraded", ("db: no such device",)) == (found.status, found.problems)


def test_losses(loaded):
    """Events lost in the kernel and verdicts lost on the way are one figure."""

    assert 5 == health(loaded, events_lost=3, verdicts_lost=2).events_lost
