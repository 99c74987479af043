"""Workloads are cut off and let go of, everywhere at once."""

from __future__ import annotations

import asyncio

import pytest

from dlp.enforcement.isolation import Isolation
from dlp.enforcement.quarantine import Cut, Quarantine
from dlp.errors import StoreError, UsageError
from dlp.model import IncidentKind
from tests.store.conftest import make_verdict


class Log:
    """Keeps what was said, with its fields."""

    def __init__(self) -> None:
        self.said: list[tuple[str, dict]] = []

    def warning(self, event: str, **fields: object) -> None:
        self.said.append((event, fields))

    error = warning


class Rig:
    """An isolation whose kernel is a list of what was set."""

    def __init__(self, directory) -> None:
        self.quarantine = Quarantine(directory)
        self.kernel: list[tuple[str, bool]] = []
        self.incidents: list = []
        self.log = Log()
        self.isolation = Isolation(
            self.quarantine,
            listed=lambda: ("web", "db"),
            set_cut=lambda workload, *, on: self.kernel.append((workload, on)),
            tell=self.incidents.append,
            log=self.log,
        )


@pytest.fixture
async def rig(tmp_path):
    return Rig(tmp_path)


async def test_cut(rig, tmp_path):
    """In the kernel, on disk, in the log with who and why, and as an incident."""
    await rig.isolation.cut("web", reason="leak seen", by="token ops")

    assert [("web", True)] == rig.kernel
    assert "web" in Quarantine(tmp_path)
    ((event, fields),) = rig.log.said
    assert ("workload quarantined", "web", "token ops", "leak seen") == (
        event,
        fields["workload"],
        fields["by"],
        fields["reason"],
    )
    (incident,) = rig.incidents
    assert (IncidentKind.QUARANTINE, "web", "operator", "leak seen, by token ops") == (
        incident.kind,
        incident.workload,
        incident.what,
        incident.detail,
    )


async def test_release(rig, tmp_path):
    """All of it is undone, and told."""
    await rig.isolation.cut("web", reason="leak", by="token ops")
    await rig.isolation.release("web", by="uid 0")

    assert [("web", True), ("web", False)] == rig.kernel
    assert "web" not in Quarantine(tmp_path)
    assert [("workload released", "uid 0")] == [
        (event, fields["by"]) for event, fields in rig.log.said[1:]
    ]
    assert ["operator", "released"] == [one.what for one in rig.incidents]


async def test_idempotent(rig):
    """Twice is as once: one incident each."""
    for _ in range(2):
        await rig.isolation.cut("web", reason="leak", by="x")
    for _ in range(2):
        await rig.isolation.release("web", by="x")

    assert ["operator", "released"] == [one.what for one in rig.incidents]
    assert ("web", False) == rig.kernel[-1]


async def test_together(rig):
    """Two who cut at the same moment make one cut."""
    await asyncio.gather(*(rig.isolation.cut("web", reason="leak", by="x") for _ in range(5)))

    assert 1 == len(rig.incidents)


@pytest.mark.parametrize("call", ["cut", "release"])
async def test_no_such_workload(rig, call):
    """A name that is not listed is an error, and nothing happens."""
    arguments = {"by": "x"} | ({"reason": "y"} if call == "cut" else {})
    with pytest.raises(UsageError, match="no workload none"):
        await getattr(rig.isolation, call)("none", **arguments)

    assert ([], []) == (rig.kernel, rig.incidents)


async def test_release_of_one_that_is_not_listed_any_more(rig):
    """What was taken off the list while it was cut can be released."""
    rig.quarantine.cut(Cut(workload="old", reason="leak", by="x", time=1.0))
    await rig.isolation.release("old", by="x")

    assert "old" not in rig.quarantine


async def test_escalation(rig, tmp_path):
    """The kernel is told at once, before anything is written; the rest follows, once."""
    verdict = make_verdict(workload="web", policy="strict")
    for _ in range(3):
        rig.isolation.escalate(verdict, "3 enforced drops within 60 s")
    at_once = list(rig.kernel)
    task = asyncio.get_running_loop().create_task(rig.isolation.run())
    async with asyncio.timeout(5):
        await rig.isolation._asked.join()
    task.cancel()
    rig.isolation.escalate(verdict, "again")

    assert [("web", True)] == at_once
    assert "web" in Quarantine(tmp_path)
    (incident,) = rig.incidents
    assert ("escalated", "3 enforced drops within 60 s, by policy strict") == (
        incident.what,
        incident.detail,
    )


async def test_escalation_of_a_stranger(rig):
    """A workload that is not listed is nobody's to cut."""
    rig.isolation.escalate(make_verdict(workload="netns-77"), "many")

    assert [] == rig.kernel


async def test_escalation_that_cannot_be_kept(rig, monkeypatch):
    """A full disk is logged; the workload is cut, and the next one is cut too."""

    def fails(cut):
        raise StoreError("the disk is full")

    monkeypatch.setattr(rig.quarantine, "cut", fails)
    task = asyncio.get_running_loop().create_task(rig.isolation.run())
    rig.isolation.escalate(make_verdict(workload="web"), "many")
    rig.isolation.escalate(make_verdict(workload="db"), "many")
    async with asyncio.timeout(5):
        await rig.isolation._asked.join()
    task.cancel()

    assert ["quarantine not kept"] * 2 == [
        event for event, _ in rig.log.said if event == "quarantine not kept"
    ]
    assert {("web", True), ("db", True)} == set(rig.kernel)


async def test_apply(rig):
    """What is on the list of cuts is cut again when namespaces come."""
    for name in ("web", "db"):
        rig.quarantine.cut(Cut(workload=name, reason="leak", by="x", time=1.0))
    rig.isolation.apply()

    assert [("web", True), ("db", True)] == rig.kernel
