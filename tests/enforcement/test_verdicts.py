"""From events and findings to verdicts."""

import dataclasses
import time

import pytest

from dlp.datapath import abi
from dlp.datapath.abi import EventFlag, EventKind
from dlp.datapath.events import Event, Packet, Payload
from dlp.enforcement.names import ReleaseNames
from dlp.enforcement.verdicts import Release, Translator
from dlp.inspector.messages import Finding
from dlp.model import Action, DecidedBy, Endpoint, IncidentKind, Mode

DROP = '  - {name: default, rules: [{signatures: ["pci.*"], action: drop}]}'
KEY = 77 << 16 | 3
PACKET = Packet(
    netns=KEY,
    family=4,
    protocol="tcp",
    source="10.0.0.1",
    destination="192.0.2.9",
    source_port=1024,
    destination_port=443,
)
EVENT = Event(
    kind=EventKind.MATCH,
    time_ns=0,
    flow=9,
    cgroup=5,
    packet=PACKET,
    offset=100,
    let_out=90,
    length=16,
    sent_before=6,
    count=1,
    release=1,
    signature=0,
    policy=1,
    rule=0,
    action=Action.DROP,
    flags=EventFlag(0),
    reason=0,
    digest=bytes(range(32)),
    head=b"41111111",
    tail=b"11111111",
)
BYPASS = dataclasses.replace(
    EVENT, kind=EventKind.BYPASS, flow=0, time_ns=time.monotonic_ns(), reason=abi.Reason.BYPASS
)
FINDING = Finding(
    release=1, signature=0, flow=9, offset=50, length=16, digest=b"d" * 32, masked="***1111"
)
PAYLOAD = Payload(
    time_ns=0, flow=9, packet=PACKET, offset=0, release=1, policy=1, final=False, data=b"x"
)


@pytest.fixture
def translator(policy_set, card_image):
    """Knows release 1, whose one policy drops cards."""
    return knowing(policy_set(DROP), card_image)


def knowing(policies, image) -> Translator:
    made = Translator({KEY: "web"}.__getitem__, {5: "/web"}.__getitem__)
    made.add(Release(1, image, policies))
    return made


def event(**fields) -> Event:
    return dataclasses.replace(EVENT, time_ns=time.monotonic_ns(), **fields)


# -- events -----------------------------------------------------------------------------------


def test_match(translator):
    """Numbers become names; the value is masked but for the ends that its signature shows."""
    before = time.time()
    verdict = translator.from_event(event())

    assert ("match", "web", 5, "/web", 9) == (
        verdict.kind,
        verdict.workload,
        verdict.cgroup,
        verdict.cgroup_path,
        verdict.flow,
    )
    assert ("pci.card.visa", "critical", "default", 0) == (
        verdict.signature,
        verdict.severity,
        verdict.policy,
        verdict.rule,
    )
    assert (Action.DROP, True, DecidedBy.KERNEL, Mode.ENFORCE) == (
        verdict.action,
        verdict.enforced,
        verdict.decided,
        verdict.mode,
    )
    assert (100, 16, 6, 90, 1, 1) == (
        verdict.offset,
        verdict.length,
        verdict.sent_before,
        verdict.let_out,
        verdict.count,
        verdict.release,
    )
    assert (Endpoint(address="10.0.0.1", port=1024), Endpoint(address="192.0.2.9", port=443)) == (
        verdict.source,
        verdict.destination,
    )
    assert "************1111" == verdict.masked
    assert bytes(range(32)).hex() == verdict.digest
    assert before - 1 < verdict.time < time.time() + 1


def test_no_value_in_a_verdict(translator):
    """Nothing of a verdict shows more of the value than its signature allows."""

    assert "41111111" not in repr(translator.from_event(event()))


def test_event_from_the_past(translator):
    """The time is the packet's, not the reading's."""
    an_hour = 3600 * 1_000_000_000
    verdict = translator.from_event(
        dataclasses.replace(EVENT, time_ns=time.monotonic_ns() - an_hour)
    )

    assert 3599 < time.time() - verdict.time < 3601


def test_monitor(translator):
    """In monitor mode the action is told and was not taken."""
    verdict = translator.from_event(event(flags=EventFlag.MONITOR))

    assert (Action.DROP, False, Mode.MONITOR) == (verdict.action, verdict.enforced, verdict.mode)


def test_below_threshold(translator):
    """The kernel let it out: allowed, not enforced, and why."""
    verdict = translator.from_event(event(flags=EventFlag.BELOW_THRESHOLD, action=Action.ALLOW))

    assert (Action.ALLOW, False, "below threshold") == (
        verdict.action,
        verdict.enforced,
        verdict.detail,
    )


