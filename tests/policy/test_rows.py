"""Rows of the kernel's tables."""

import re
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlp.config import (
    Destination,
    Handling,
    InspectorDown,
    OpenEnd,
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


STRICT = (
    PolicyFlag.OTHER_DROP
    | PolicyFlag.OVER_BUDGET_DROP
    | PolicyFlag.UNOWNED_DROP
    | PolicyFlag.URGENT_DROP
    | PolicyFlag.MPTCP_DROP
    | PolicyFlag.OPEN_END_WAIT
    | PolicyFlag.HOLD_CLOSED
    | PolicyFlag.HOLD_UDP_DROP
)


@pytest.mark.parametrize(
    ("setting", "value", "flag"),
    [
        ("mode", Mode.MONITOR, PolicyFlag.MONITOR),
        ("on_inspector_down", InspectorDown.CLOSED, PolicyFlag.INSPECTOR_DOWN_CLOSED),
        ("other_protocols", Handling.SCAN, PolicyFlag.OTHER_DROP),
        ("over_budget", Action.ALERT, PolicyFlag.OVER_BUDGET_DROP),
        ("unowned", Handling.SCAN, PolicyFlag.UNOWNED_DROP),
        ("urgent", Handling.SCAN, PolicyFlag.URGENT_DROP),
        ("mptcp", Handling.SCAN, PolicyFlag.MPTCP_DROP),
        ("fragments", Handling.DROP, PolicyFlag.FRAGMENTS_DROP),
        ("open_end", OpenEnd.DROP, PolicyFlag.OPEN_END_WAIT),
        ("on_hold_timeout", InspectorDown.OPEN, PolicyFlag.HOLD_CLOSED),
        ("hold_udp", Action.MIRROR, PolicyFlag.HOLD_UDP_DROP),
        ("on_overload", InspectorDown.CLOSED, PolicyFlag.OVERLOAD_CLOSED),
    ],
)
def test_flags_of(setting, value, flag):
    """Each setting is one flag, and the defaults are the strict ones."""

    assert STRICT == flags_of(Policy(name="p"))
    assert STRICT ^ flag == flags_of(replace(Policy(name="p"), **{setting: value}))


def test_every_flag_is_a_setting():
    """No flag of the kernel's is left without a key."""
    everything = Policy(
        name="p",
        mode=Mode.MONITOR,
        on_inspector_down=InspectorDown.CLOSED,
        fragments=Handling.DROP,
        on_overload=InspectorDown.CLOSED,
    )

    assert sum(PolicyFlag) == flags_of(everything)


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
