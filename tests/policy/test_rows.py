"""Rows of the kernel's tables."""

import re
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlp.config import (
    Destination,
    InspectorDown,
    OtherProtocols,
    Policy,
    PortRange,
)
from dlp.model import Action, DestinationAction, Mode
from dlp.policy import DestinationRow, PolicyFlag, RuleRow, decide
from dlp.policy.rows import destination_rows, flags_of

ABI = Path(__file__).resolve().parents[2] / "bpf" / "abi.h"


def test_flags_are_those_of_the_kernel():
    """Names and numbers agree with enum dlp_policy_flag."""
    body = re.search(r"enum dlp_policy_flag \{(.*?)\}", ABI.read_text(), re.DOTALL)
    assert body
    kernel = {name: int(number) for name, number in re.findall(r"DLP_P_(\w+) = (\d+)", body[1])}

    assert kernel == {flag.name: flag.value for flag in PolicyFlag}


@pytest.mark.parametrize(
    ("policy", "flags"),
    [
        (Policy(name="p"), PolicyFlag.OVER_BUDGET_DROP),
        (Policy(name="p", over_budget=Action.ALERT), PolicyFlag(0)),
        (
            Policy(name="p", over_budget=Action.ALERT, mode=Mode.MONITOR),
            PolicyFlag.MONITOR,
        ),
        (
            Policy(name="p", over_budget=Action.ALERT, on_inspector_down=InspectorDown.CLOSED),
            PolicyFlag.INSPECTOR_DOWN_CLOSED,
        ),
        (
            Policy(name="p", over_budget=Action.ALERT, other_protocols=OtherProtocols.DROP),
            PolicyFlag.OTHER_DROP,
        ),
    ],
)
def test_flags_of(policy, flags):
    """Each setting is one flag."""

    assert flags == flags_of(policy)


def test_destination_rows():
    """IPv4 is mapped, each port range is a row, no ports are all."""
    four = Destination(
        network=ip_network("10.0.0.0/8"),
        ports=(PortRange(low=1, high=2), PortRange(low=9, high=9)),
        action=DestinationAction.EXEMPT,
    )
    six = Destination(network=ip_network("2001:db8::/32"), action=DestinationAction.DENY)

    mapped = bytes(10) + b"\xff\xff\x0a\0\0\0"
    mask = b"\xff" * 13 + bytes(3)
    assert [
        DestinationRow(
            address=mapped, mask=mask, port_low=low, port_high=high, action=DestinationAction.EXEMPT
        )
        for low, high in ((1, 2), (9, 9))
    ] == list(destination_rows(four))
    assert [
        DestinationRow(
            address=b"\x20\x01\x0d\xb8" + bytes(12),
            mask=b"\xff" * 4 + bytes(12),
            port_low=0,
            port_high=65535,
            action=DestinationAction.DENY,
        )
    ] == list(destination_rows(six))


@given(
    st.lists(
        st.tuples(
            st.builds(RuleRow, st.sampled_from(Action), st.integers(0, 9), st.integers(1, 64)),
            st.integers(1, 64),
        )
    )
)
def test_decide(matches):
    """Drop before hold before mirror before alert before allow; below a threshold nothing."""
    order = (Action.DROP, Action.HOLD, Action.MIRROR, Action.ALERT)
    reached = {row.action for row, count in matches if count >= row.threshold}
    expected = next((action for action in order if action in reached), Action.ALLOW)

    assert expected == decide(matches)
