"""What a configuration asks for its namespaces."""

from pathlib import Path

from dlp.config import load
from dlp.config.model import AttachWay, NewWorkloads
from dlp.enforcement.cover import Terms
from dlp.enforcement.rules import Rules
from dlp.model import Mode, Subject, Workload, WorkloadState
from dlp.policy import PolicySet

FILE = """
version: 1
signatures: [pci]
workloads: {netns: [web, api, lax, odd], new_workloads: open, attach: clsact}
policies:
  - {name: api, match: {netns: api}, rules: [{signatures: ["pci.*"], action: hold}]}
  - {name: lax, match: {netns: lax}, mode: monitor, loopback: scan, rules: []}
  - {name: group, match: {netns: odd, cgroup: "/a"}, loopback: scan, rules: []}
  - {name: odd, match: {netns: odd}, mode: monitor, rules: []}
  - {name: default, rules: [{signatures: ["pci.*"], action: drop}]}
"""


def rules_of(tmp_path: Path, card_image) -> Rules:
    file = tmp_path / "dlp.yaml"
    file.write_text(FILE + f"state_dir: {tmp_path}\n")
    config = load(file)
    return Rules.of(config, PolicySet(config, [Subject(one.id) for one in card_image.signatures]))


def test_of_a_configuration(tmp_path, card_image):
    """Names, way of attaching, and whether the new may send."""
    rules = rules_of(tmp_path, card_image)

    assert ("web", "api", "lax", "odd") == rules.netns
    assert (AttachWay.CLSACT, NewWorkloads.OPEN) == (rules.attach, rules.new)


def test_terms(tmp_path, card_image):
    """Of each namespace by the policies that its sockets can have."""
    rules = rules_of(tmp_path, card_image)
    plain = Terms(attach=AttachWay.CLSACT, closed=False)

    assert plain == rules.terms("web")
    assert (True, False) == (rules.terms("api").holds, rules.terms("api").monitor)
    assert (True, True) == (rules.terms("lax").loopback, rules.terms("lax").monitor)


def test_monitor_mode_is_of_all(tmp_path, card_image):
    """A guard cannot tell cgroups apart: one policy that enforces has it enforce."""
    terms = rules_of(tmp_path, card_image).terms("odd")

    assert (True, False) == (terms.loopback, terms.monitor)


def test_workload_that_is_not_there(tmp_path, card_image):
    """Its policies and its mode are known."""
    rules = rules_of(tmp_path, card_image)

    assert rules.workload("lax") == Workload(
        name="lax", state=WorkloadState.PENDING, policies=("lax",), mode=Mode.MONITOR
    )
    assert ("odd", "group") == rules.workload("odd").policies
