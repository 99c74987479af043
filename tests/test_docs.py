"""What README and docs/ say exists, and what exists is said there."""

import re
from pathlib import Path

import pytest

from dlp.api.metrics import METRICS
from dlp.datapath.abi import Reason
from dlp.model import IncidentKind, WorkloadState

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
OPERATIONS = (ROOT / "docs/operations.md").read_text()
THREATS = (ROOT / "THREAT_MODEL.md").read_text()
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
TARGETS = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def rows(text: str, heading: str) -> list[str]:
    """What stands in backticks in the first column of the tables below a heading."""
    section = re.search(rf"^#+ {heading}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None, heading
    cells = re.findall(r"^\| (`.*?) \|", section[1], re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def anchors(document: Path) -> set[str]:
    """The fragments under which a document's headings are reached."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}


def test_every_reason():
    """Each reason that is counted is told once, and nothing else is called one."""
    told = rows(OPERATIONS, "Reasons")

    userspace = ("inspector_missed", "shadow_missed")
    assert sorted([*(reason.label for reason in Reason), *userspace]) == sorted(told)


def test_metrics_are_real():
    """Metrics that operations and threat model name exist; docs/api.md lists them all."""
    named = set(
        re.findall(r"\bdlp_[a-z_]+(?:_total|_seconds|healthy|release|workloads)\b", OPERATIONS)
    )
    named |= set(re.findall(r"`(dlp_[a-z_]+_total)`", THREATS))

    assert named
    assert set() == named - METRICS.keys()


def test_every_state():
    """Each state of a workload is told."""
    assert {state.value for state in WorkloadState} == set(rows(OPERATIONS, "When it is ready"))


@pytest.mark.parametrize("target", TARGETS)
def test_every_target(target: str):
    """Each make target is in README's list."""
    assert f"`{target}`" in README[README.index("`make help`") :] or target == "help"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_targets_are_real(document: Path):
    """No document names a make target that does not exist."""
    named = re.findall(r"(?:`|^ *|sudo )make ([a-z-]+)", document.read_text(), re.MULTILINE)

    assert [] == [name for name in named if name not in {*TARGETS, "help"}]


def test_two_commands():
    """README opens with the two commands."""
    first = FENCE.search(README)

    assert first is not None
    assert ["demo", "test"] == re.findall(r"make (\S+)", first[0])


def test_every_document_is_linked():
    """README links each document."""
    named = [str(path.relative_to(ROOT)) for path in DOCUMENTS if path.name != "README.md"]

    assert [] == [name for name in named if f"]({name})" not in README]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path):
    """Each relative link names a file, and a heading where it has a fragment."""
    text = FENCE.sub("", document.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, fragment = target.partition("#")
        found = document.parent / name if name else document

        assert found.exists(), target
        assert not fragment or fragment in anchors(found), target


def test_threat_model_names_real_tests():
    """Each test that the threat model calls a proof exists, by file and by function."""
    told = re.findall(r"`(\w+(?:/\w+)*\.py)((?:::\w+)?)`((?:, `::\w+`)*)", THREATS)

    assert len(told) > 10
    for name, function, more in told:
        file = ROOT / "tests" / name
        assert file.is_file(), name
        for wanted in re.findall(r"::(\w+)", function + more):
            assert f"def {wanted}(" in file.read_text(), f"{name}::{wanted}"


def test_threat_model_names_real_scenarios():
    """Each scenario that the threat model calls a proof is in the lab."""
    files = (ROOT / "netns-lab/scenarios").glob("*.yaml")
    known = {
        name
        for file in files
        for name in re.findall(r"^- name: (\S+)", file.read_text(), re.MULTILINE)
    }
    told = {
        name
        for run in re.findall(r"[Ss]cenarios? (`[\w-]+`(?:, `[\w-]+`)*)", THREATS)
        for name in re.findall(r"`([\w-]+)`", run)
    }

    assert len(told) > 20
    assert set() == told - known


def test_threat_model_names_every_attack():
    """No attack of the lab is without an answer."""
    files = (ROOT / "netns-lab/scenarios").glob("6*.yaml")
    attacks = {
        name
        for file in files
        for name in re.findall(r"^- name: (\S+)", file.read_text(), re.MULTILINE)
    }

    assert len(attacks) > 90
    assert set() == {name for name in attacks if f"`{name}`" not in THREATS}


def test_threat_model_names_real_reasons():
    """What an attack shows as are reasons of the kernel's and kinds of incidents."""
    labels = {reason.label for reason in Reason} | {"inspector_missed"} | set(IncidentKind)
    other = {"sent_before", "inspector: down", "enforced", "partly"} | METRICS.keys()
    shown = [
        row.split(" | ")[2]
        for row in THREATS.splitlines()
        if row.startswith("| ") and row.count(" | ") == 4
    ]
    named = {name for cell in shown for name in re.findall(r"`([^`]+)`", cell)}

    assert len(named) > 20
    assert set() == named - labels - other


def test_unit_runs_what_exists():
    """The systemd unit starts and reloads by commands that there are, and keeps what is needed."""
    unit = (ROOT / "deploy/dlp.service").read_text()

    assert "Type=notify" in unit
    assert "RuntimeDirectoryPreserve=yes" in unit
    assert "ReadWritePaths=/proc/sys/net\n" in unit  # settings of TCP where something is held
    assert ["run", "reload"] == re.findall(r"^Exec\w+=/opt/dlp/bin/dlp (\w+)", unit, re.MULTILINE)
