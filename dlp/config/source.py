"""YAML text to nodes that know their line, over PyYAML's events.

Scalars stay text: what `no`, `1e5` or `010` means is for the key to say, so that YAML's
guesses never turn the namespace `no` into False. Refused, because a policy file never needs
them and each can surprise: anchors, aliases, tags, duplicate keys, several documents, files
over 1 MiB, text that is not UTF-8, deep nesting.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from dlp.config.problems import Problems, joined, shown
from dlp.errors import ConfigError, Place

MAX_BYTES = 1 << 20
MAX_DEPTH = 16

_MEND = "the usual causes are indentation and an unquoted value that begins with one of : * & @"
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_QUOTED_PART = re.compile(r"'[^']*'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """`plain`: written without quotes."""

    line: int
    text: str
    plain: bool

    @property
    def is_null(self) -> bool:
        """Whether nothing was written, or YAML's word for it."""
        return self.plain and self.text in _NULLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """A list; `line` is where it begins."""

    line: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """`lines`: of each key, while a value may stand on a later line."""

    line: int
    values: dict[str, Node]
    lines: dict[str, int]


Node = Scalar | Sequence | Mapping


def describe(node: Node) -> str:
    """What a node is, for `found …`, without its content unless it is an ordinary word."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    return "nothing" if node.is_null else shown(node.text)


def read(file: Path) -> str:
    """Text of a policy file. Raises ConfigError if it cannot be read as such."""
    try:
        with file.open("rb") as source:
            data = source.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigError(
            "there is no such file",
            remedy="name an existing policy file; deploy/dlp.yaml is an example",
            place=Place(file),
        ) from error
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {(error.strerror or 'input/output error').lower()}",
            remedy="check the file's type and permissions",
            place=Place(file),
        ) from error
    if len(data) > MAX_BYTES:
        raise ConfigError(
            "larger than 1 MiB",
            remedy="a policy file is some kilobytes; check that the path is right",
            place=Place(file),
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            "is not UTF-8 text",
            remedy="save the file as UTF-8",
            place=Place(file, data.count(b"\n", 0, error.start) + 1),
        ) from error


def parse(text: str, problems: Problems) -> Node | None:
    """The tree of a document, None where it has no content.

    Anchors, tags and duplicate keys are added to `problems` and reading goes on.

    Raises:
        ConfigError: what is left cannot be read any further.
    """
    try:
        root = _Reader(problems).document(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = "holds a character that YAML does not allow"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        # The parser may quote what it found, and that may be a value.
        message = "is not YAML: " + _QUOTED_PART.sub(_token, error.problem or "cannot be parsed")
    else:
        return root
    raise problems.failure(line, "", message, _MEND)


class _Reader:
    """Builds nodes from a stream of events."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def document(self, events: Iterator[yaml.Event]) -> Node | None:
        root: Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    raise self._problems.failure(
                        _line(event), "", "a second document begins here", "keep one document"
                    )
                root = self._node(events, next(events), "", 0)
        return root

    def _node(self, events: Iterator[yaml.Event], event: yaml.Event, key: str, depth: int) -> Node:
        line = _line(event)
        if depth > MAX_DEPTH:
            raise self._problems.failure(
                line, "", f"nested deeper than {MAX_DEPTH} levels", "flatten the file"
            )
        if isinstance(event, yaml.AliasEvent):
            self._refuse(event, key, "aliases (*name) are not allowed", "write the value out")
            return Scalar(line=line, text="", plain=True)
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            self._refuse(event, key, "anchors (&name) are not allowed", "remove the anchor")
        if getattr(event, "tag", None) is not None:
            self._refuse(event, key, "tags (!name) are not allowed", "remove the tag")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(events, line, key, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(inner := next(events), yaml.SequenceEndEvent):
                items.append(self._node(events, inner, f"{key}[{len(items)}]", depth + 1))
            return Sequence(line=line, items=tuple(items))
        assert isinstance(event, yaml.ScalarEvent)  # noqa: S101 - no other event begins a node
        return Scalar(line=line, text=event.value, plain=event.style is None)

    def _mapping(self, events: Iterator[yaml.Event], line: int, key: str, depth: int) -> Mapping:
        values: dict[str, Node] = {}
        lines: dict[str, int] = {}
        while not isinstance(inner := next(events), yaml.MappingEndEvent):
            name = self._node(events, inner, key, depth + 1)
            if not isinstance(name, Scalar):
                self._refuse(inner, key, f"{describe(name)} as a key", "a key is a word")
                self._node(events, next(events), key, depth + 1)
                continue
            value = self._node(events, next(events), joined(key, name.text), depth + 1)
            if name.text in values:
                self._refuse(
                    inner,
                    key,
                    f"the key {shown(name.text)} stands here twice, first in line "
                    f"{lines[name.text]}",
                    "remove one of them",
                )
                continue
            values[name.text] = value
            lines[name.text] = name.line
        return Mapping(line=line, values=values, lines=lines)

    def _refuse(self, event: yaml.Event, key: str, message: str, remedy: str) -> None:
        self._problems.add(_line(event), key, message, remedy)


def _token(quoted: re.Match[str]) -> str:
    """Names of tokens and single characters are told, anything else is not."""
    text = quoted[0]
    return text if text.startswith("'<") or len(text) <= 4 else "'…'"  # noqa: PLR2004


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return mark.line + 1 if mark else 1
