"""What live set and candidate hit while the candidate runs beside."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dlp.config import load
from dlp.datapath.events import Payload
from dlp.enforcement.holds import hold_rules
from dlp.enforcement.loaded import Beside, Sets, make, matcher_rules, shadow_rules
from dlp.enforcement.shadow import ShadowAccount
from dlp.enforcement.verdicts import Release, Translator
from dlp.inspector.messages import Finding
from dlp.model import Action, DecidedBy
from dlp.releases.canary import Canary
from dlp.releases.content import packs_of
from dlp.releases.diff import EXAMPLES, NO_HITS, Count, entries
from tests.api.fake import make_verdict
from tests.enforcement.test_verdicts import PACKET
from tests.releases.conftest import OTHER, PACK

LIVE = packs_of({"own": PACK.encode(), "other": OTHER.encode()}, "live")
NEXT = packs_of({"own": PACK.replace("LONGKEY", "ELSEKEY").encode(), "other": OTHER.encode()}, "n")
SHARED, GONE, CAME = 0, 1, 2  # other; own of the live set; own of the candidate
LONG = "'LONGKEY-[A-Z0-9]{12}(?![A-Z0-9])'"
ENDLESS = "'ELSEKEY-[A-Z0-9]{12,400}(?![A-Z0-9])'"
INSPECTED = packs_of(  # decided by the inspector
    {
        "own": PACK.replace(LONG, ENDLESS)
        .replace("LONGKEY", "ELSEKEY")
        .replace("ELSEKEY-ABCDEFGHIJ123", "ELSEKEY-ABCDEFGH123")
        .encode(),
        "other": OTHER.encode(),
    },
    "n",
)


PAYLOAD = Payload(
    time_ns=0, flow=9, packet=PACKET, offset=0, release=1, policy=1, final=False, data=b"x"
)


def found_in(image, flow: int = 9, digest: bytes = b"d" * 32, release: int = 1) -> Finding:
    assert DecidedBy.INSPECTOR is image.signatures[CAME].decided
    return Finding(
        release=release,
        signature=CAME,
        flow=flow,
        offset=5,
        length=20,
        digest=digest,
        masked="ELSEKEY-***",
    )


@pytest.fixture
def loaded(tmp_path):
    file = tmp_path / "dlp.yaml"
    file.write_text(
        "version: 1\nsignatures: [pci]\npolicies: [{name: a, rules: "
        '[{signatures: ["*"], action: drop}]}]\n'
    )
    config = load(file)

    def build(candidate=NEXT):
        beside = Beside(version=8, packs=candidate) if candidate else None
        return make(config, Sets(packs=LIVE, release=7, beside=beside))

    return build


def test_counts(loaded):
    """Counts are told apart by whose signature it is; they go on over further loads."""
    account = ShadowAccount(lambda: 5.0)
    account.loaded(loaded())
    account.count({("web", SHARED): Count(3, 3), ("web", GONE): Count(2, 1)})
    account.count({("web", SHARED): Count(4, 4), ("web", CAME): Count(1, 1, 6)})
    account.loaded(loaded())
    account.count({("web", CAME): Count(2, 2)})

    hits, since = account.found()
    assert 5.0 == since
    assert {("other.key.long", "web"): Count(4, 4)} == hits.shared
    assert {("own.key.long", "web"): Count(2, 1)} == hits.live
    assert {("own.key.long", "web"): Count(3, 3, 6)} == hits.candidate


def test_other_sets(loaded):
    """Another candidate begins at nothing, and without one there is nothing to tell."""
    account = ShadowAccount()
    account.loaded(loaded())
    account.count({("web", CAME): Count(1, 1)})
    account.saw(CAME, make_verdict(1))
    account.loaded(loaded(packs_of({"own": PACK.replace("LONG", "WIDE").encode()}, "x")))
    assert ({}, {}) == (account.found()[0].candidate, account.found()[0].examples)

    account.loaded(loaded(None))
    account.count({("web", 0): Count(9, 9)})
    assert (NO_HITS, None) == account.found()


def test_examples(loaded):
    """Examples are masked, distinct, a few for each workload, and of what differs only."""
    account = ShadowAccount()
    account.loaded(loaded())
    for number in range(20):
        digest = f"{number // 2:02x}"
        account.saw(CAME, make_verdict(number, digest=digest))
        account.saw(SHARED, make_verdict(number, digest=digest))
    account.saw(GONE, make_verdict(1, workload="db"))

    examples = account.found()[0].examples
    assert {("own.key.long", True), ("own.key.long", False)} == set(examples)
    assert EXAMPLES == len(examples["own.key.long", True])
    assert EXAMPLES == len({one.digest for one in examples["own.key.long", True]})
    assert ["db"] == [one.workload for one in examples["own.key.long", False]]


def test_findings_of_the_candidate(loaded):
    """What the inspector finds for a candidate that only counts is acted on nowhere."""
    made = loaded(INSPECTED)
    assert DecidedBy.INSPECTOR is made.image.signatures[CAME].decided
    found = Finding(
        release=1, signature=CAME, flow=9, offset=5, length=20, digest=b"d" * 32, masked="E***"
    )
    for canary, action in ((None, None), (Canary(netns=("web",)), Action.DROP)):
        beside = replace(made.sets.beside, canary=canary)
        now = make(made.config, replace(made.sets, beside=beside))
        number = now.policies.resolve("web", None)
        translator = Translator(lambda _: "web")
        translator.add(Release(1, now.image, now.policies))
        translator.saw(replace(PAYLOAD, policy=number))
        verdict = translator.from_finding(found)
        assert action is (verdict.action if verdict else None)
        blocking = {rule.index: rule.policies for rule in hold_rules(now.image, now.policies)}
        assert (action is not None) is bool(blocking.get(CAME, 0) >> number & 1)


@pytest.fixture
def judge(loaded):
    """What an account comes to by findings of the candidate, judged as in the gateway."""
    made = loaded(INSPECTED)
    translator = Translator(lambda _: "web", shadow=True)
    account = ShadowAccount()
    for release in (3, 4):
        translator.add(Release(release, made.image, made.policies))
        account.loaded(made, release)

    def judge(*findings, policy=1):
        for one in findings:
            translator.saw(replace(PAYLOAD, flow=one.flow, policy=policy, release=4))
            verdict = translator.from_finding(one)
            if verdict is not None:
                account.decided(one.release, one.signature, verdict)
        return account.found()[0]

    return made.image, judge


def test_inspector_counts(judge):
    """A value counts once a flow, by whose signature it is; with a masked example, as hits do."""
    image, judge = judge
    hits = judge(
        *[
            found_in(image, flow, digest, release)
            for release in (3, 4)
            for flow in (1, 2)
            for digest in (b"a" * 32, b"b" * 32)
        ],
        found_in(image, 3, b"a" * 32, 4),
    )

    assert {("own.key.long", "web"): Count(5, 5)} == hits.candidate
    assert ({}, {}) == (hits.live, hits.shared)
    examples = hits.examples["own.key.long", True]
    assert [("ELSEKEY-***", b"a" * 32), ("ELSEKEY-***", b"b" * 32)] == [
        (one.masked, bytes.fromhex(one.digest)) for one in examples
    ]
    (entry,) = entries(hits)
    assert (5, 5, 0) == (entry.candidate, entry.would_newly_drop, entry.would_ask)
    assert examples == entry.examples


def test_inspector_counts_of_other_releases(judge):
    """Findings of a release before these sets, or of one that is not loaded yet, count nothing."""
    image, judge = judge

    assert NO_HITS == judge(found_in(image, release=2), found_in(image, release=5))


def test_inspector_counts_go_on(loaded):
    """Over further loads of the same sets counts of the inspector go on; of others they begin."""
    account = ShadowAccount()
    verdict = make_verdict(1, action=Action.DROP)
    account.loaded(loaded(INSPECTED), 3)
    account.decided(3, CAME, verdict)
    account.loaded(loaded(INSPECTED), 4)
    account.decided(4, CAME, verdict)  # the same value of the same flow
    account.decided(4, CAME, make_verdict(2, flow=verdict.flow + 1, action=Action.ALERT))
    account.decided(4, GONE, verdict)  # the kernel decides and counts it
    key = "own.key.long", verdict.workload
    assert {key: Count(2, 1)} == account.found()[0].candidate
    assert {} == account.found()[0].live

    account.loaded(loaded(), 5)
    assert {} == account.found()[0].candidate


def test_live_findings_count(loaded):
    """What the live set's inspector decides is compared: as many of both are the same ones."""
    made = loaded(INSPECTED)
    live = make(made.config, Sets(packs=INSPECTED, beside=Beside(version=9, packs=LIVE)))
    account = ShadowAccount()
    account.loaded(live, 1)
    account.decided(1, GONE, make_verdict(1, action=Action.DROP))

    (entry,) = entries(account.found()[0])
    assert ("own.key.long", 1, 0, 1) == (
        entry.signature,
        entry.live,
        entry.candidate,
        entry.would_no_longer_drop,
    )


def test_rules_of_either_inspector(loaded):
    """What only counts is looked for by its own process alone; what a canary lets act, by both."""
    made = loaded(INSPECTED)
    assert ([], [CAME]) == tuple(
        [rule.index for rule in rules(made)] for rules in (matcher_rules, shadow_rules)
    )
    beside = replace(made.sets.beside, canary=Canary(netns=("web",)))
    canary = make(made.config, replace(made.sets, beside=beside))
    assert [CAME] == [rule.index for rule in matcher_rules(canary)]
    assert [CAME] == [rule.index for rule in shadow_rules(canary)]
    live = make(made.config, Sets(packs=INSPECTED))
    assert (1, 0) == (len(matcher_rules(live)), len(shadow_rules(live)))
