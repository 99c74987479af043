"""Runs an attack script in its workload and tells what became of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from typing import Any

from attacker import IMPOSSIBLE
from scenario import Attack, Scenario
from session import HERE, Session
from topology import CONTAINER_DEVICE, FLOODED, GATEWAY4, GATEWAY6, LabError, Machine

VERSIONS = (4, 6)
LAST_LINES = 3


async def attack(
    order: Attack, scenario: Scenario, session: Session, *, port: int, flows: int
) -> str:
    """Run it to its end; why it cannot be tried here, empty where it was.

    Raises:
        LabError: the script failed, or did not end in time.
    """
    document = {
        "script": order.script,
        "caps": order.caps,
        "target": target(order, scenario, session, port) | {"flows": flows},
    }
    argv = [sys.executable, str(HERE / "attacker.py")]
    if order.host_files:
        argv = session.with_own_mounts(argv)
    process = await asyncio.create_subprocess_exec(
        *session.topology.command(scenario.workload, argv),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, errors = await asyncio.wait_for(
            process.communicate(json.dumps(document).encode()), order.timeout
        )
    except TimeoutError:
        raise LabError(f"{order.script}: no end within {order.timeout:.0f} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):  # and what it started
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if process.returncode == IMPOSSIBLE:
        return out.decode(errors="replace").strip() or "no reason given"
    if process.returncode:
        lines = errors.decode(errors="replace").strip().splitlines()[-LAST_LINES:]
        raise LabError(f"{order.script} failed: {' | '.join(line.strip() for line in lines)}")
    return ""


def target(order: Attack, scenario: Scenario, session: Session, port: int) -> dict[str, Any]:
    """What the script is told (attacks/target.py)."""
    layout = session.topology.layout
    machine = layout.workload(scenario.workload.partition("/")[0])
    server = layout.server(scenario.server)
    in_sight = order.host_files and session.has_own_mounts
    return {
        "family": scenario.family,
        "port": port,
        "addresses": _addresses(server),
        "sources": _addresses(machine),
        "gateways": {4: GATEWAY4, 6: GATEWAY6},
        "siblings": _addresses(layout.workload(layout.workloads[0])),
        "spare": machine.spare,
        "device": CONTAINER_DEVICE,
        "secrets": {name: value.decode() for name, value in scenario.values().items()},
        "flooded": FLOODED,
        "args": order.args | ({"in_sight": True} if in_sight else {}),
    }


def _addresses(machine: Machine) -> dict[int, str]:
    return {version: machine.address(version) for version in VERSIONS}
