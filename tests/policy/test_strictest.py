"""The synthesised policy is never weaker than one of the file's."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlp.config import (
    Destination,
    Escalation,
    Handling,
    InspectorDown,
    Loopback,
    OpenEnd,
    Policy,
    PortRange,
    Rule,
)
from dlp.errors import ConfigError
from dlp.model import Action, DestinationAction, Mode, Subject
from dlp.policy import STRICTEST, PolicyFlag, PolicySet, RuleRow, decide
from dlp.policy.rows import FOREVER, DestinationRow
from dlp.policy.strictest import strictest_rules

IDS = ("a", "b", "c")
SUBJECTS = tuple(map(Subject, IDS))

policies = st.lists(
    st.builds(
        Policy,
        name=st.just("p"),
        mode=st.sampled_from(Mode),
        on_inspector_down=st.sampled_from(InspectorDown),
        uninspectable=st.sampled_from([Action.ALLOW, Action.ALERT, Action.DROP]),
        on_hold_timeout=st.sampled_from(InspectorDown),
        on_overload=st.sampled_from(InspectorDown),
        hold_timeout_ms=st.sampled_from([50, 500, 10_000]),
        hold_udp=st.sampled_from([Action.MIRROR, Action.DROP]),
        open_end=st.sampled_from(OpenEnd),
        unowned=st.sampled_from(Handling),
        urgent=st.sampled_from(Handling),
        mptcp=st.sampled_from(Handling),
        fragments=st.sampled_from(Handling),
        other_protocols=st.sampled_from(Handling),
        loopback=st.sampled_from(Loopback),
        kill=st.booleans(),
        escalate=st.none()
        | st.builds(
            Escalation,
            verdicts=st.integers(1, 5),
            window_s=st.integers(1, 600).map(float),
        ),
        over_budget=st.sampled_from([Action.ALERT, Action.DROP]),
        rules=st.lists(
            st.builds(
                Rule,
                signatures=st.lists(st.sampled_from(["*", *IDS]), min_size=1).map(tuple),
                action=st.sampled_from(Action),
                threshold=st.integers(1, 4),
                window_s=st.sampled_from([0, 0, 60, 300]),
            ),
            max_size=3,
        ).map(tuple),
    ),
    min_size=1,
    max_size=4,
)
# A flow: signatures of its matches with the values matched.
flows = st.lists(st.tuples(st.integers(0, len(IDS) - 1), st.integers(0, 4)), max_size=8)


def outcome(chosen: PolicySet, policy: int, flow: list[tuple[int, int]]) -> Action:
    """The strongest action that a flow meets, distinct values counted per rule."""
    seen: dict[int, set[tuple[int, int]]] = {}
    strongest = Action.ALLOW
    for signature, value in flow:
        row = chosen.action_for(policy, signature)
        if row is None:
            continue
        values = seen.setdefault(row.rule_index, set())
        values.add((signature, value))
        strongest = max(strongest, decide([(row, len(values))]))
    return strongest


@given(listed=policies, flow=flows)
def test_drops_what_any_drops(config_of, listed, flow):
    """A flow that one policy drops is dropped by the strictest too, thresholds and all."""
    chosen = PolicySet(config_of(*listed), SUBJECTS)
    each = [outcome(chosen, number, flow) for number in range(1, len(chosen))]

    if Action.DROP in each:
        assert Action.DROP == outcome(chosen, STRICTEST, flow)


@given(listed=policies)
def test_rows_and_flags(config_of, listed):
    """Per signature the strongest action, of those the lowest threshold; each setting likewise."""
    chosen = PolicySet(config_of(*listed), SUBJECTS)
    strictest, *own = chosen.kernel_policies(0).policies

    for index in range(len(IDS)):
        rows = [policy.rules[index] for policy in own if index in policy.rules]
        expected = None
        if rows:
            action = max(row.action for row in rows)
            lowest = min(row.threshold for row in rows if row.action == action)
            windows = {row.window_s for row in rows if row.action == action}
            window = FOREVER if 0 in windows and len(windows) > 1 else max(windows)
            expected = RuleRow(action, 0, lowest, window_s=window if lowest > 1 else 0)
        assert expected == strictest.rules.get(index)
    assert max(policy.uninspectable for policy in own) == strictest.uninspectable
    for flag in set(PolicyFlag) - {PolicyFlag.MONITOR, PolicyFlag.OPEN_END_WAIT}:
        assert any(flag in policy.flags for policy in own) == (flag in strictest.flags)
    waits = [PolicyFlag.OPEN_END_WAIT in policy.flags for policy in own]
    assert all(waits) == (PolicyFlag.OPEN_END_WAIT in strictest.flags)
    monitors = [PolicyFlag.MONITOR in policy.flags for policy in own]
    assert all(monitors) == (PolicyFlag.MONITOR in strictest.flags)
    assert (chosen.mode(STRICTEST) is Mode.MONITOR) == all(monitors)


@given(listed=policies)
def test_hold_timeout(config_of, listed):
    """Where its end blocks, the least; where it lets out, the most."""
    strictest, *own = PolicySet(config_of(*listed), SUBJECTS).kernel_policies(0).policies
    blocks = any(PolicyFlag.HOLD_CLOSED in policy.flags for policy in own)

    pick = min if blocks else max
    assert pick(policy.hold_timeout_ms for policy in own) == strictest.hold_timeout_ms


@given(listed=policies)
def test_settings_beside_the_flags(config_of, listed):
    """Loopback and kill where one says so; escalation wherever one's would."""
    settings = PolicySet(config_of(*listed), SUBJECTS).settings(STRICTEST)
    given_ones = [policy.escalate for policy in listed if policy.escalate]

    assert any(one.kill for one in listed) == settings.kill
    assert any(one.loopback is Loopback.SCAN for one in listed) == (
        settings.loopback is Loopback.SCAN
    )
    assert bool(given_ones) == (settings.escalate is not None)
    for one in given_ones:
        assert settings.escalate.verdicts <= one.verdicts
        assert settings.escalate.window_s >= one.window_s


