import json

import attack_report
import pytest
import report
from judge import Outcome
from runner import Result
from scenario import Scenario


def result(*, problems=(), caps="docker", **fields):
    scenario = Scenario.model_validate(
        {
            "name": "a",
            "title": "An attack",
            "secrets": {"card": "visa", "leave": {"kind": "visa", "may_leave": True}},
            "steps": [{"attack": {"script": "urgent", "caps": caps}}],
            "expect": {"arrives": "none", "counters": {"urgent": 1}},
        }
    )
    outcome = Outcome(honest_sent=[b"x"], honest_arrived=[b"x"], **fields)
    return Result(scenario=scenario, outcome=outcome, problems=list(problems))


def test_what_was_complete_and_where():
    """Only what must not leave counts, at each place where it was complete."""

    found = result(complete={"sink": {"card", "leave"}, "wire": {"leave"}, "bridge": set()})

    assert "1 at the sink" == attack_report.complete(found)
    assert "1 value" == attack_report.sent(found)
    assert "0" == attack_report.complete(result())


def test_what_stopped_it():
    """Counters of what did not leave, in a fixed order, then kinds of incidents, each once."""

    outcome = result(
        counted={"bypass": 2, "match_dropped": 1, "passed": 9, "unowned": 0},
        incidents=[{"kind": "tamper"}, {"kind": "bypass"}, {"kind": "bypass"}],
    ).outcome

    assert "match_dropped 1, bypass 2; incident bypass, tamper" == attack_report.stopped_by(outcome)


def test_reasons_exist():
    """What the table shows are labels of the kernel's."""
    from dlp.datapath.abi import Reason

    assert set() == set(attack_report.STOPPING) - {reason.label for reason in Reason}


@pytest.mark.parametrize(
    ("found", "cell"),
    [
        (result(), "ok"),
        (result(problems=["bad"]), "FAIL"),
        (result(impossible="no MPTCP"), "not tried"),
    ],
)
def test_verdict(found, cell):
    """An attack that could not be tried is neither passed nor failed."""

    assert cell in attack_report.verdict(found)


def test_last_line():
    """What was not possible is told, and not counted among the expected."""

    results = [result(), result(problems=["bad"]), result(impossible="no MPTCP")]

    assert (
        "attack: 3 scenarios, 1 as expected, 1 not possible here, 0 bytes leaked"
        == report.last_line(results, with_gateway=True)
    )
    assert "control: 1 scenarios, 1 as expected, 0 bytes leaked" == report.last_line(
        results[:1], with_gateway=False
    )


def test_json(tmp_path):
    """The document says of each attack what it had and what stopped it."""

    file = tmp_path / "results.json"
    report.write_json(file, [result(impossible="no MPTCP", caps="none")], None)
    document = json.loads(file.read_text())

    assert (0, 1) == (document["as_expected"], document["not_possible_here"])
    assert ["none"] == document["results"][0]["attack"]["capabilities"]
    assert "no MPTCP" == document["results"][0]["attack"]["not_possible_here"]
