"""Who runs in a cgroup."""

import os
import time
from pathlib import Path

import pytest

from dlp.workloads.occupants import Occupants, occupants

pytest_plugins = ["tests.cgrouplab", "tests.netlab_fixture"]
pytestmark = pytest.mark.netns


def test_namespaces_of_a_tree(cgroups, lab):
    """Each process counts with its network namespace, those of cgroups below too."""
    inner = lab.namespace("web")
    cgroups.sender("a/sub", inner)
    own = Path("/proc/self/ns/net").stat().st_ino
    other = Path(f"/run/netns/{inner}").stat().st_ino

    assert {other} == occupants(cgroups.directory / "a").netns
    cgroups.sender("a")
    assert {own, other} == occupants(cgroups.directory / "a").netns


def test_age_is_of_the_oldest(cgroups):
    """The age is that of the process that has run for the longest."""
    first = cgroups.sender("a")
    time.sleep(0.5)
    began = time.monotonic()
    cgroups.sender("a")

    assert 0.4 < occupants(cgroups.directory / "a").oldest_s < 10
    first.end()
    second_s = occupants(cgroups.directory / "a").oldest_s
    assert second_s < time.monotonic() - began + 0.1  # to start it takes a while


def test_nobody(cgroups):
    """An empty cgroup and one that is gone have nobody; nor has one whose process has ended."""
    sender = cgroups.sender("a")
    cgroups.make("b")
    sender.process.kill()
    # Not waited for yet: a zombie stays in its cgroup.
    os.waitid(os.P_PID, sender.process.pid, os.WEXITED | os.WNOWAIT)

    for name in ("a", "b", "none"):
        assert Occupants() == occupants(cgroups.directory / name)