def deny(network: str, *ports: tuple[int, int]) -> Destination:
    """A destination that is denied."""
    ranges = tuple(PortRange(low=low, high=high) for low, high in ports)
    return Destination(network=ip_network(network), ports=ranges, action=DestinationAction.DENY)


def test_destinations(config_of):
    """Only what is denied somewhere, those inside others left out, exemptions never."""
    exempt = Destination(network=ip_network("192.0.2.0/24"), action=DestinationAction.EXEMPT)
    one = Policy(name="a", destinations=(exempt, deny("10.1.0.0/16", (80, 80)), deny("::1")))
    two = Policy(
        name="b", destinations=(deny("10.0.0.0/8", (1, 443)), deny("10.0.0.0/8", (22, 22)))
    )
    strictest = PolicySet(config_of(one, two), SUBJECTS).kernel_policies(0).policies[STRICTEST]

    expected = (
        DestinationRow(
            address=bytes(10) + b"\xff\xff\x0a\0\0\0",
            mask=b"\xff" * 13 + bytes(3),
            port_low=1,
            port_high=443,
            action=DestinationAction.DENY,
        ),
        DestinationRow(
            address=bytes(15) + b"\x01",
            mask=b"\xff" * 16,
            port_low=0,
            port_high=65535,
            action=DestinationAction.DENY,
        ),
    )
    assert expected == strictest.destinations


def test_too_many_destinations(config_of):
    """More denied destinations than the kernel holds are an error, not a gap."""
    listed = [
        Policy(
            name=f"p{number}",
            destinations=tuple(deny(f"10.{number}.{entry}.0/24") for entry in range(11)),
        )
        for number in range(3)
    ]

    with pytest.raises(ConfigError, match="33 rows together"):
        PolicySet(config_of(*listed), SUBJECTS)
    assert 22 == len(
        PolicySet(config_of(*listed[:2]), SUBJECTS).kernel_policies(0).policies[0].destinations
    )


def test_windows():
    """The longest window of the lowest count; flow and window together make one without end."""
    flow = RuleRow(Action.DROP, 1, 3)
    short, long = RuleRow(Action.DROP, 2, 3, window_s=60), RuleRow(Action.DROP, 3, 5, window_s=600)

    assert {0: RuleRow(Action.DROP, 0, 3, window_s=600)} == strictest_rules([{0: short}, {0: long}])
    assert {0: RuleRow(Action.DROP, 0, 3, window_s=FOREVER)} == strictest_rules(
        [{0: flow}, {0: long}]
    )
    assert {0: RuleRow(Action.DROP, 0, 3)} == strictest_rules([{0: flow}, {0: flow}])
    assert {0: RuleRow(Action.DROP, 0, 1)} == strictest_rules(
        [{0: RuleRow(Action.DROP, 0, 1)}, {0: long}]
    )


def test_shadow_rows_are_left_out():
    """What is only counted makes nothing stricter."""
    live, shadow = RuleRow(Action.ALERT, 0, 2), RuleRow(Action.DROP, 0, 1, shadow=True)

    assert {0: live} == strictest_rules([{0: live}, {0: shadow, 1: shadow}])
    assert Action.ALERT == decide([(live, 2), (shadow, 2)])
