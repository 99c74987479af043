"""Typed reading of nodes. A bad value becomes a problem and reading goes on with a default."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from typing import Self, TypeVar

from dlp.config.problems import Problems, did_you_mean, joined, one_of, shown
from dlp.config.source import Mapping, Node, Scalar, Sequence, describe

T = TypeVar("T")

_INTEGER = re.compile(r"[-+]?[0-9]{1,15}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DURATION = re.compile(r"([0-9]{1,6})([smh])")
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"([0-9]{1,6})(KiB|MiB)")
_UNITS_B = {"KiB": 1 << 10, "MiB": 1 << 20}


class Value:
    """A node, where it stands, and where its problems go.

    Attributes:
        key: dotted key, as `policies[0].rules[1].action`.
    """

    def __init__(self, node: Node, key: str, line: int, problems: Problems) -> None:
        self.node = node
        self.key = key
        self.line = line
        self._problems = problems

    def problem(self, message: str, remedy: str) -> None:
        """Note a problem of this value."""
        self._problems.add(self.line, self.key, message, remedy)

    def expected(self, what: str, remedy: str) -> None:
        """Note that the value is not what its key takes."""
        self.problem(f"found {describe(self.node)}, expected {what}", remedy)

    def text(self, what: str = "a text", remedy: str = "write the value behind the key") -> str:
        """A scalar's text; empty, with a problem, where there is none."""
        if isinstance(self.node, Scalar) and not self.node.is_null:
            if self.node.text.strip():
                return self.node.text
            self.problem(f"found an empty text, expected {what}", remedy)
            return ""
        self.expected(what, remedy)
        return ""

    def choice(self, allowed: dict[str, T], default: T) -> T:
        """The value of one of a few words."""
        word = self.node.text if isinstance(self.node, Scalar) else ""
        if word in allowed:
            return allowed[word]
        expected = one_of(allowed)
        self.expected(expected, did_you_mean(word, allowed) or f"write {expected}")
        return default

    def integer(self, low: int, high: int, default: int) -> int:
        """A number written in decimal digits, both bounds included."""
        what = f"a whole number from {low} to {high}"
        if isinstance(self.node, Scalar) and self.node.plain and _INTEGER.fullmatch(self.node.text):
            number = int(self.node.text)
            if low <= number <= high:
                return number
            self.expected(what, "choose a number in that range")
            return default
        self.expected(what, "write the number in digits, without quotes")
        return default

    def duration(self, low: float, high: float, default: float) -> float:
        """Seconds of a duration as `30s`, `5m` or `1h`, both bounds (seconds) included."""
        what = f"a duration from {told(low)} to {told(high)}"
        found = _DURATION.fullmatch(self.node.text) if isinstance(self.node, Scalar) else None
        if found is None:
            self.expected(what, "write a number and s, m or h, as 30s, 5m or 1h")
            return default
        seconds = int(found[1]) * _UNITS_S[found[2]]
        if low <= seconds <= high:
            return seconds
        self.expected(what, "choose a duration in that range")
        return default

    def size(self, low: int, high: int, default: int) -> int:
        """Bytes of a size as `512KiB` or `16MiB`, both bounds (bytes) included."""
        what = f"a size from {low >> 10}KiB to {high >> 20}MiB"
        found = _SIZE.fullmatch(self.node.text) if isinstance(self.node, Scalar) else None
        if found is None:
            self.expected(what, "write a number and KiB or MiB, as 512KiB or 16MiB")
            return default
        number = int(found[1]) * _UNITS_B[found[2]]
        if low <= number <= high:
            return number
        self.expected(what, "choose a size in that range")
        return default

    def day(self, default: date) -> date:
        """A date in ISO form."""
        remedy = "write year, month and day, as 2027-01-31"
        if isinstance(self.node, Scalar) and _DATE.fullmatch(self.node.text):
            try:
                return date.fromisoformat(self.node.text)
            except ValueError:
                self.problem("found a date that no calendar has", remedy)
                return default
        self.problem(f"found {_kind(self.node)}, expected a date", remedy)
        return default

    def items(self, what: str, *, single: bool = False) -> Iterator[Value]:
        """Each entry of a list; with `single`, a value that is no list counts as one of one."""
        if isinstance(self.node, Sequence):
            for number, node in enumerate(self.node.items):
                yield Value(node, f"{self.key}[{number}]", node.line, self._problems)
        elif single and isinstance(self.node, Scalar) and not self.node.is_null:
            yield self
        else:
            self.expected(f"a list of {what}", f"write a list, as [{what}, …] or with dashes")

    def section(self) -> Section | None:
        """The value as a mapping, None with a problem where it is none."""
        if isinstance(self.node, Mapping):
            return Section(self.node, self.key, self.line, self._problems)
        self.expected("a mapping", "write `key: value` pairs; {} is the empty mapping")
        return None


class Section:
    """A mapping whose keys are asked for one by one; `close` reports those nobody asked for.

    Used as a context manager, it closes itself.
    """

    def __init__(self, node: Mapping, key: str, line: int, problems: Problems) -> None:
        self.key = key
        self.line = line
        self._node = node
        self._problems = problems
        self._asked: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()

    def get(self, name: str) -> Value | None:
        """The value of a key, None where the key is absent."""
        self._asked.append(name)
        if name not in self._node.values:
            return None
        key = f"{self.key}.{name}" if self.key else name
        return Value(self._node.values[name], key, self._node.lines[name], self._problems)

    def need(self, name: str, remedy: str) -> Value | None:
        """As get, with a problem where the key is absent."""
        value = self.get(name)
        if value is None and not self._misspelt(name):
            self._problems.add(self.line, self.key, f"the key '{name}' is missing", remedy)
        return value

    def read(self, name: str, reader: Callable[[Value], T], default: T) -> T:
        """What `reader` makes of a key's value, `default` where the key is absent."""
        value = self.get(name)
        return default if value is None else reader(value)

    def close(self) -> None:
        """Note each key that nobody asked for."""
        for name, line in self._node.lines.items():
            if name in self._asked:
                continue
            remedy = did_you_mean(name, self._asked) or f"known here: {', '.join(self._asked)}"
            self._problems.add(line, joined(self.key, name), f"unknown key {shown(name)}", remedy)

    def _misspelt(self, name: str) -> bool:
        """Whether an unknown key is near: one problem tells more than two."""
        others: Iterable[str] = (key for key in self._node.values if key not in self._asked)
        return any(did_you_mean(other, [name]) for other in others)


def told(seconds: float) -> str:
    """Seconds as `duration` takes them, in the largest unit that fits."""
    for unit, size in reversed(_UNITS_S.items()):
        if seconds % size == 0:
            return f"{int(seconds / size)}{unit}"
    return f"{seconds} seconds"


def _kind(node: Node) -> str:
    if isinstance(node, Scalar) and not node.is_null:
        return f"a text of {len(node.text)} characters"
    return describe(node)
