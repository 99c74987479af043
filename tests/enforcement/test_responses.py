"""What follows on a verdict."""

from __future__ import annotations

import dataclasses

import pytest

from dlp.datapath.abi import EventFlag
from dlp.enforcement.responses import Responses
from dlp.model import Action, Mode
from tests.enforcement.test_verdicts import FINDING, PACKET, PAYLOAD, event, knowing

RULES = 'rules: [{signatures: ["pci.*"], action: drop}]'
KILL = f"  - {{name: default, kill: true, {RULES}}}"
LAX = f"  - {{name: default, {RULES}}}"
ESCALATE = (
    "  - {name: default, escalate: {verdicts: 2, window: 1m, action: quarantine}, " + RULES + "}"
)
OWNED = EventFlag.OWNED


class Rig:
    """Responses to events under a policy; `killed` and `cut` say what was asked for."""

    def __init__(self, policies, image) -> None:
        self.killed: list[int] = []
        self.cut: list[tuple[str, str]] = []
        self.translator = knowing(policies, image)
        self.responses = Responses(
            lambda target: self.killed.append(target.cookie),
            lambda verdict, reason: self.cut.append((verdict.workload, reason)),
        )
        self.responses.use(policies)

    def event(self, **fields) -> None:
        happened = event(**fields)
        self.responses.to_event(happened, self.translator.from_event(happened))

    def finding(self, payload=PAYLOAD) -> None:
        self.translator.saw(payload)
        found = dataclasses.replace(FINDING, flow=payload.flow)
        self.responses.to_finding(payload.packet, self.translator.from_finding(found))


@pytest.fixture
def rig(policy_set, card_image):
    return lambda text: Rig(policy_set(text), card_image)


def test_kill(rig):
    """Under `kill: true` the socket of a blocked flow is destroyed, by its cookie."""
    made = rig(KILL)
    made.event(flags=OWNED)

    assert [9] == made.killed


@pytest.mark.parametrize(
    "fields",
    [
        {"flags": EventFlag(0)},
        {"flags": OWNED | EventFlag.MONITOR},
        {"flags": OWNED, "action": Action.ALERT},
        {"flags": OWNED, "policy": 40},
    ],
)
def test_nothing_to_kill(rig, fields):
    """Not without a socket, not in monitor mode, not for an alert, not under nobody's policy."""
    made = rig(KILL)
    made.event(**fields)

    assert [] == made.killed


def test_kill_is_the_policys(rig):
    """Without the key nobody is killed."""
    made = rig(LAX)
    made.event(flags=OWNED)
    made.finding()

    assert ([], []) == (made.killed, made.cut)


def test_kill_by_the_strictest(rig):
    """What no policy chose is treated as the strictest of them."""
    made = rig(KILL)
    made.event(flags=OWNED, policy=0)

    assert [9] == made.killed


def test_kill_on_a_finding(rig):
    """The inspector's block kills as the kernel's does."""
    made = rig(KILL)
    made.finding()

    assert [9] == made.killed


@pytest.mark.parametrize(
    "payload",
    [
        dataclasses.replace(PAYLOAD, flow=1 << 63 | 9),
        dataclasses.replace(PAYLOAD, packet=dataclasses.replace(PACKET, protocol="udp")),
    ],
)
def test_finding_without_a_socket(rig, payload):
    """A flow that no TCP socket stands for has nothing to destroy."""
    made = rig(KILL)
    made.finding(payload)

    assert [] == made.killed


def test_finding_in_monitor_mode(policy_set, card_image):
    """What is not enforced kills nobody."""
    policies = policy_set(KILL.replace("kill: true", "kill: true, mode: monitor"))
    made = Rig(policies, card_image)
    made.finding()

    assert Mode.MONITOR is policies.mode(1)
    assert [] == made.killed


def test_escalate(rig):
    """So many enforced drops cut the workload, and the reason says which policy asked."""
    made = rig(ESCALATE)
    made.event()
    first = list(made.cut)
    made.finding()

    assert [] == first
    assert [("web", "2 enforced drops within 60 s (policy default)")] == made.cut


def test_escalate_after_a_reload(policy_set, card_image):
    """A policy that does not escalate any more does not."""
    made = Rig(policy_set(ESCALATE), card_image)
    made.event()
    made.responses.use(policy_set(LAX))
    made.event()

    assert [] == made.cut
