"""Kernel and model side by side: what disagrees, told without the value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.oracle.cases import Carrier, Case
from tests.oracle.model import Expected, Found, Place, Rule


@dataclass(slots=True)
class Observed:
    """What the kernel made of one segment.

    `hits`: places with lengths, as reported. `mirrored`: payload of the flow went to the
    inspector, which is how a prefilter shows. `over_budget`: it was dropped because the work
    bound was reached, which is allowed and counted; any other drop is not, as the policy of the
    oracle only alerts.
    """

    hits: list[tuple[Place, int]] = field(default_factory=list)
    mirrored: bool = False
    passed: bool = True
    over_budget: bool = False


@dataclass(frozen=True, slots=True)
class Disagreement:
    """`again` are the arguments of `python -m tests.oracle` that show it once more."""

    again: str
    case: int
    kind: str
    segment: int
    what: str
    signature: str
    start: int
    length: int
    cuts: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        place = f"{self.signature} at {self.start}+{self.length}" if self.signature else ""
        cuts = " ".join(f"{low}-{high}" for low, high in self.cuts[:12])
        more = f" … {len(self.cuts)} segments" if len(self.cuts) > 12 else ""
        return (
            f"case {self.case} ({self.kind}), segment {self.segment}: {self.what} {place}"
            f" | segments {cuts}{more} | {self.again}"
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    matches: int
    over_budget: int
    disagreements: list[Disagreement]


def compare(
    again: str,
    case: Case,
    rules: Sequence[Rule],
    expected: Sequence[Expected],
    observed: Sequence[Observed],
) -> Outcome:
    """Judge a case up to the first segment that went over budget.

    From there on the kernel may know less of the stream than the model does. `again` goes into
    each disagreement.
    """
    return _Comparison(again, case, rules).run(expected, observed)


class _Comparison:
    def __init__(self, again: str, case: Case, rules: Sequence[Rule]) -> None:
        self._again, self._case, self._rules = again, case, rules
        self._found: list[Disagreement] = []
        self._segment = 0
        self._reported: set[Place] = set()
        self._told: set[tuple[int, bytes]] = set()  # values, by rule
        self._mirrored = False

    def run(self, expected: Sequence[Expected], observed: Sequence[Observed]) -> Outcome:
        matches = 0
        for index, (want, got) in enumerate(zip(expected, observed, strict=True)):
            self._segment = index
            if got.over_budget:
                return Outcome(matches, 1, self._found)
            matches += len(want.due) + len(want.prefilters)
            self._judge(want, got)
        return Outcome(matches, 0, self._found)

    def _judge(self, want: Expected, got: Observed) -> None:
        if got.passed == want.dropped:
            self._report("passed" if got.passed else "dropped")
        if self._case.carrier is Carrier.UDP:
            self._reported.clear()  # places are counted anew in each datagram
        for place, length in got.hits:
            self._judge_hit(want, place, length)
        for place in sorted(want.due.keys() - self._reported):
            if not self._told_before(place, want.due[place]):
                self._report("missed", place, want.due[place].length)
        self._mirrored |= got.mirrored
        for rule in sorted(want.prefilters if not self._mirrored else ()):
            self._report("prefilter silent", Place(rule, 0))

    def _judge_hit(self, want: Expected, place: Place, length: int) -> None:
        rule = self._rules[place.rule]
        self._told.add((place.rule, rule.value(self._bytes(place, length))))
        found = want.due.get(place)
        if found is None:
            if place not in want.tolerated:
                what = "reported again" if place in self._reported else "unfounded"
                self._report(what, place, length)
        elif place in self._reported:
            self._report("reported again", place, length)
        elif length > found.length or (rule.checked and length < found.length):
            self._report("of another length", place, length)
        self._reported.add(place)

    def _told_before(self, place: Place, found: Found) -> bool:
        """A value is an event once in a flow, also where it stands in several places."""
        if self._rules[place.rule].checked:
            return (place.rule, found.value) in self._told
        if self._rules[place.rule].normalise:
            return any(
                rule == place.rule and found.value.startswith(value) for rule, value in self._told
            )
        return any(
            rule == place.rule and self._bytes(place, len(value)) == value
            for rule, value in self._told
        )

    def _bytes(self, place: Place, length: int) -> bytes:
        origin = 0
        if self._case.carrier is Carrier.UDP:
            origin = self._case.segments[self._segment].start
        return self._case.stream[origin + place.start :][:length]

    def _report(self, what: str, place: Place | None = None, length: int = 0) -> None:
        self._found.append(
            Disagreement(
                again=self._again,
                case=self._case.number,
                kind=self._case.kind,
                segment=self._segment,
                what=what,
                signature=self._rules[place.rule].id if place else "",
                start=place.start if place else 0,
                length=length,
                cuts=tuple((segment.start, segment.end) for segment in self._case.segments),
            )
        )


def outline(data: bytes) -> str:
    """The look of bytes without their content: a, A and 9 for what is alphanumeric."""
    shown = []
    for byte in data:
        character = chr(byte)
        if 48 <= byte <= 57:
            shown.append("9")
        elif byte < 128 and character.isalpha():
            shown.append("a" if character.islower() else "A")
        elif character in " -./_=:\"'":
            shown.append(character)
        else:
            shown.append("#" if byte < 128 else "~")
    return "".join(shown)
