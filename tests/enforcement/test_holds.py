"""Held records become words, whatever happens to the process that reads them."""

from __future__ import annotations

import dataclasses

import pytest

from dlp.datapath.events import Packet, Payload
from dlp.enforcement import holds
from dlp.enforcement.holds import HoldKeeper, hold_rules
from dlp.errors import KernelError
from dlp.inspector.matcher import Matcher
from dlp.inspector.messages import ANY_POLICY, Record, Rule, Word
from dlp.model import DecidedBy

FLOW = 9
PACKET = Packet(
    netns=77 << 16 | 3,
    family=4,
    protocol="tcp",
    source="10.0.0.1",
    destination="192.0.2.9",
    source_port=1024,
    destination_port=443,
)
TOKEN = Rule(index=1, id="t.token", regex=r"tok_[a-z]{4,}!", front=4)


def payload(offset, data, **fields):
    record = Payload(
        time_ns=1, flow=FLOW, packet=PACKET, offset=offset, release=3, policy=1, final=False,
        held=True, data=data,
    )  # fmt: skip
    return dataclasses.replace(record, **fields)


class Inspector:
    """The real matcher, answering when it is told to."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.full = False
        self.matcher = Matcher([TOKEN], key=b"k")

    def submit(self, record: Record) -> bool:
        if not self.full:
            self.records.append(record)
        return not self.full


class Speaker:
    """What was said to the kernel."""

    def __init__(self) -> None:
        self.words: list[tuple] = []
        self.questions: list[int] = []
        self.full = False

    def clear(self, flow, to, *, keep, question) -> None:
        self.questions.append(question)
        if self.full:
            raise KernelError("no room")
        self.words.append((flow, to, keep))


class Scene:
    """A keeper with what stands around it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.inspector, self.speaker = Inspector(), Speaker()
        self.keeper = HoldKeeper(self.inspector, self.speaker, release=3, clock=lambda: self.now)

    def take(self, offset, data, **fields) -> None:
        self.keeper.take(payload(offset, data, **fields))

    def answer(self) -> None:
        """Let the inspector answer what it was given; a finding blocks."""
        records, self.inspector.records = self.inspector.records, []
        for record in records:
            findings, word = self.inspector.matcher.hold(record)
            for finding in findings:
                self.keeper.blocked(finding.flow)
            if word is not None:
                self.keeper.on_word(record, word)

    def crash(self) -> None:
        """The inspector's process is replaced; what it was given and did not answer is gone."""
        self.inspector.records.clear()
        self.inspector.matcher = Matcher([TOKEN], key=b"k")
        self.keeper.restarted()


@pytest.fixture
def scene():
    return Scene()


def test_clean(scene):
    """A record without a match is cleared to its end."""
    scene.take(0, b"nothing here")
    scene.answer()

    assert [(FLOW, 12, False)] == scene.speaker.words
    assert (1, 1, 0, 1) == (
        scene.keeper.counts.begun,
        scene.keeper.counts.cleared,
        len(scene.keeper),
        scene.keeper.counts.words,
    )


def test_a_word_names_its_question(scene):
    """What the kernel asks anew is answered by the word on the new bytes alone."""
    scene.take(0, b"nothing here", question=4)
    (late,) = scene.inspector.records
    scene.inspector.records.clear()
    scene.take(0, b"something!!!", question=5)
    scene.keeper.on_word(late, Word(flow=FLOW, since=0, to=12, keep=False, back=12))
    early = scene.speaker.words[:]
    scene.answer()

    assert [] == early
    assert ([(FLOW, 12, False)], [5]) == (scene.speaker.words, scene.speaker.questions)


def test_blocked(scene):
    """No word follows a block, and nothing more is asked."""
    scene.take(0, b"x tok_abcd! ")
    scene.answer()
    scene.take(12, b"more")

    assert [] == scene.speaker.words
    assert [] == scene.inspector.records
    assert (1, 1, 0) == (scene.keeper.counts.begun, scene.keeper.counts.blocked, len(scene.keeper))


def test_more(scene):
    """An open match waits: what is in front of it leaves, once; then bytes decide."""
    scene.take(0, b"x tok_ab")
    scene.take(8, b"cd")
    scene.answer()
    waiting = len(scene.keeper)
    scene.take(10, b"? ")
    scene.answer()

    assert [(FLOW, 2, True), (FLOW, 12, False)] == scene.speaker.words
    assert (1, 0) == (waiting, len(scene.keeper))


def test_again(scene):
    """Sent again, an open match leaves and the flow is kept; what completes it is blocked."""
    scene.take(0, b"tok_ab")
    scene.take(0, b"tok_ab", again=True)
    scene.answer()
    words = list(scene.speaker.words)
    scene.take(6, b"cd! ")
    scene.answer()

    assert [(FLOW, 6, True)] == words == scene.speaker.words
    assert 1 == scene.keeper.counts.blocked
    assert 6 == scene.keeper.left(FLOW)


