"""What the kernel must report of a stream that is cut into segments: the model.

It knows regular expressions and checksums, and nothing of shapes, q-grams, tails or chunks.
Expressions that cannot match in a text are not tried on it: `sieve` tells, from fixed bytes and
the number of digits.

A signature matches at a start with the first segment whose end, taken as the end of the text,
lets `regex.match(stream so far, start)` succeed on a value that passes the checksum and has a
keyword before it, where the signature asks for one. The kernel must report it in exactly that
segment and never again. A datagram stands alone.

One thing is left to the kernel: where a number passes its checksum at the end of one segment and,
grown by the next, passes it again, it may be reported a second time, as the longer number it is.
So may a match that ended with the segment because its expression names the end of the data, where
another alternative takes more of the next; one that is told apart by its whole normalised value;
and one that another alternative makes of it with the next segment, with no match of any length
between the two.

Matches that are longer than the kernel decides are only asked for as a prefilter: it must have
fired by that segment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.oracle.checks import Check, alphanumerics, none
from tests.oracle.sieve import Sieve

SPAN = 126
# A match and its boundaries end within SPAN and a few bytes of look-ahead, so what starts
# further back than this from a segment's end cannot change when more follows.
WINDOW = SPAN + 18
KEPT = 128  # bytes of a stream that the kernel keeps


@dataclass(frozen=True, slots=True)
class Near:
    """A keyword in any case, at most `distance` bytes before the value, which stands alone."""

    keywords: tuple[bytes, ...]
    distance: int

    def holds(self, text: bytes, start: int) -> bool:
        """Whether one stands before text[start]; nothing stands before the text."""
        for word in self.keywords:
            low = max(0, start - self.distance - len(word))
            before = text[low:start].lower()
            at = before.find(word.lower())
            while at >= 0:
                first, end = low + at, low + at + len(word)
                if (
                    not text[end : end + 1].isalnum()
                    and not text[max(0, first - 1) : first].isalnum()
                ):
                    return True
                at = before.find(word.lower(), at + 1)
        return False


@dataclass(frozen=True, slots=True)
class Rule:
    """A signature as the model sees it. `exact`: the kernel decides it alone."""

    id: str
    regex: re.Pattern[bytes]
    check: Check
    exact: bool = True
    normalise: bool = False  # values are equal by their letters and digits, whatever the case
    near: Near | None = None
    ended: bool = False  # the expression itself names the end of the data

    @property
    def checked(self) -> bool:
        """A match without a checksum may be reported by as little of it as makes it one."""
        return self.check is not none

    def value(self, matched: bytes) -> bytes:
        return alphanumerics(matched).encode() if self.normalise else matched


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes `start` to `end` of the case's stream, sent in one packet."""

    start: int
    end: int
    syn: bool = False

    @property
    def size(self) -> int:
        return self.end - self.start


class Place(NamedTuple):
    """Number of the rule, and where in the stream its match starts."""

    rule: int
    start: int


class Found(NamedTuple):
    """A match at a place: how long it is, and the value it is told apart by."""

    length: int
    value: bytes


@dataclass(slots=True)
class Expected:
    """What is due with one segment.

    `due` must be reported, each value once a flow; `tolerated` may be: what a retransmission
    shows again, and a number that grew. A rule in `prefilters` must have fired with this
    segment or one before. `dropped`: the segment may not pass.
    """

    due: dict[Place, Found] = field(default_factory=dict)
    tolerated: dict[Place, Found] = field(default_factory=dict)
    prefilters: set[int] = field(default_factory=set)
    dropped: bool = False


def matches(rule: Rule, text: bytes, low: int, high: int) -> Iterator[tuple[int, int]]:
    """(start, length) of each match that starts at `low` or later in text[:high]."""
    search = rule.regex.search
    while found := search(text, low, high):
        start, end = found.span()
        if (
            end > start
            and rule.check(text[start:end])
            and (rule.near is None or rule.near.holds(text, start))
        ):
            yield start, end - start
        low = start + 1


def grows(rule: Rule, text: bytes, start: int, short: int, length: int) -> bool:
    """Whether a longer match at a place is another than the shorter one that was before it.

    Of a run that only went on the kernel knows as little as makes it a match: it is the same.
    """
    return (
        rule.checked
        or rule.ended
        or rule.normalise
        or not all(
            rule.regex.fullmatch(text, start, start + between)
            for between in range(short + 1, length)
        )
    )


