"""Five hundred namespaces at once: all enforced and guarded, all let go of again."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import time
from pathlib import Path

import pytest

from dlp.datapath import links
from dlp.datapath.links import Hook, Pins
from dlp.enforcement import controller as module
from dlp.enforcement import record
from dlp.enforcement.controller import Controller
from dlp.enforcement.detach import take_off_all
from dlp.enforcement.rules import Rules
from dlp.model import Protection, WorkloadState
from tests.netlab import DEVICE, programs, scaled

pytest_plugins = ["tests.netlab_fixture"]
pytestmark = [pytest.mark.netns, pytest.mark.long]

MANY = scaled(500)
DROP = '  - {name: default, rules: [{signatures: ["pci.*"], action: drop}]}'
PATIENCE_S = 240.0
# The namespace and a place's copies, sockets of the controller and of the sentry, two programs.
EACH_FDS = 10


def batch(lines: list[str]) -> None:
    command = ["ip", "-force", "-batch", "-"]
    subprocess.run(command, input="\n".join(lines), text=True, check=False, capture_output=True)


@pytest.fixture
def crowd(lab):
    """Their names; each has a device to one host, by which nothing was sent."""
    host = lab.namespace("host")
    names = [f"dlptest-{os.getpid()}-many-{number}" for number in range(MANY)]
    lines = [f"netns add {name}" for name in names]
    for number, name in enumerate(names):
        ends = f"{DEVICE} netns {name} type veth peer name many{number} netns {host}"
        lines.append(f"link add {ends}")
    batch(lines)
    try:
        yield host, names
    finally:
        batch([f"netns del {name}" for name in names])


@pytest.fixture
def descriptors():
    """As many as the gateway gives itself."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield lambda: len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def resident_kb() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


async def test_many(
    live, cards, policy_set, crowd, descriptors, tmp_path, links_path, monkeypatch, record_property
):
    """All are enforced, mended in time, and nothing is left when they are let go of."""
    host, names = crowd
    chosen = policy_set(DROP, netns=tuple(names))
    live.load(cards, chosen.kernel_policies(time.time()), hmac_key=b"live", release=1)
    fds, memory, began = descriptors(), resident_kb(), time.monotonic()
    path = tmp_path / "attached.json"
    async with (
        Controller(
            live, Rules(tuple(names), chosen), record_path=path, links=links_path
        ) as control,
        asyncio.TaskGroup() as group,
    ):
        tasks = [group.create_task(control.watch())]
        ready = await control.wait_enforced(PATIENCE_S)
        took = time.monotonic() - began
        workloads = control.workloads()
        fds_each = (descriptors() - fds) / MANY
        memory_each = (resident_kb() - memory) / MANY
        pins = len(list(Pins(links_path)))
        looked: dict[str, int] = dict.fromkeys(names, 0)
        mend = control._mend

        async def looking(name: str) -> None:
            looked[name] += 1
            await mend(name)

        monkeypatch.setattr(control, "_mend", looking)
        began = time.monotonic()
        tasks.append(group.create_task(control.mend()))
        while not all(looked.values()):
            assert time.monotonic() - began < PATIENCE_S
            await asyncio.sleep(0.05)
        turn = time.monotonic() - began
        for task in tasks:
            task.cancel()
    kept = descriptors()
    taken_off = take_off_all(record.read(path), pins=Pins(links_path))
    record_property("namespaces", MANY)
    record_property("enforced_after_s", round(took, 1))
    record_property("memory_each_kb", round(memory_each, 1))
    record_property("descriptors_each", round(fds_each, 1))
    record_property("looked_at_in_s", round(turn, 1))

    assert ready
    assert {(WorkloadState.ENFORCED, Protection.GUARDED, 0.0)} == {
        (one.state, one.guard, one.unprotected_ms) for one in workloads
    }
    assert len(names) == len({one.key for one in workloads})
    assert (2 * MANY if links.supported() else 0) == pins
    assert fds_each <= EACH_FDS
    assert memory_each < 200
    assert turn < 2 * max(module._MEND_S, module._LOOK_S * MANY)
    assert kept <= fds + 4
    assert MANY == taken_off
    assert [] == list(Pins(links_path))
    assert [] == programs(names[-1])
    assert [] == programs(host, f"many{MANY - 1}", Hook.INGRESS)
