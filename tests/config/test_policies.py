"""The grammar of one policy."""

import pytest

from dlp.config import PortRange
from dlp.model import Action

DIGEST = "ab" * 32
EXCEPTION = f"{{digest: {DIGEST}, until: 2027-01-01, reason: x}}"
KEY = "policies[0]"


@pytest.mark.parametrize(
    ("keys", "line", "key", "part", "remedy"),
    [
        ("nam: x", 5, "nam", "unknown key 'nam'", "did you mean 'name'?"),
        ("mode: Enforce", 5, "mode", "expected enforce or monitor", "did you mean 'enforce'?"),
        ("mode: zzz", 5, "mode", "found 'zzz'", "write enforce or monitor"),
        ("mode: [enforce]", 5, "mode", "found a list", "write enforce"),
        ("on_inspector_down: shut", 5, "on_inspector_down", "expected open or closed", "open"),
        ("uninspectable: mirror", 5, "uninspectable", "allow, alert or drop", "allow"),
        ("other_protocols: allow", 5, "other_protocols", "expected scan or drop", "scan"),
        ("over_budget: allow", 5, "over_budget", "expected drop or alert", "drop"),
        ("match: web", 5, "match", "expected a mapping", "{}"),
        ("match: {netnss: web}", 5, "match.netnss", "unknown key", "did you mean 'netns'?"),
        ("match: {netns: []}", 5, "match.netns", "matches nothing", "leave the key out"),
        ("match: {cgroup: {}}", 5, "match.cgroup", "found a mapping", "list"),
        ("match: {netns: [[a]]}", 5, "match.netns[0]", "found a list", "write"),
        ("rules: [{}]", 5, "rules[0]", "'signatures' is missing", "pci.*"),
        ("rules: [{signatures: a.*}]", 5, "rules[0]", "'action' is missing", "drop"),
        ("rules: [{select: {}, action: drop}]", 5, "rules[0].select", "by nothing", "category"),
        ("rules: [{select: {tags: a}, action: drop}]", 5, "rules[0].select.tags", "unknown", "tag"),
        ("rules: [{select: {tag: []}, action: drop}]", 5, "rules[0].select.tag", "empty", "leave"),
        (
            "rules: [{select: {severity: hihg}, action: drop}]",
            5,
            "rules[0].select.severity",
            "found 'hihg', expected low, medium, high or critical",
            "did you mean 'high'?",
        ),
        ("rules: [x]", 5, "rules[0]", "expected a mapping", "key"),
        (
            "rules:\n  - {signatures: a.*, action: drop}\n  - {signatures: a.*, action: dorp}",
            7,
            "rules[1].action",
            "found 'dorp', expected allow, alert, mirror, hold or drop",
            "did you mean 'drop'?",
        ),
        (
            "rules: [{signatures: a.*, acton: drop}]",
            5,
            "rules[0].acton",
            "unknown key",
            "did you mean 'action'?",
        ),
        ("rules: [{signatures: [], action: drop}]", 5, "rules[0].signatures", "empty", "pci.*"),
        ("rules: [{signatures: [a b], action: drop}]", 5, "rules[0].signatures[0]", "glob", "pci"),
        (
            "rules: [{signatures: a.*, action: drop, threshold: 2}]",
            5,
            "rules[0].threshold",
            "expected a mapping",
            "key",
        ),
        (
            "rules: [{signatures: a.*, action: drop, threshold: {}}]",
            5,
            "rules[0].threshold",
            "'count' is missing",
            "1 to 64",
        ),
        (
            "rules: [{signatures: a.*, action: drop, threshold: {count: 65}}]",
            5,
            "rules[0].threshold.count",
            "from 1 to 64",
            "range",
        ),
        (
            "rules: [{signatures: a.*, action: drop, threshold: {count: 0}}]",
            5,
            "rules[0].threshold.count",
            "from 1 to 64",
            "range",
        ),
        (
            "rules: [{signatures: a.*, action: drop, threshold: {count: 2, window: 25h}}]",
            5,
            "rules[0].threshold.window",
            "from 1s to 24h",
            "range",
        ),
        (
            "rules: [{signatures: a.*, action: drop, threshold: {count: 2, window: 5}}]",
            5,
            "rules[0].threshold.window",
            "from 1s to 24h",
            "30s, 5m or 1h",
        ),
        ("destinations: [{}]", 5, "destinations[0]", "'cidr' is missing", "cidr:"),
        ("destinations: [{cidr: fd00::1}]", 5, "destinations[0]", "'action' is missing", "exempt"),
        (
            "destinations: [{cidr: fd00::1, action: allow}]",
            5,
            "destinations[0].action",
            "expected inspect, exempt or deny",
            "inspect",
        ),
        (
            "destinations: [{cidr: fd00::1, action: deny, port: 1}]",
            5,
            "destinations[0].port",
            "unknown key 'port'",
            "did you mean 'ports'?",
        ),
        (
            "destinations: [{cidr: fd00::1, action: deny, ports: []}]",
            5,
            "destinations[0].ports",
            "empty list",
            "leave the key out",
        ),
        ("exceptions: [{}]", 5, "exceptions[0]", "'digest' is missing", "dlp digest"),
        ("exceptions: [{}]", 5, "exceptions[0]", "'until' is missing", "until:"),
        ("exceptions: [{}]", 5, "exceptions[0]", "'reason' is missing", "say why"),
        (
            "exceptions: [{digest: ab, until: 2027-01-01, reason: x}]",
            5,
            "exceptions[0].digest",
            "expected 64 hexadecimal digits",
            "dlp digest",
        ),
        (
            f"exceptions: [{{digest: {DIGEST}, until: soon, reason: x}}]",
            5,
            "exceptions[0].until",
            "expected a date",
            "2027-01-31",
        ),
        (
            f"exceptions: [{{digest: {DIGEST}, until: 2027-02-30, reason: x}}]",
            5,
            "exceptions[0].until",
            "no calendar has",
            "2027-01-31",
        ),
        (
            f"exceptions: [{{digest: {DIGEST}, until: 2027-01-01, reason: ' '}}]",
            5,
            "exceptions[0].reason",
            "empty text",
            "write",
        ),
        (
            f"exceptions:\n  - {EXCEPTION}\n  - {EXCEPTION}",
            7,
            "exceptions[1]",
            "stands in line 6 already",
            "remove",
        ),
    ],
)
def test_bad_policy(policy_file, with_policy, keys, line, key, part, remedy):
    """Each mistake is told with its line, key, what was found and how to mend it."""
    found = policy_file.problems(with_policy(keys))

    assert any(
        (line, f"{KEY}.{key}") == problem[:2] and part in problem[2] and remedy in problem[3]
        for problem in found
    ), found