def test_exception(translator):
    """An excepted value is told as such and counts for nothing."""
    verdict = translator.from_event(event(flags=EventFlag.EXCEPTED, action=Action.ALLOW))

    assert ("exception", 0) == (verdict.detail, verdict.count)


@pytest.mark.parametrize(
    ("kind", "reason", "name", "detail"),
    [
        (EventKind.OPAQUE, abi.Reason.OPAQUE_TLS, "opaque", "opaque_tls"),
        (EventKind.BUDGET, abi.Reason.OVER_BUDGET, "budget", "over_budget"),
        (EventKind.DENIED, abi.Reason.DENIED, "denied", "denied"),
        (EventKind.REFUSED, abi.Reason.URGENT, "refused", "urgent"),
        (EventKind.HELD, abi.Reason.HELD, "held", "held"),
        (EventKind.HOLD_TIMEOUT, abi.Reason.HOLD_TIMEOUT, "hold_timeout", "hold_timeout"),
    ],
)
def test_other_kinds(translator, kind, reason, name: str, detail: str):
    """They are about a packet as a whole: no signature, no value, a reason instead."""
    verdict = translator.from_event(event(kind=kind, reason=reason))

    assert (name, detail) == (verdict.kind, verdict.detail)
    assert ("", "", "", "") == (
        verdict.signature,
        verdict.severity,
        verdict.masked,
        verdict.digest,
    )


def test_bypass_is_no_verdict(translator):
    """Nothing was decided about a packet that nobody classified."""

    assert translator.from_event(BYPASS) is None


def test_release_that_is_not_known(translator):
    """An event of a release of long ago is told without names, not under wrong ones."""
    verdict = translator.from_event(event(release=99))

    assert ("", "1") == (verdict.signature, verdict.policy)


def test_release_of_an_earlier_process(policy_set, card_image):
    """What waited in the ring while no daemon ran is named by what was written down."""
    past = ReleaseNames.of(7, card_image, policy_set(DROP))
    translator = Translator(lambda _: "web", lambda _: "", [past])
    verdict = translator.from_event(event(release=7))

    assert ("pci.card.visa", "default") == (verdict.signature, verdict.policy)


def test_number_past_a_release(translator):
    """A number that the release does not have is told as a number: the event must not get lost."""
    verdict = translator.from_event(event(policy=40, signature=4000))

    assert ("", "40") == (verdict.signature, verdict.policy)


def test_only_the_latest_releases(policy_set, card_image):
    """Memory does not grow with the number of reloads."""
    translator = knowing(policy_set(DROP), card_image)
    for number in range(2, 40):
        translator.add(Release(number, card_image, policy_set(DROP)))

    assert "pci.card.visa" == translator.from_event(event(release=39)).signature
    assert len(translator._releases) < 10
    assert len(translator._names) < 20


# -- incidents --------------------------------------------------------------------------------


def test_bypass(translator):
    """A packet that skipped the classifier is told with its headers."""
    incident = translator.incident_from_event(BYPASS)

    assert (IncidentKind.BYPASS, "web", "no_token", 1, "tcp") == (
        incident.kind,
        incident.workload,
        incident.what,
        incident.count,
        incident.protocol,
    )
    assert (Endpoint(address="10.0.0.1", port=1024), Endpoint(address="192.0.2.9", port=443)) == (
        incident.source,
        incident.destination,
    )
    assert time.time() - 3600 < incident.time <= time.time()
    assert incident.time == incident.last


@pytest.mark.parametrize(
    "reason", ["unowned", "urgent", "mptcp_join", "rewritten", "fragment_order"]
)
def test_refused_way_around(translator, reason):
    """What only who seeks a way around sends is an incident beside its verdict."""
    happened = event(kind=EventKind.REFUSED, reason=abi.Reason[reason.upper()])
    incident = translator.incident_from_event(happened)

    assert (IncidentKind.BYPASS, reason) == (incident.kind, incident.what)
    assert incident.detail.endswith(".")
    assert "refused" == translator.from_event(happened).kind


