"""Rows of the kernel's flow table as values."""

from __future__ import annotations

import ipaddress

from dlp.datapath import abi
from dlp.enforcement.flows import flow_of
from dlp.model import Endpoint

SECOND = 1_000_000_000


def row(**values: int) -> tuple[abi.FlowKeyStruct, abi.FlowStruct]:
    """A TCP flow over IPv4."""
    key = abi.FlowKeyStruct(
        netns=7 << 16 | 1, source_port=40000, destination_port=443, protocol=6, family=4
    )
    key.source[:] = ipaddress.ip_address("::ffff:10.0.0.1").packed
    key.destination[:] = ipaddress.ip_address("::ffff:192.0.2.9").packed
    return key, abi.FlowStruct(**values)


def test_fields():
    """Numbers become names; bytes are those inspected and those missed together."""
    key, flow = row(
        id=5, inspected=100, missed=20, policy=1, state=1, opaque=1, flags=2 | 4,
        started_ns=SECOND, seen_ns=3 * SECOND,
    )  # fmt: skip
    found = flow_of(key, flow, "web", ("(strictest)", "default"), 4 * SECOND)

    assert ("web", "tcp", "blocked", "tls", "default") == (
        found.workload, found.protocol, found.state, found.opaque, found.policy,
    )  # fmt: skip
    assert Endpoint(address="10.0.0.1", port=40000) == found.source
    assert Endpoint(address="192.0.2.9", port=443) == found.destination
    assert (120, 100, 20) == (found.bytes, found.inspected, found.missed)
    assert (True, True) == (found.partly, found.mirrored)
    assert (3.0, 1.0) == (found.age_s, found.idle_s)


def test_policy_that_is_gone():
    """A flow may still carry the number of a policy that the file no longer has."""
    key, flow = row(policy=9)

    assert "9" == flow_of(key, flow, "web", ("(strictest)",), 0).policy


def test_held():
    """A flow that waits is held; one that was blocked after its wait is blocked."""
    key, waiting = row(held_ns=SECOND)
    _, blocked = row(held_ns=SECOND, state=1)
    _, open_ = row()

    assert ["held", "blocked", "open"] == [
        flow_of(key, flow, "web", (), SECOND).state for flow in (waiting, blocked, open_)
    ]
