"""A strict YAML reader: plain values, and the line of every key.

Reads mappings, sequences and scalars of one document. Anchors, aliases and tags are
refused (they can blow a small file up), so are duplicate keys and deep nesting. Plain
scalars become int, bool or None by the rules of the YAML 1.2 core schema (so that
`NO` stays a string); a number with a point stays a string too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from dlp.errors import PackError, Place

LARGEST: Final = 4 << 20
DEEPEST: Final = 16

Value = dict[str, "Value"] | list["Value"] | str | int | bool | None
Key = tuple[str | int, ...]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_WORDS: Final[dict[str, bool | None]] = {
    "": None,
    "~": None,
    "null": None,
    "true": True,
    "false": False,
}


@dataclass(frozen=True, slots=True)
class Document:
    """A file's value with the 1-based line of each key path."""

    file: Path
    value: Value
    lines: dict[Key, int] = field(repr=False)

    def place(self, key: Key) -> Place:
        """Where a key path lies; a missing key lies where its nearest parent does."""
        known = key
        while known and known not in self.lines:
            known = known[:-1]
        return Place(self.file, self.lines.get(known, 1), dotted(key))


def dotted(key: Key) -> str:
    """`signatures[2].mask.head` for a key path."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read(file: Path) -> Document:
    """Read a file. Raises PackError with file and line; no message holds a value."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(LARGEST + 1)
    except OSError as error:
        raise PackError(
            f"cannot be read: {error.strerror}", place=Place(file), remedy="check path and rights"
        ) from error
    if len(raw) > LARGEST:
        raise PackError(
            f"is larger than {LARGEST >> 20} MiB", place=Place(file), remedy="split the pack"
        )
    return parse(raw, file)


def parse(raw: bytes, file: Path) -> Document:
    """As `read`, from bytes; `file` is named in errors only."""
    try:
        text = raw.decode("utf-8")
        return _Reader(file, yaml.parse(text, Loader=_LOADER)).document()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise PackError("is not UTF-8", place=Place(file, line)) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise PackError(
            f"is not YAML: {error.problem or error.context}",
            place=Place(file, mark.line + 1 if mark else None),
        ) from None
    except yaml.YAMLError as error:
        raise PackError("is not YAML: unreadable character", place=Place(file)) from error


class _Reader:
    def __init__(self, file: Path, events: Iterator[yaml.Event]) -> None:
        self.file = file
        self.events = (
            event
            for event in events
            if not isinstance(event, yaml.StreamStartEvent | yaml.DocumentEndEvent)
        )
        self.lines: dict[Key, int] = {}

    def document(self) -> Document:
        if not isinstance(next(self.events), yaml.DocumentStartEvent):
            raise PackError("is empty", place=Place(self.file))
        value = self.value(next(self.events), ())
        after = next(self.events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise self.error("a file holds one YAML document", after, ())
        return Document(self.file, value, self.lines)

    def value(self, event: yaml.Event, key: Key) -> Value:
        self.lines.setdefault(key, _line(event))
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise self.error("YAML anchors and aliases are refused", event, key, "write it out")
        if getattr(event, "tag", None) not in (None, "!"):
            raise self.error("YAML tags are refused", event, key, "leave the tag out")
        if len(key) > DEEPEST:
            raise self.error("is nested too deeply", event, key[:2])
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(key)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(key)
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event.value, plain=event.implicit[0])
        raise self.error("is not a value", event, key)

    def mapping(self, key: Key) -> dict[str, Value]:
        result: dict[str, Value] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent) or event.anchor:
                raise self.error("keys are plain words", event, key)
            name = event.value
            if name in result:
                raise self.error("key is there twice", event, (*key, name), "remove one")
            self.lines[*key, name] = _line(event)
            result[name] = self.value(next(self.events), (*key, name))
        return result

    def sequence(self, key: Key) -> list[Value]:
        result: list[Value] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            result.append(self.value(event, (*key, len(result))))
        return result

    def error(self, message: str, event: yaml.Event, key: Key, remedy: str = "") -> PackError:
        place = Place(self.file, _line(event), dotted(key))
        return PackError(message, place=place, remedy=remedy)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _scalar(text: str, *, plain: bool) -> Value:
    if not plain:
        return text
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    return int(text) if _INTEGER.fullmatch(text) else text