def test_over_budget(translator):
    """The work bound that is reached is an incident beside its verdict."""
    happened = event(kind=EventKind.BUDGET, reason=abi.Reason.OVER_BUDGET)
    incident = translator.incident_from_event(happened)

    assert (IncidentKind.OVER_BUDGET, "over_budget") == (incident.kind, incident.what)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"kind": EventKind.OPAQUE},
        {"kind": EventKind.HELD},
        {"kind": EventKind.REFUSED, "reason": abi.Reason.OTHER_PROTOCOL},
    ],
)
def test_no_incident(translator, changes):
    """A match is a verdict, and so is what honest programs may send."""

    assert translator.incident_from_event(event(**changes)) is None


# -- findings ---------------------------------------------------------------------------------


def test_finding(translator):
    """What the inspector confirmed, with the flow that its payload came from."""
    translator.saw(PAYLOAD)
    verdict = translator.from_finding(FINDING)

    assert ("match", "web", 9, "pci.card.visa", "default") == (
        verdict.kind,
        verdict.workload,
        verdict.flow,
        verdict.signature,
        verdict.policy,
    )
    assert (Action.DROP, True, DecidedBy.INSPECTOR, "***1111") == (
        verdict.action,
        verdict.enforced,
        verdict.decided,
        verdict.masked,
    )
    assert (50, 16, 16) == (verdict.offset, verdict.length, verdict.sent_before)


def test_finding_of_a_flow_that_is_not_known(translator):
    """Nobody's payload is nobody's verdict."""

    assert translator.from_finding(FINDING) is None


def test_finding_twice(translator):
    """A value is told once in a flow; another value, or another flow, is told too."""
    translator.saw(PAYLOAD)
    translator.saw(dataclasses.replace(PAYLOAD, flow=10))
    first = translator.from_finding(FINDING)
    again = translator.from_finding(FINDING)
    other = translator.from_finding(dataclasses.replace(FINDING, digest=b"e" * 32))
    elsewhere = translator.from_finding(dataclasses.replace(FINDING, flow=10))

    assert again is None
    assert (1, 2, 1) == (first.count, other.count, elsewhere.count)


def test_finding_without_a_rule(policy_set, card_image):
    """A signature that no rule of the policy names is not told."""
    text = '  - {name: default, rules: [{signatures: ["pci.card.mir"], action: drop}]}'
    translator = knowing(policy_set(text), card_image)
    translator.saw(PAYLOAD)

    assert translator.from_finding(FINDING) is None


def test_finding_that_a_rule_allows(policy_set, card_image):
    """Allowed is as not named."""
    text = '  - {name: default, rules: [{signatures: ["pci.*"], action: allow}]}'
    translator = knowing(policy_set(text), card_image)
    translator.saw(PAYLOAD)

    assert translator.from_finding(FINDING) is None


def test_finding_below_the_threshold(policy_set, card_image):
    """Distinct values count up to the threshold; the one that reaches it is acted on."""
    text = (
        '  - {name: default, rules: [{signatures: ["pci.*"], action: drop, threshold: {count: 2}}]}'
    )
    translator = knowing(policy_set(text), card_image)
    translator.saw(PAYLOAD)
    first = translator.from_finding(FINDING)
    second = translator.from_finding(dataclasses.replace(FINDING, digest=b"e" * 32))

    assert (Action.ALLOW, False, "below threshold") == (
        first.action,
        first.enforced,
        first.detail,
    )
    assert (Action.DROP, True, "") == (second.action, second.enforced, second.detail)


def test_excepted_finding(policy_set, card_image):
    """An excepted value is allowed, and brings the flow no nearer to its threshold."""
    text = (
        "  - name: default\n    exceptions: [{digest: "
        + FINDING.digest.hex()
        + ", until: 2999-01-01, reason: test}]\n"
        '    rules: [{signatures: ["pci.*"], action: drop, threshold: {count: 2}}]'
    )
    translator = knowing(policy_set(text), card_image)
    translator.saw(PAYLOAD)
    excepted = translator.from_finding(FINDING)
    second = translator.from_finding(dataclasses.replace(FINDING, digest=b"e" * 32))
    third = translator.from_finding(dataclasses.replace(FINDING, digest=b"f" * 32))

    assert (Action.ALLOW, False, "exception", 0) == (
        excepted.action,
        excepted.enforced,
        excepted.detail,
        excepted.count,
    )
    assert [Action.ALLOW, Action.DROP] == [second.action, third.action]


def test_finding_in_monitor_mode(policy_set, card_image):
    """The action is told and was not taken."""
    text = '  - {name: default, mode: monitor, rules: [{signatures: ["pci.*"], action: drop}]}'
    translator = knowing(policy_set(text), card_image)
    translator.saw(PAYLOAD)
    verdict = translator.from_finding(FINDING)

    assert (Action.DROP, False, Mode.MONITOR) == (verdict.action, verdict.enforced, verdict.mode)


