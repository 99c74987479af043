"""A regular expression on bytes as a small immutable tree.

The only module that knows the private `re._parser`. It gives back what the compiler
can lower and refuses the rest by name; case folding and categories are resolved into
byte classes here. ASCII semantics throughout, as `re` has them for bytes.
"""

from __future__ import annotations

import importlib
import re
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from dlp.errors import PackError
from dlp.signatures import byteset

UNBOUNDED: Final = 1 << 20
LONGEST: Final = 1 << 16  # a list of literals is one expression too

# Private since 3.11 and untyped: asked for by name, so that every other module stays typed.
_parser: Any = importlib.import_module("re._parser")
_op: Any = importlib.import_module("re._constants")


@dataclass(frozen=True, slots=True)
class Class:
    """One byte of a set."""

    mask: int


@dataclass(frozen=True, slots=True)
class Repeat:
    """`node`, min to max times; max is UNBOUNDED where the expression gives none."""

    node: Node
    min: int
    max: int


@dataclass(frozen=True, slots=True)
class Concat:
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Alternation:
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Boundary:
    r"""`\b`, or `\B` where negated."""

    negated: bool


@dataclass(frozen=True, slots=True)
class Look:
    """The byte ahead or behind is of this set; `edge`: or there is none."""

    ahead: bool
    mask: int
    edge: bool


Node = Class | Repeat | Concat | Alternation | Boundary | Look


@lru_cache(maxsize=8192)
def compiled(source: str) -> re.Pattern[bytes]:
    """The pattern as Python runs it on bytes. Raises PackError if it does not parse."""
    try:
        raw = ended(source).encode("ascii")
    except UnicodeEncodeError as error:
        raise PackError(
            "regex holds a character that is not ASCII",
            remedy=r"write its UTF-8 bytes as \xNN",
        ) from error
    if len(raw) > LONGEST:
        raise PackError(f"regex is longer than {LONGEST} characters", remedy="split the signature")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return re.compile(raw)
    except re.error as error:
        where = "" if error.pos is None else f" at character {error.pos}"
        raise PackError(f"regex does not parse: {error.msg}{where}") from error
    except (Warning, RecursionError, OverflowError) as error:
        raise PackError(
            f"regex is refused: {type(error).__name__}",
            remedy="escape brackets in classes, nest and repeat less",
        ) from error


@lru_cache(maxsize=8192)
def parse(source: str) -> Node:
    """The tree of an expression. Raises PackError that names an unsupported construct."""
    compiled(source)
    tree = _parser.parse(ended(source).encode("ascii"))
    return _concat(tree, tree.state.flags)


def ended(source: str) -> str:
    r"""The expression with its anchors written as look-arounds, as they are meant here.

    `$`, `\Z` and `\z` are the end of the data, `^` and `\A` its beginning, with (?m) at the
    front also those of a line. Where there is no byte the kernel reads NUL, so a NUL counts as
    an end too.
    """
    if not _ANCHOR.search(source):
        return source
    lines = _LINES.match(source) is not None
    parts: list[str] = []
    for found in _TOKEN.finditer(source):
        token = found.group()
        anchor = _ANCHORS.get(token)
        if anchor is None:
            parts.append(token)
        else:
            sign, of_lines = anchor
            newline = r"\n" if lines and of_lines else ""
            parts.append(rf"(?{sign}[^\x00{newline}])")
    return "".join(parts)


_LINES: Final = re.compile(r"\(\?[a-z]*m[a-z]*\)")
_ANCHOR: Final = re.compile(r"[$^]|\\[AZz]")
# An escaped character, a class, or any other character.
_TOKEN: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)
_ANCHORS: Final = {
    "$": ("!", True),
    r"\Z": ("!", False),
    r"\z": ("!", False),
    "^": ("<!", True),
    r"\A": ("<!", False),
}


