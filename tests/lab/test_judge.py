import pytest
from judge import (
    Outcome,
    arrival_problems,
    attack_problems,
    flow_problems,
    summary,
    verdict_problems,
)
from scenario import Expect, Scenario

DROP = {"signature": "pci.card.visa", "action": "drop", "enforced": True, "sent_before": 8}
ALERT = {"signature": "pci.card.visa", "action": "alert", "enforced": False, "sent_before": 0}


def expect(**fields):
    return Expect.model_validate({"arrives": "all"} | fields)


@pytest.mark.parametrize(
    ("sent", "arrived", "what"),
    [
        ([b"abc"], [b"abc"], "all"),
        ([b"abc"], [b"ab"], "part"),
        ([b"abc"], [b""], "none"),
        ([b"abc", b"def"], [b"abc", b"de"], None),
        ([b"abc", b"def"], [b"a", b""], "part"),
        ([b"abc"], [b"ac"], None),
        ([b"abc"], [b"abcabc"], None),
    ],
)
def test_streams(sent, arrived, what):
    """A stream arrives whole, not at all, or as a beginning; anything else is never expected."""

    outcome = Outcome(sent=sent, arrived=arrived)
    fits = {
        wanted: not arrival_problems(expect(arrives=wanted), outcome, datagrams=False)
        for wanted in ("all", "none", "part")
    }

    assert {wanted: wanted == what for wanted in fits} == fits


@pytest.mark.parametrize(
    ("arrived", "what"), [([b"b", b"a"], "all"), ([b"b"], "part"), ([], "none")]
)
def test_datagrams(arrived, what):
    """Datagrams come in any order; each is whole or missing."""

    outcome = Outcome(sent=[b"a", b"b"], arrived=arrived)

    assert [] == arrival_problems(expect(arrives=what), outcome, datagrams=True)


def test_requests():
    """HTTP scenarios count complete requests."""

    outcome = Outcome(requests=1)

    assert [] == arrival_problems(expect(arrives=1), outcome, datagrams=False)
    assert ["1 requests arrived, expected 2"] == arrival_problems(
        expect(arrives=2), outcome, datagrams=False
    )


def test_programs_wrap_what_they_send():
    """What a program sends has a head: the payload must be in it."""

    outcome = Outcome(sent=[b"body"], arrived=[b"POST / HTTP/1.1\r\n\r\nbody"], program=True)

    assert [] == arrival_problems(expect(), outcome, datagrams=False)


def test_verdict_that_is_due():
    """A verdict fits by glob and by value."""

    due = expect(verdicts=[{"signature": "pci.*", "action": "drop", "sent_before": 8}])

    assert [] == verdict_problems(due, Outcome(verdicts=[DROP]), connections=1)
    assert 2 == len(verdict_problems(due, Outcome(verdicts=[ALERT]), connections=1))


def test_each_connection_has_its_verdict():
    """With several connections one verdict is due for each."""

    due = expect(verdicts=[{"signature": "pci.*", "action": "drop"}])

    assert [] != verdict_problems(due, Outcome(verdicts=[DROP]), connections=2)
    assert [] == verdict_problems(due, Outcome(verdicts=[DROP, DROP]), connections=2)


def test_no_verdict_is_expected_unless_said():
    """A decoy that is reported is a failure; null looks at no verdict."""

    outcome = Outcome(verdicts=[ALERT])

    assert [] != verdict_problems(expect(), outcome, connections=1)
    assert [] == verdict_problems(expect(verdicts=None), outcome, connections=1)


def test_flow():
    """Some flow of the scenario must have the fields."""

    outcome = Outcome(flows=[{"opaque": "no"}, {"opaque": "tls"}])

    assert [] == flow_problems(expect(flow={"opaque": "tls"}), outcome)
    assert [] != flow_problems(expect(flow={"opaque": "quic"}), outcome)


def test_summary_counts_alike():
    """The table shows alike verdicts once."""

    assert "2 x drop pci.card.visa, alert pci.card.visa (not enforced)" == summary(
        [DROP, DROP, ALERT]
    )


def attacked(**fields):
    return Scenario.model_validate(
        {
            "name": "a",
            "title": "t",
            "secrets": {"card": "visa", "marker": {"kind": "marker", "must_arrive": True}},
            "steps": [{"attack": {"script": "urgent"}}],
            "expect": {"arrives": "none", "incidents": [{"kind": "bypass"}]},
        }
        | fields
    )


def outcome(*, sink=("marker",), wire=(), honest=(b"abc",)):
    return Outcome(
        complete={"sink": set(sink), "wire": set(wire), "bridge": set()},
        honest_sent=[b"abc"],
        honest_arrived=list(honest),
        incidents=[{"kind": "bypass", "what": "no_token"}],
    )


def problems(found, *, with_gateway=True, **fields):
    return attack_problems(attacked(**fields), found, with_gateway=with_gateway)


def test_attack_stopped():
    """Nothing forbidden anywhere, what is due there, honest traffic whole: as expected."""

    assert [] == problems(outcome())


@pytest.mark.parametrize(
    "found",
    [
        outcome(sink=("marker", "card")),
        outcome(wire=("card",)),
        outcome(sink=()),
        outcome(honest=(b"ab",)),
        outcome(honest=()),
    ],
)
def test_attack_that_hurts(found):
    """A complete value anywhere, or clean traffic that is missing, is a failure."""

    assert 1 == len(problems(found))


def test_attack_without_its_incident():
    """An incident that is due and missing is a failure."""

    found = outcome()
    found.incidents = [{"kind": "tamper"}]

    assert ["no incident with {'kind': 'bypass'}"] == problems(found)


def test_control_must_leak_at_the_receiver():
    """Without a gateway the value must reach the receiver that the row names."""

    leaked = outcome(sink=("marker", "card"))
    on_wire = outcome(wire=("card",))
    receiver = {"expect": {"arrives": "none", "receiver": "wire", "counters": {"unowned": 1}}}

    assert [] == problems(leaked, with_gateway=False)
    assert 1 == len(problems(on_wire, with_gateway=False))
    assert [] == problems(on_wire, with_gateway=False, **receiver)