class Model:
    """Judges streams and datagrams for one set of rules; holds no state between calls.

    Args:
        sieved: whether expressions that cannot match are passed over, which changes nothing.
    """

    def __init__(self, rules: Sequence[Rule], *, sieved: bool = True) -> None:
        self.rules = tuple(rules)
        self._sieved = sieved
        self._exact = [number for number, rule in enumerate(rules) if rule.exact]
        self._loose = [number for number, rule in enumerate(rules) if not rule.exact]
        self._sieves = {
            exact: Sieve((number, self.rules[number].regex) for number in numbers)
            for exact, numbers in ((True, self._exact), (False, self._loose))
        }

    def _tried(self, text: bytes, *, exact: bool) -> Iterator[tuple[int, Rule]]:
        """The rules that can match in a text."""
        if self._sieved:
            numbers = self._sieves[exact].left(text)
        else:
            numbers = self._exact if exact else self._loose
        return ((number, self.rules[number]) for number in numbers)

    def stream(self, data: bytes, segments: Sequence[Segment]) -> list[Expected]:
        """A TCP flow. The first segment's start is stream offset `segments[0].start`."""
        result: list[Expected] = []
        base = following = segments[0].start
        seen: dict[Place, int] = {}
        fired: set[int] = set()
        for segment in segments:
            expected = Expected()
            if segment.start > following and segments[0].syn:
                # A flow known from its start: what is beyond a hole waits for it.
                expected.dropped = True
                result.append(expected)
                continue
            if segment.start > following:  # a gap: what follows is read as a new stream
                base = following = segment.start
            text = data[base : max(segment.end, following)]
            if segment.start < following:
                self._tolerate(expected, data, base, following, segment)
            if segment.end > following:
                self._require(expected, seen, text, base, following)
                for number, rule in self._tried(text, exact=False):
                    if number not in fired and any(matches(rule, text, 0, len(text))):
                        fired.add(number)
                        expected.prefilters.add(number)
                following = segment.end
            result.append(expected)
        return result

    def datagrams(self, data: bytes, segments: Sequence[Segment]) -> list[Expected]:
        """Each segment by itself; starts are counted from the datagram's first byte."""
        return [self.stream(data[s.start : s.end], [Segment(0, s.size)])[0] for s in segments]

    def _require(
        self, expected: Expected, seen: dict[Place, int], text: bytes, base: int, following: int
    ) -> None:
        """What the bytes from `following` on bring to light; `text` begins at `base`."""
        low = max(0, following - base - WINDOW)
        for number, rule in self._tried(text[low:], exact=True):
            for start, length in matches(rule, text, low, len(text)):
                place = Place(number, base + start)
                found = Found(length, rule.value(text[start : start + length]))
                if place not in seen:
                    seen[place] = length
                    expected.due[place] = found
                elif length > seen[place] and grows(rule, text, start, seen[place], length):
                    expected.tolerated[place] = found

    def _tolerate(
        self, expected: Expected, data: bytes, base: int, following: int, again: Segment
    ) -> None:
        """A retransmission may show what its bytes hold, behind whatever is left of its context.

        That is all that was before, nothing, or what lies in the bytes kept of the stream.
        """
        ends = {again.end, min(again.end, following)}
        for origin in {0, base, again.start, max(0, following - KEPT)}:
            for end in ends:
                low = max(0, again.start - origin - WINDOW)
                text = data[origin:end]
                for number, rule in self._tried(text[low:], exact=True):
                    for start, length in matches(rule, text, low, end - origin):
                        value = rule.value(text[start : start + length])
                        expected.tolerated[Place(number, origin + start)] = Found(length, value)


def naive(rules: Sequence[Rule], data: bytes, cuts: Sequence[int]) -> list[dict[Place, int]]:
    """The definition word by word: every rule at every start for every segment's end."""
    seen: set[Place] = set()
    result: list[dict[Place, int]] = []
    for end in (*cuts, len(data)):
        lengths: dict[Place, int] = {}
        text = data[:end]
        for number, rule in enumerate(rules):
            for start in range(end):
                place = Place(number, start)
                found = rule.regex.match(text, start)
                if found is None or place in seen or not rule.check(found.group()):
                    continue
                if rule.near is not None and not rule.near.holds(text, start):
                    continue
                seen.add(place)
                lengths[place] = len(found.group())
        result.append(lengths)
    return result