def test_a_word_that_the_kernel_has_not_seen_is_given_again(scene):
    """Sent again though it was cleared: the word is said once more."""
    scene.take(0, b"clean")
    scene.answer()
    scene.take(0, b"clean", again=True)
    scene.answer()

    assert [(FLOW, 5, False)] * 2 == scene.speaker.words


def test_what_has_left(scene):
    """The bytes in front of the held segment, then what was cleared."""
    scene.take(100, b"-" * 128 + b"tok_ab", before=128)
    first = scene.keeper.left(FLOW)
    scene.take(228, b"tok_ab", again=True)
    scene.answer()

    assert (228, 234, None) == (first, scene.keeper.left(FLOW), scene.keeper.left(8))


def test_context_is_no_boundary_and_no_match(scene):
    """A full tail in front says that its first byte has others before it; a short one does not."""
    scene.take(100, b"-" * 128 + b"x", before=128)
    scene.keeper.take(payload(0, b"-" * 20 + b"x", flow=8, before=20))

    assert [True, False] == [record.cut for record in scene.inspector.records]


@pytest.mark.parametrize("answered", [0, 1, 2])
def test_a_crash_between_two_halves(scene, answered):
    """Whenever the process dies, a match that it saw the first half of is found whole."""
    scene.take(0, b"x tok_ab")
    if answered > 0:
        scene.answer()
    scene.crash()
    if answered > 1:
        scene.answer()
        scene.crash()
    scene.take(8, b"cd! ")
    scene.answer()

    assert 1 == scene.keeper.counts.blocked
    assert scene.speaker.words in ([], [(FLOW, 2, True)])


def test_a_crash_after_a_clear(scene):
    """What stands in front of a clear is told anew: a match may begin there, too short to wait."""
    scene.take(0, b"-" * 1000 + b"tok")
    scene.answer()
    scene.crash()
    scene.take(1003, b"_abcd! ")
    scene.answer()

    assert [(FLOW, 1003, False)] == scene.speaker.words
    assert 1 == scene.keeper.counts.blocked


def test_a_crash_with_an_open_match_that_was_cleared(scene):
    """What `again` let out is remembered from the open match on, however long ago it began."""
    scene.take(0, b"." * 500 + b"tok_" + b"a" * 2000, again=True)
    scene.answer()
    scene.crash()
    scene.take(2504, b"b! ")
    scene.answer()

    assert [(FLOW, 2504, True)] == scene.speaker.words
    assert 1 == scene.keeper.counts.blocked


def test_a_word_of_a_process_that_came_late_counts_not(scene):
    """A word clears nothing where its process has not searched what came first."""
    scene.take(0, b"x tok_ab")
    record = Record(flow=FLOW, offset=8, data=b"clean", held=True)
    scene.take(8, b"cd")
    scene.inspector.records.clear()
    scene.keeper.on_word(record, Word(flow=FLOW, since=8, to=10, keep=False, back=10))

    assert [] == scene.speaker.words
    assert [(0, b"x tok_abcd", True)] == [
        (one.offset, one.data, one.anew) for one in scene.inspector.records
    ]


def test_a_record_that_did_not_fit(scene):
    """What the inspector had no room for is told with the next record."""
    scene.inspector.full = True
    scene.take(0, b"x tok_ab")
    scene.inspector.full = False
    scene.take(8, b"cd! ")
    scene.answer()

    assert 1 == scene.keeper.counts.blocked
    assert 1 == scene.keeper.counts.lost


def test_a_record_that_was_lost(scene):
    """Behind a gap in what is held nothing is cleared; the lost record comes again."""
    scene.take(0, b"x tok_ab")
    scene.answer()
    scene.take(12, b" clean")
    scene.answer()
    words = list(scene.speaker.words)
    scene.take(8, b"cd! ")
    scene.answer()

    assert [(FLOW, 2, True)] == words
    assert 1 == scene.keeper.counts.blocked


def test_a_second_hold(scene):
    """After a clear the flow goes on; its next hold is one of its own."""
    scene.take(0, b"clean")
    scene.answer()
    scene.take(4000, b"-" * 128 + b"tok_", before=128)
    scene.take(4132, b"abcd! ")
    scene.answer()

    assert (2, 1, 1) == (
        scene.keeper.counts.begun,
        scene.keeper.counts.cleared,
        scene.keeper.counts.blocked,
    )


def test_time_up(scene):
    """The kernel has decided: the flow is forgotten, and counted as undecided."""
    scene.take(0, b"tok_ab")
    scene.keeper.timed_out(FLOW)
    scene.keeper.timed_out(FLOW)
    scene.answer()

    assert [] == scene.speaker.words
    assert (1, 1, None) == (
        scene.keeper.counts.begun,
        scene.keeper.counts.undecided,
        scene.keeper.left(FLOW),
    )


