"""Which signatures a rule names."""

from itertools import product

import pytest

from dlp.config import PolicyFileError, Rule, Selection, check_signatures
from dlp.config.selecting import named_by
from dlp.model import Action, Subject

CARD = Subject(
    "pci.card.visa",
    category="payment-card",
    tags=("global", "luhn"),
    confidence="medium",
    severity="high",
    controls=("PCI-DSS-3.4.1", "GDPR-32"),
)
TOKEN = Subject(
    "secrets.git.hub",
    category="credential",
    tags=("global",),
    confidence="high",
    severity="critical",
    controls=("SOC2-CC6.1", "PCI-DSSX-1"),
)
BOTH = (CARD, TOKEN)


def test_unknown_signatures(policy_file, with_policy):
    """A glob that matches no signature is an error with its line and the nearest id."""
    config = policy_file.load(
        with_policy(
            'rules:\n  - {signatures: ["pci.*"], action: drop}\n  - signatures:\n'
            "      - pii.us.ssm\n      - pcl.*\n      - zzz\n    action: drop\n"
            "  - {signatures: Pci.*, action: drop}"
        )
    )

    with pytest.raises(PolicyFileError) as raised:
        check_signatures(config, [*map(Subject, ("pci.card.visa", "pii.us.ssn"))])

    found = [
        (problem.place.line, problem.place.key, problem.message, problem.remedy)
        for problem in raised.value.problems
    ]
    key = "policies[0].rules"
    assert [
        (8, f"{key}[1].signatures[0]", "no signature matches 'pii.us.ssm'"),
        (9, f"{key}[1].signatures[1]", "no signature matches 'pcl.*'"),
        (10, f"{key}[1].signatures[2]", "no signature matches 'zzz'"),
        (12, f"{key}[2].signatures", "no signature matches 'Pci.*'"),
    ] == [problem[:3] for problem in found]
    assert "did you mean 'pii.us.ssn'?" == found[0][3]
    assert "did you mean 'pci.*'?" == found[1][3]
    assert "packs loaded: pci, pii" in found[2][3]
    known = ("pci.card.visa", "pii.us.ssm", "pcl.x", "zzz", "Pci.x")
    check_signatures(config, [*map(Subject, known)])


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(category=("payment-card",)), [CARD]),
        (Selection(category=("payment-card", "credential")), [CARD, TOKEN]),
        (Selection(tag=("luhn",)), [CARD]),
        (Selection(tag=("global",), confidence=("high",)), [TOKEN]),
        (Selection(tag=("global",), severity=("low",)), []),
        (Selection(framework=("PCI-DSS",)), [CARD]),
        (Selection(framework=("PCI-DSS-3.4.1",)), [CARD]),
        (Selection(framework=("PCI",)), [CARD, TOKEN]),
        (Selection(framework=("PCI-DS",)), []),
        (Selection(framework=("SOC2", "GDPR"), severity=("high", "critical")), [CARD, TOKEN]),
    ],
)
def test_selection(selection, expected):
    """Every key given must fit, within a key any; a framework ends at a hyphen or whole."""
    rule = Rule(select=selection, action=Action.DROP)

    assert expected == [one for one in BOTH if named_by(rule)(one)]


def test_globs_and_selection():
    """With both, a signature must fit both."""
    for glob, tag in product(("pci.*", "*"), ("global", "luhn")):
        rule = Rule(signatures=(glob,), select=Selection(tag=(tag,)), action=Action.DROP)
        expected = [one for one in BOTH if (glob == "*" or one is CARD) and tag in one.tags]

        assert expected == [one for one in BOTH if named_by(rule)(one)]


@pytest.mark.parametrize(
    ("select", "key", "message", "remedy"),
    [
        (
            "{category: [credentials]}",
            "category[0]",
            "no signature has the category 'credentials'",
            "did you mean 'credential'?",
        ),
        ("{tag: [global, none]}", "tag[1]", "no signature has the tag 'none'", "there are: "),
        ("{framework: HIPAA}", "framework", "no signature has the framework 'HIPAA'", "there are"),
        ("{tag: luhn, severity: low}", "", "no signature fits all keys of the selection", "leave"),
    ],
)
def test_selection_of_nothing(policy_file, with_policy, select, key, message, remedy):
    """A value that no signature has, or keys that none fits, are errors with line and remedy."""
    config = policy_file.load(with_policy(f"rules:\n  - {{select: {select}, action: drop}}"))

    with pytest.raises(PolicyFileError) as raised:
        check_signatures(config, BOTH)

    (problem,) = raised.value.problems
    expected = f"policies[0].rules[0].select{'.' if key else ''}{key}"
    assert (6, expected) == (problem.place.line, problem.place.key)
    assert message in problem.message
    assert remedy in problem.remedy


def test_globs_that_the_selection_excludes(policy_file, with_policy):
    """Globs and selection that fit no signature together are an error of the selection."""
    rule = "{signatures: pci.*, select: {category: credential}, action: drop}"
    config = policy_file.load(with_policy(f"rules:\n  - {rule}"))

    with pytest.raises(PolicyFileError, match="the selection and its globs"):
        check_signatures(config, BOTH)