def test_finding_of_the_release_before(policy_set, card_image):
    """A finding is judged under the policies that its flow is under now."""
    translator = knowing(policy_set(DROP), card_image)
    translator.saw(PAYLOAD)
    translator.add(Release(2, card_image, policy_set(DROP.replace("drop", "alert"))))
    translator.saw(dataclasses.replace(PAYLOAD, release=2))
    old = translator.from_finding(FINDING)
    new = translator.from_finding(dataclasses.replace(FINDING, release=2, digest=b"e" * 32))

    assert [(Action.ALERT, 2), (Action.ALERT, 2)] == [
        (each.action, each.release) for each in (old, new)
    ]


def test_finding_after_many_exceptions_have_ended(policy_set, card_image):
    """Each loads the same image under a number of its own, of which the inspector knows nothing."""
    translator = knowing(policy_set(DROP), card_image)
    for number in range(2, 40):
        translator.add(Release(number, card_image, policy_set(DROP)))
    translator.saw(dataclasses.replace(PAYLOAD, release=39))
    verdict = translator.from_finding(FINDING)

    assert 1 == FINDING.release
    assert (Action.DROP, 39) == (verdict.action, verdict.release)


def test_flows_are_bounded(translator, monkeypatch):
    """The oldest flow is forgotten first."""
    monkeypatch.setattr("dlp.enforcement.verdicts._FLOWS", 2)
    for number in (9, 10, 11):
        translator.saw(dataclasses.replace(PAYLOAD, flow=number))

    assert translator.from_finding(FINDING) is None
    assert translator.from_finding(dataclasses.replace(FINDING, flow=11)) is not None


# -- findings in held flows -------------------------------------------------------------------

HOLD = DROP.replace("drop", "hold")


def holding(policy_set, card_image, text=HOLD, **options):
    """Release 1 with that policy, and a held flow."""
    made = Translator({KEY: "web"}.__getitem__, **options)
    made.add(Release(1, card_image, policy_set(text)))
    made.saw(PAYLOAD)
    return made


@pytest.mark.parametrize(("left", "sent"), [(0, 0), (50, 0), (53, 3), (65, 15)])
def test_held_finding(policy_set, card_image, left, sent):
    """What is held is dropped once it is found; of the match has left what lay before the hold."""
    verdict = holding(policy_set, card_image).from_finding(FINDING, left)

    assert (Action.DROP, True, DecidedBy.INSPECTOR) == (
        verdict.action,
        verdict.enforced,
        verdict.decided,
    )
    assert (sent, left) == (verdict.sent_before, verdict.let_out)


@pytest.mark.parametrize("left", [66, 900])
def test_what_has_left_before_a_hold(policy_set, card_image, left):
    """The kernel has judged it: it is there as what stands before the held segment."""
    assert holding(policy_set, card_image).from_finding(FINDING, left) is None


def test_finding_of_a_hold_rule_in_a_flow_that_is_not_held(policy_set, card_image):
    """Where nothing could be held, the flow is blocked after the match."""
    verdict = holding(policy_set, card_image).from_finding(FINDING)

    assert (Action.DROP, 16) == (verdict.action, verdict.sent_before)


def test_repeated_finding_in_a_held_flow(policy_set, card_image):
    """It is about bytes that have not left: the second time counts as the first."""
    translator = holding(policy_set, card_image)
    first, second = (translator.from_finding(FINDING, 50) for _ in range(2))

    assert (Action.DROP, Action.DROP) == (first.action, second.action)


def test_what_the_kernel_decides_in_a_held_flow(policy_set, card_image):
    """Of its own signatures the kernel has told whatever is not to be held."""
    assert holding(policy_set, card_image, DROP).from_finding(FINDING, 50) is None


def test_values_that_the_kernel_counted(policy_set, card_image):
    """The inspector sees held segments only: values of earlier ones are the kernel's count."""
    text = HOLD.replace("hold}", "hold, threshold: {count: 3}}")
    asked = []

    def distinct(flow, policy, rule, digests, alone):
        asked.append((flow, policy, rule, sorted(digests)))
        return 1 + len(asked)

    translator = holding(policy_set, card_image, text, distinct=distinct)
    second = translator.from_finding(FINDING, 50)
    third = translator.from_finding(FINDING, 50)

    assert second is None
    assert (Action.DROP, 3) == (third.action, third.count)
    assert [(9, "default", 0, [FINDING.digest])] * 2 == asked
