import os
import subprocess
import sys
from pathlib import Path

import pytest
from attacker import DOCKER, NET_ADMIN, NET_RAW, NOBODY
from attacks.target import Target

LAB = str(Path(__file__).parents[2] / "netns-lab")
PROGRAM = """\
import os, sys
sys.path.insert(0, sys.argv[1])
import attacker
attacker.restrict(attacker.SETS[sys.argv[2]])
print(os.getuid(), open("/proc/self/status").read())
os.execv("/bin/cat", ["cat", "/proc/self/status"])
"""


def status(caps):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, LAB, caps], capture_output=True, text=True, check=True
    )
    sets = [int(line.split()[1], 16) for line in done.stdout.splitlines() if "CapEff" in line]
    return int(done.stdout.split()[0]), sets


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: capabilities are given up")
@pytest.mark.parametrize("caps", ["docker", "net_admin", "none"])
def test_capabilities(caps):
    """A script has exactly the capabilities of its row, and so has what it starts."""

    wanted = {"docker": DOCKER, "net_admin": DOCKER | {NET_ADMIN}, "none": set()}[caps]
    user, sets = status(caps)
    mask = sum(1 << number for number in wanted)

    assert (NOBODY if caps == "none" else 0) == user
    assert [mask, mask] == sets


def test_dockers_set():
    """Docker's default has raw sockets and no network administration; 14 in all."""

    assert NET_RAW in DOCKER
    assert NET_ADMIN not in DOCKER
    assert 14 == len(DOCKER)


def test_target_from_json():
    """JSON makes numbers of versions text; they are numbers again."""

    by_version = {"4": "a", "6": "b"}
    target = Target.of(
        {
            "family": 6,
            "port": 20000,
            "addresses": by_version,
            "sources": by_version,
            "gateways": by_version,
            "siblings": by_version,
            "spare": "s",
            "device": "eth0",
            "secrets": {"card": "4111", "more": "5"},
            "flows": 1,
            "flooded": "198.18.0.0/15",
            "args": {},
        }
    )

    assert ("b", "b", b"4111") == (target.address, target.source, target.secret)