def _concat(items: Any, flags: int) -> Node:
    nodes: list[Node] = []
    for item in items:
        node = _node(item[0], item[1], flags)
        nodes.extend(node.nodes if isinstance(node, Concat) else (node,))
    return nodes[0] if len(nodes) == 1 else Concat(tuple(nodes))


def _node(op: Any, value: Any, flags: int) -> Node:
    if op in (_op.LITERAL, _op.NOT_LITERAL, _op.IN, _op.ANY):
        return Class(_mask(op, value, flags))
    if op is _op.BRANCH:
        return _alternation([_concat(branch, flags) for branch in value[1]])
    if op is _op.SUBPATTERN:
        _, added, removed, inner = value
        return _concat(inner, (flags | added) & ~removed)
    if op in (_op.MAX_REPEAT, _op.MIN_REPEAT):
        low, high, inner = value
        most = UNBOUNDED if high is _op.MAXREPEAT else min(int(high), UNBOUNDED)
        return Repeat(_concat(inner, flags), int(low), most)
    if op is _op.AT and value in (_op.AT_BOUNDARY, _op.AT_NON_BOUNDARY):
        return Boundary(value is _op.AT_NON_BOUNDARY)
    if op in (_op.ASSERT, _op.ASSERT_NOT):
        return _look(value, flags, negative=op is _op.ASSERT_NOT)
    raise PackError(f"regex uses {_construct(op, value)}, which is not supported")


def _alternation(nodes: list[Node]) -> Node:
    """The alternatives, those of a single byte joined in one class where the first stands."""
    mask = 0
    for node in nodes:
        mask |= node.mask if isinstance(node, Class) else 0
    first = next((i for i, node in enumerate(nodes) if isinstance(node, Class)), None)
    joined = [
        Class(mask) if index == first else node
        for index, node in enumerate(nodes)
        if index == first or not isinstance(node, Class)
    ]
    return joined[0] if len(joined) == 1 else Alternation(tuple(joined))


def _look(value: Any, flags: int, *, negative: bool) -> Look:
    direction, inner = value
    node = _concat(inner, flags)
    if not isinstance(node, Class):
        raise PackError(
            "regex uses a look-around of more than one byte, which is not supported",
            remedy="look at a single class, such as (?![0-9-])",
        )
    return Look(direction > 0, byteset.ALL ^ node.mask if negative else node.mask, negative)


def _mask(op: Any, value: Any, flags: int) -> int:
    if op is _op.ANY:
        return byteset.ALL if flags & re.DOTALL else byteset.ALL ^ byteset.NEWLINE
    negated = op is _op.NOT_LITERAL
    mask = 0
    if op is _op.IN:
        for kind, item in value:
            if kind is _op.NEGATE:
                negated = True
            elif kind is _op.LITERAL:
                mask |= 1 << item
            elif kind is _op.RANGE:
                mask |= byteset.span(*item)
            else:
                mask |= _CATEGORIES[item]
    else:
        mask = 1 << value
    if flags & re.IGNORECASE:
        mask = byteset.ignore_case(mask)
    return byteset.ALL ^ mask if negated else mask


_CATEGORIES: Final = {
    _op.CATEGORY_DIGIT: byteset.DIGITS,
    _op.CATEGORY_NOT_DIGIT: byteset.ALL ^ byteset.DIGITS,
    _op.CATEGORY_SPACE: byteset.SPACE,
    _op.CATEGORY_NOT_SPACE: byteset.ALL ^ byteset.SPACE,
    _op.CATEGORY_WORD: byteset.WORD,
    _op.CATEGORY_NOT_WORD: byteset.ALL ^ byteset.WORD,
}


def _construct(op: Any, value: Any) -> str:
    if op is _op.AT:
        return r"an anchor of line or text (^, $, \A, \Z)"
    names = {
        _op.GROUPREF: "a back-reference",
        _op.GROUPREF_EXISTS: "a conditional group",
        _op.POSSESSIVE_REPEAT: "a possessive repeat",
        _op.ATOMIC_GROUP: "an atomic group",
    }
    return names.get(op, f"the construct {op} {type(value).__name__}")