def test_sweep(scene):
    """Flows of which nothing is heard are forgotten, those that wait as undecided."""
    scene.take(0, b"tok_ab")
    scene.keeper.take(payload(0, b"clean", flow=8))
    scene.answer()
    scene.now = holds.LINGER_S
    scene.keeper.sweep()
    kept = scene.keeper.left(8)
    scene.now += 1
    scene.keeper.sweep()

    assert (5, None, None) == (kept, scene.keeper.left(8), scene.keeper.left(FLOW))
    assert 1 == scene.keeper.counts.undecided


def test_flows_are_bounded(scene, monkeypatch):
    """One that waits gives its place to no other; one that does not, does."""
    monkeypatch.setattr(holds, "FLOWS", 2)
    scene.keeper.take(payload(0, b"tok_", flow=1))
    scene.keeper.take(payload(0, b"tok_", flow=2))
    scene.keeper.take(payload(0, b"tok_", flow=3))
    refused = scene.keeper.left(3), scene.keeper.counts.lost
    scene.take(0, b"clean", flow=1, again=True)
    scene.answer()
    scene.keeper.take(payload(0, b"tok_", flow=3))

    assert (None, 1) == refused
    assert (None, 0, 0) == tuple(scene.keeper.left(flow) for flow in (1, 2, 3))


@pytest.mark.parametrize("bound", ["FLOW_BYTES", "BYTES"])
def test_bytes_are_bounded(scene, monkeypatch, bound):
    """What is not kept is judged as it comes; only after a crash it cannot be."""
    monkeypatch.setattr(holds, bound, 100)
    scene.take(0, b"tok_" + b"a" * 60)
    scene.take(64, b"a" * 60)
    scene.answer()
    assert [] == scene.speaker.words
    scene.crash()
    scene.take(124, b" clean")
    scene.answer()

    assert [] == scene.speaker.words
    assert scene.keeper.counts.lost > 0


def test_bytes_are_given_back(scene, monkeypatch):
    """What was cleared, blocked or forgotten takes no room."""
    monkeypatch.setattr(holds, "BYTES", 3000)
    for flow in range(20):
        scene.keeper.take(payload(0, b"x tok_abcd! " if flow % 2 else b"clean " * 100, flow=flow))
        scene.answer()
        scene.keeper.take(payload(0, b"tok_" * 200, flow=100 + flow))
        scene.keeper.timed_out(100 + flow)
    scene.now = 1000.0
    scene.keeper.sweep()
    scene.take(0, b"tok_" + b"a" * 2000)
    scene.crash()

    assert [True] == [record.anew for record in scene.inspector.records]


def test_a_flow_that_ends_processes(scene):
    """It gets no word: the kernel's time decides."""
    scene.take(0, b"clean")
    scene.keeper.missed(FLOW)
    scene.crash()
    scene.take(0, b"clean", again=True)
    scene.answer()

    assert [] == scene.speaker.words


def test_no_room_for_words(scene):
    """A word that the kernel does not take is said again when the segment comes again."""
    scene.speaker.full = True
    scene.take(0, b"clean")
    scene.answer()
    scene.speaker.full = False
    scene.take(0, b"clean", again=True)
    scene.answer()

    assert [(FLOW, 5, False)] == scene.speaker.words


def test_policy_of_another_release(scene):
    """A policy's number says nothing to rules of another release: all of them are asked."""
    scene.take(0, b"a")
    scene.take(1, b"b", release=4)
    scene.keeper.use(None)
    scene.take(2, b"c")
    scene.keeper.use(4)
    scene.take(3, b"d", release=4)

    assert [1, ANY_POLICY, ANY_POLICY, 1] == [one.policy for one in scene.inspector.records]


def test_time_to_the_word(scene):
    """From the kernel's record to the word."""
    scene.take(0, b"clean", time_ns=holds.time.monotonic_ns() - 2_000_000_000)
    scene.answer()

    assert 2.0 <= scene.keeper.counts.wait_s == scene.keeper.counts.longest_s < 60.0


def test_rules(policy_set, card_image):
    """Rules for what some policy holds, each with the policies that do."""
    text = (
        "  - name: a\n    match: {netns: [a]}\n"
        '    rules: [{signatures: ["pci.card.visa"], action: hold}]\n'
        '  - {name: b, rules: [{signatures: ["pci.*"], action: drop}]}'
    )
    rules = hold_rules(card_image, policy_set(text))
    ids = [one.id for one in card_image.signatures]
    inspected = [
        one.id for one in card_image.signatures if one.decided is DecidedBy.INSPECTOR
    ]  # of these a drop waits for the inspector's word
    found = {rule.id: rule for rule in rules}
    visa = found["pci.card.visa"]

    assert ["pci.card.uncategorised", "pci.track.one", "pci.track.two"] == sorted(inspected)
    assert sorted({"pci.card.visa", *inspected}, key=ids.index) == [rule.id for rule in rules]
    assert [ids.index(rule.id) for rule in rules] == [rule.index for rule in rules]
    assert 0b010 == visa.policies & 0b110
    assert all(0b100 == found[name].policies & 0b110 for name in inspected)
    assert 13 <= visa.front <= 16