@pytest.mark.parametrize(
    ("entry", "line", "key", "part"),
    [
        ("{rules: []}", 5, "policies[1]", "the key 'name' is missing"),
        ("{name: default, rules: []}", 5, "policies[1].name", "taken by the policy in line 4"),
        ("{name: a b, rules: []}", 5, "policies[1].name", "expected a name"),
        (f"{{name: {'x' * 65}, rules: []}}", 5, "policies[1].name", "expected a name"),
        ("{name: b}", 5, "policies[1]", "the key 'rules' is missing"),
    ],
)
def test_bad_second_policy(policy_file, entry, line, key, part):
    """Names are needed, unique and printable; rules are never forgotten in silence."""
    found = policy_file.problems(
        f"version: 1\nsignatures: [pci]\npolicies:\n  - {{name: default, rules: []}}\n  - {entry}\n"
    )

    assert [(line, key)] == [problem[:2] for problem in found]
    assert part in found[0][2]


def test_destination_rows(policy_file, with_policy):
    """Each port of a destination is a row, of which the kernel holds 32."""

    def build(ports: int) -> str:
        listed = ", ".join(str(port) for port in range(1, ports + 1))
        return with_policy(
            "destinations:\n  - {cidr: fd00::1, action: deny}\n"
            f"  - {{cidr: 10.0.0.1, action: deny, ports: [{listed}]}}"
        )

    assert 2 == len(policy_file.load(build(31)).policies[0].destinations)
    assert (5, f"{KEY}.destinations") == policy_file.problems(build(32))[0][:2]


def test_single_values(policy_file, with_policy):
    """Where a list is due, one value will do."""
    policy = policy_file.load(
        with_policy(
            "match: {netns: web}\nrules: [{signatures: a.*, action: alert}]\n"
            "destinations: [{cidr: fd00::1, action: deny, ports: 1-3}]"
        )
    ).policies[0]

    assert ("web",) == policy.match.netns
    assert ("a.*",) == policy.rules[0].signatures
    assert Action.ALERT == policy.rules[0].action
    assert (PortRange(low=1, high=3),) == policy.destinations[0].ports


def test_too_many_rules(policy_file, with_policy):
    """A rule's number is one byte in the kernel."""
    rules = "rules:" + "\n  - {signatures: a, action: drop}" * 257

    assert "found 257 rules" in policy_file.problems(with_policy(rules))[0][2]
