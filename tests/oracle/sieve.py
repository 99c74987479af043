"""Which rules can match in a text at all: what every match of an expression must hold.

A sieve for the model's speed, read off the syntax tree: fixed bytes, in any case, and how many
digits there are at least. It may let through what does not match, and never holds back what
does; `test_sieve.py` holds the model with it to the model without.
"""

from __future__ import annotations

import dataclasses
import re
import re._constants as op  # the syntax tree has no public door
import re._parser as parser
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import sub
from typing import Any

DIGITS = b"0123456789"
EVERY = (1 << 32) - 1  # bytes: more than any text has
ALTERNATIVES = 24  # more texts than these, one of which must be there, are not looked for

_DIGIT = re.compile(rb"[0-9]")
_REPEATS = {op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT}
_EMPTY = {op.AT, op.ASSERT, op.ASSERT_NOT}


@dataclass(frozen=True, slots=True)
class Need:
    """One of `texts`, which are in lower case, and so many digits within `longest` bytes.

    No texts ask for nothing.
    """

    texts: tuple[bytes, ...] = ()
    digits: int = 0
    longest: int = EVERY

    @property
    def worth(self) -> tuple[int, int]:
        """Long texts hold back most; of equally long ones few are looked for faster."""
        return min(map(len, self.texts), default=0), -len(self.texts)


def need(regex: re.Pattern[bytes]) -> Need:
    """What every match of an expression holds."""
    tree = parser.parse(regex.pattern, regex.flags & ~re.UNICODE)
    return dataclasses.replace(_sequence(tree), longest=min(int(tree.getwidth()[1]), EVERY))


def _sequence(nodes: Any) -> Need:
    """The best texts of all parts, and the digits of each together."""
    found: list[Need] = []
    run = b""
    digits = 0
    for code, value in _flat(nodes):
        if code in _EMPTY:
            continue
        fixed, part = _part(code, value)
        digits += part.digits
        if fixed is None:
            found += (Need((run,)), part) if run else (part,)
            run = b""
        else:
            run += fixed
    if run:
        found.append(Need((run,)))
    best = max(found, key=lambda each: each.worth, default=Need())
    return Need(best.texts, digits)


def _flat(nodes: Any) -> Iterator[tuple[Any, Any]]:
    """Groups are what stands in them."""
    for code, value in nodes:
        if code is op.SUBPATTERN:
            yield from _flat(value[3])
        elif code is op.ATOMIC_GROUP:
            yield from _flat(value)
        else:
            yield code, value


def _part(code: Any, value: Any) -> tuple[bytes | None, Need]:
    """The bytes that a part is, in lower case, or None; and what it holds."""
    if code is op.LITERAL:
        byte = bytes([value]).lower()
        return byte, Need((byte,), value in DIGITS)
    if code is op.IN:
        members = _members(value)
        one = {bytes([byte]).lower() for byte in members}
        digits = int(members <= set(DIGITS))
        return (one.pop() if len(one) == 1 else None), Need(digits=digits)
    if code in _REPEATS:
        return _repeated(*value)
    if code is op.BRANCH:
        each = [_sequence(alternative) for alternative in value[1]]
        texts = tuple({text: None for one in each for text in one.texts})
        if not all(one.texts for one in each) or len(texts) > ALTERNATIVES:
            texts = ()
        return None, Need(texts, min(one.digits for one in each))
    return None, Need()


def _repeated(low: int, high: int, body: Any) -> tuple[bytes | None, Need]:
    if low == 0:
        return None, Need()
    inner = _sequence(body)
    total = Need(inner.texts, inner.digits * low)
    parts = [_part(code, value)[0] for code, value in _flat(body) if code not in _EMPTY]
    fixed = [part for part in parts if part is not None]
    if low == high and parts and len(fixed) == len(parts):
        return b"".join(fixed) * low, total
    return None, total


def _members(items: Any) -> set[int]:
    """The bytes of a class; all where it is one of another kind than a list."""
    members: set[int] = set()
    for code, value in items:
        if code is op.LITERAL:
            members.add(value)
        elif code is op.RANGE:
            members.update(range(value[0], value[1] + 1))
        elif code is op.CATEGORY and value is op.CATEGORY_DIGIT:
            members.update(DIGITS)
        else:
            return set(range(256))
    return members


class Sieve:
    """Rules by what they need: (number, expression), the number as the caller counts them."""

    def __init__(self, rules: Iterable[tuple[int, re.Pattern[bytes]]]) -> None:
        groups: dict[tuple[bytes, ...], list[tuple[int, Need]]] = {}
        for number, regex in rules:
            wanted = need(regex)
            groups.setdefault(wanted.texts, []).append((number, wanted))
        self._members = list(groups.values())
        self._texts = [(text, group) for group, texts in enumerate(groups) for text in texts]
        self._always = {group for group, texts in enumerate(groups) if not texts}

    def left(self, text: bytes) -> list[int]:
        """The rules that may match in a text."""
        lower = text.lower()
        groups = {group for each, group in self._texts if each in lower} | self._always
        places = [found.start() for found in _DIGIT.finditer(text)]
        spans: dict[int, int] = {}  # how close so many digits stand somewhere
        numbers = []
        for group in groups:
            for number, wanted in self._members[group]:
                count = wanted.digits
                if count > 1 and count not in spans:
                    spans[count] = min(map(sub, places[count - 1 :], places), default=EVERY)
                if count <= len(places) and (count < 2 or spans[count] < wanted.longest):
                    numbers.append(number)
        return numbers
