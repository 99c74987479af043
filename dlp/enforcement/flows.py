"""Flows as the API shows them, from the rows of the kernel's table.

The row of a flow with a TCP socket is a copy, up to a quarter of a second old.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from dlp.datapath import abi
from dlp.datapath.datapath import Datapath
from dlp.datapath.events import packet_of, protocol_name
from dlp.model import (
    Endpoint,
    Flow,
    Opaque,
)

_ALL = 1 << 20  # more than the kernel's table holds


def flows_of(
    datapath: Datapath, name_of: Callable[[int], str], policies: tuple[str, ...]
) -> Iterator[Flow]:
    """All flows that the kernel has a row of; names of workloads by key, of policies by number."""
    now = time.monotonic_ns()
    for key, flow in datapath.flows(_ALL):
        yield flow_of(key, flow, name_of(key.netns), policies, now)


def flow_of(
    key: abi.FlowKeyStruct, flow: abi.FlowStruct, name: str, policies: tuple[str, ...], now: int
) -> Flow:
    """A row as a value; `now` in nanoseconds of CLOCK_MONOTONIC, `policies` by number."""
    packet = packet_of(key)
    flags = abi.FlowFlag(flow.flags)
    return Flow(
        id=flow.id,
        workload=name,
        cgroup=flow.cgroup,
        protocol=protocol_name(key.family, key.protocol),
        source=Endpoint(address=packet.source, port=packet.source_port),
        destination=Endpoint(address=packet.destination, port=packet.destination_port),
        state=_state(flow),
        opaque=Opaque(flow.opaque).name.lower(),
        policy=policies[flow.policy] if flow.policy < len(policies) else str(flow.policy),
        packets=flow.packets,
        bytes=flow.inspected + flow.missed,
        inspected=flow.inspected,
        opaque_bytes=flow.opaque_bytes,
        missed=flow.missed,
        matches=flow.matches,
        partly=abi.FlowFlag.PARTLY in flags,
        mirrored=abi.FlowFlag.MIRROR in flags,
        age_s=(now - flow.started_ns) / 1e9,
        idle_s=(now - flow.seen_ns) / 1e9,
    )


def _state(flow: abi.FlowStruct) -> str:
    """`open`, `blocked`, or `held` while segments wait for the inspector's word."""
    state = abi.FlowState(flow.state)
    if state is abi.FlowState.OPEN and flow.held_ns:
        return "held"
    return state.name.lower()
