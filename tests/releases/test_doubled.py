"""The policies of a union."""

from __future__ import annotations

import pytest

from dlp.config import load
from dlp.errors import ConfigError
from dlp.model import Action
from dlp.policy import STRICTEST, PolicySet
from dlp.releases.canary import Canary
from dlp.releases.content import packs_of
from dlp.releases.doubled import DoubledPolicies
from dlp.releases.union import unite
from dlp.signatures.subjects import subjects
from tests.releases.conftest import OTHER, PACK

LIVE = packs_of({"own": PACK.encode()}, "live")
NEXT = packs_of({"own": PACK.replace("LONGKEY", "ELSEKEY").encode(), "other": OTHER.encode()}, "n")
UNION = unite(LIVE, NEXT)  # own (live), other and own (candidate's)
SUBJECTS = subjects(UNION.packs)
TEXT = """\
version: 1
signatures: [pci]
workloads: {netns: [web, db]}
policies:
  - name: webs
    match: {netns: web}
    rules: [{signatures: ["own.*"], action: hold}, {signatures: ["*"], action: drop}]
  - name: rest
    mode: monitor
    rules: [{signatures: ["*"], action: alert}]
"""


@pytest.fixture
def config(tmp_path):
    (tmp_path / "dlp.yaml").write_text(TEXT)
    return load(tmp_path / "dlp.yaml")


def acting(policies, number):
    """Signatures that act under a policy, and those that are only counted."""
    rows = policies.rules(number)
    return (
        {index: row.action for index, row in rows.items() if not row.shadow},
        {index: row.action for index, row in rows.items() if row.shadow},
    )


def test_shadow(config):
    """Each workload keeps its policy; what acts in it is what acted before."""
    policies = DoubledPolicies(config, UNION, SUBJECTS, None)
    alone = PolicySet(config, subjects(LIVE))

    assert alone.names == policies.names
    for name in ("web", "db"):
        number = alone.resolve(name, None)
        assert number == policies.resolve(name, None)
        assert dict(alone.rules(number)) == {
            index: row for index, row in policies.rules(number).items() if not row.shadow
        }
    assert dict(alone.rules(STRICTEST)) == {
        index: row for index, row in policies.rules(STRICTEST).items() if not row.shadow
    }
    assert ({0: Action.HOLD}, {1: Action.DROP, 2: Action.HOLD}) == acting(policies, 1)


def test_canary(config):
    """A chosen workload has its own policy with the candidate's rules, settings included."""
    policies = DoubledPolicies(config, UNION, SUBJECTS, Canary(netns=("db",)))

    web, db = policies.resolve("web", None), policies.resolve("db", None)
    assert (1, 4) == (web, db)
    assert ({1: Action.ALERT, 2: Action.ALERT}, {}) == acting(policies, db)
    assert ("rest", policies.mode(2)) == (policies.names[db], policies.mode(db))
    assert (4,) == policies.applicable("db")
    assert (1,) == policies.applicable("web")
    rows = policies.kernel_policies(0.0).policies
    assert 5 == len(rows) == len(policies)
    assert rows[2].flags == rows[4].flags


def test_room(config):
    """A canary for which the kernel has no room for each policy twice is refused by name."""
    extra = "".join(f"  - {{name: p{n}, match: {{netns: x{n}}}, rules: []}}\n" for n in range(31))
    config.file.write_text(TEXT.replace("policies:\n", f"policies:\n{extra}"))
    many = load(config.file)

    with pytest.raises(ConfigError, match="at most 31 policies"):
        DoubledPolicies(many, UNION, SUBJECTS, Canary(percent=5))
    assert 34 == len(DoubledPolicies(many, UNION, SUBJECTS, None))
