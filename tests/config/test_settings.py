"""The settings of one policy."""

import pytest

from dlp.config import Escalation, InspectorDown
from dlp.model import Action

KEY = "policies[0]"
OPEN, CLOSED = InspectorDown.OPEN, InspectorDown.CLOSED


@pytest.mark.parametrize(
    ("written", "mirror", "hold"),
    [
        ("open", OPEN, OPEN),
        ("closed", CLOSED, CLOSED),
        ("{mirror: closed}", CLOSED, CLOSED),
        ("{hold: open}", OPEN, OPEN),
        ("{mirror: closed, hold: open}", CLOSED, OPEN),
        ("{}", OPEN, CLOSED),
    ],
)
def test_inspector_down(policy_file, with_policy, written, mirror, hold):
    """One word is for mirror and hold, a mapping for each; left out, open and closed."""
    policy = policy_file.load(with_policy(f"on_inspector_down: {written}")).policies[0]

    assert (mirror, hold) == (policy.on_inspector_down, policy.on_hold_timeout)


@pytest.mark.parametrize(
    ("window", "seconds"),
    [("1s", 1.0), ("30s", 30.0), ("5m", 300.0), ("1h", 3600.0), ("24h", 86400.0)],
)
def test_escalation(policy_file, with_policy, window, seconds):
    """Durations are a number and a unit."""
    text = with_policy(f"escalate: {{verdicts: 3, window: {window}, action: quarantine}}")

    assert Escalation(verdicts=3, window_s=seconds) == policy_file.load(text).policies[0].escalate


def test_hold(policy_file, with_policy):
    """Hold is an action of rules."""
    policy = policy_file.load(with_policy("rules: [{signatures: a.*, action: hold}]")).policies[0]

    assert Action.HOLD == policy.rules[0].action


@pytest.mark.parametrize(("written", "meant"), [("true", True), ("false", False)])
def test_kill(policy_file, with_policy, written, meant):
    """A truth is one of two words."""
    assert meant is policy_file.load(with_policy(f"kill: {written}")).policies[0].kill


@pytest.mark.parametrize("milliseconds", [50, 10_000])
def test_hold_timeout(policy_file, with_policy, milliseconds):
    """Both bounds are included."""
    text = with_policy(f"hold_timeout_ms: {milliseconds}")

    assert milliseconds == policy_file.load(text).policies[0].hold_timeout_ms


ESCALATE = "escalate: {verdicts: 5, window: 5m, action: quarantine}"


@pytest.mark.parametrize(
    ("keys", "line", "key", "part", "remedy"),
    [
        ("unowned: pass", 5, "unowned", "expected scan or drop", "scan"),
        ("urgent: allow", 5, "urgent", "expected scan or drop", "scan"),
        ("mptcp: true", 5, "mptcp", "expected scan or drop", "scan"),
        ("fragments: dorp", 5, "fragments", "expected scan or drop", "did you mean 'drop'?"),
        ("other_protocol: drop", 5, "other_protocol", "unknown key", "'other_protocols'?"),
        ("over_budget: mirror", 5, "over_budget", "expected drop or alert", "drop"),
        ("on_overload: drop", 5, "on_overload", "expected open or closed", "open"),
        ("hold_udp: hold", 5, "hold_udp", "expected drop or mirror", "drop"),
        ("open_end: hold", 5, "open_end", "expected wait or drop", "wait"),
        ("loopback: true", 5, "loopback", "expected ignore or scan", "ignore"),
        ("kill: yes", 5, "kill", "expected true or false", "true"),
        ("hold_timeout_ms: 49", 5, "hold_timeout_ms", "from 50 to 10000", "range"),
        ("hold_timeout_ms: 10001", 5, "hold_timeout_ms", "from 50 to 10000", "range"),
        ("hold_timeout_ms: 1s", 5, "hold_timeout_ms", "a whole number", "digits"),
        ("on_inspector_down: [open]", 5, "on_inspector_down", "found a list", "open"),
        (
            "on_inspector_down:\n  mirror: open\n  hold: shut",
            7,
            "on_inspector_down.hold",
            "found 'shut', expected open or closed",
            "write open or closed",
        ),
        (
            "on_inspector_down: {held: open}",
            5,
            "on_inspector_down.held",
            "unknown key 'held'",
            "did you mean 'hold'?",
        ),
        ("escalate: 5", 5, "escalate", "expected a mapping", "key"),
        ("escalate: {window: 5m, action: quarantine}", 5, "escalate", "'verdicts' is", "verdicts:"),
        ("escalate: {verdicts: 5, action: quarantine}", 5, "escalate", "'window' is", "window:"),
        ("escalate: {verdicts: 5, window: 5m}", 5, "escalate", "'action' is", "quarantine"),
        (ESCALATE.replace("quarantine", "kill"), 5, "escalate.action", "expected quarantine", ""),
        (ESCALATE.replace("s: 5", "s: 0"), 5, "escalate.verdicts", "from 1 to 10000", "range"),
        (ESCALATE.replace("5m", "5"), 5, "escalate.window", "expected a duration", "30s, 5m or"),
        (ESCALATE.replace("5m", "5 m"), 5, "escalate.window", "from 1s to 24h", "30s, 5m or"),
        (ESCALATE.replace("5m", "[5m]"), 5, "escalate.window", "found a list", "30s, 5m or"),
        (ESCALATE.replace("5m", "0s"), 5, "escalate.window", "from 1s to 24h", "in that range"),
        (ESCALATE.replace("5m", "25h"), 5, "escalate.window", "from 1s to 24h", "in that range"),
    ],
)
def test_bad_setting(policy_file, with_policy, keys, line, key, part, remedy):
    """Each mistake is told with its line, key, what was found and how to mend it."""
    found = policy_file.problems(with_policy(keys))

    assert any(
        (line, f"{KEY}.{key}") == problem[:2] and part in problem[2] and remedy in problem[3]
        for problem in found
    ), found
