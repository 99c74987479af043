r"""An expression of a tool that searches whole files, as one for streams.

Packs know no beginning and no end of a text, and a match is a value: so what ends a token
becomes a look at the byte behind it, and what may stand in front of a match is left out.

    \b(tok_(?i)[a-z0-9]{32})(?:[\x60'"\s;]|\\[nr]|$)
    \btok_(?i:[a-z0-9]{32})(?![^\t-\r "'\x3b\\\x60])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dlp.errors import PackError
from dlp.signatures import byteset
from dlp.signatures.importers import notation, syntax, tree
from dlp.signatures.importers.tree import (
    Atom,
    Branch,
    Concat,
    Group,
    Look,
    Mark,
    Node,
    Repeat,
    atom,
)

_OUTSIDE: Final = "asks for the beginning or end of the text within the expression"


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The expression for a pack.

    Attributes:
        notes: what it finds that the other did not, or takes less for its value.
        words: fixed text that every match holds, in lower case.
        bare: the secret group and what was left out are all there is: the match is the value.
    """

    regex: str
    notes: tuple[str, ...]
    words: tuple[str, ...]
    bare: bool


def rewrite(source: str, secret_group: int = 0) -> Rewritten:
    """Rewrite an RE2 expression; `secret_group`: number of the group that holds the value.

    0 means the first group there is, or without one the whole match. Raises PackError that says
    why it cannot be.
    """
    parsed = syntax.parse(source)
    numbers = tree.captures(parsed)
    if secret_group and secret_group not in numbers:
        raise PackError(f"there is no group {secret_group} in the expression")
    secret = secret_group or (numbers[0] if numbers else 0)
    notes: dict[str, None] = {}
    choices = [_sequence(choice, notes) for choice in _choices(parsed)]
    bare = not secret or all(_is_bare(choice, secret) for choice in choices)
    node: Node = choices[0] if len(choices) == 1 else Branch(tuple(choices))
    if any(kind not in {"word", "inner"} for kind in tree.marks(node)):
        raise PackError(f"regex {_OUTSIDE}")
    return Rewritten(
        regex=notation.render(tree.without_captures(node)),
        notes=tuple(notes),
        words=tuple(tree.words(node)) if len(choices) == 1 else (),
        bare=bare,
    )


def _choices(node: Node) -> list[Node]:
    """The alternatives of the whole expression."""
    inner = node
    while isinstance(inner, Group) and not inner.number:
        inner = inner.node
    return list(inner.nodes) if isinstance(inner, Branch) else [node]


def _sequence(node: Node, notes: dict[str, None]) -> Node:
    nodes = [part for part in _flat(node) if not (isinstance(part, Concat) and not part.nodes)]
    while nodes and not isinstance(nodes[0], Mark | Look):
        if (left := _boundary(nodes[0], ahead=False, notes=notes)) is not None:
            nodes[0] = left
            break
        if not tree.nullable(nodes[0]) or tree.captures(nodes[0]):
            break
        nodes.pop(0)
        notes["what may stand in front of a match is left out"] = None
    if nodes and nodes[0] == Mark("begin"):
        nodes[0] = _boundary(nodes[0], ahead=False, notes=notes) or nodes[0]
    if len(nodes) > 1 and (right := _boundary(nodes[-1], ahead=True, notes=notes)) is not None:
        nodes[-1] = right
    return _lines(Concat(tuple(one for one in nodes if one != Concat(()))))


def _flat(node: Node) -> list[Node]:
    """The parts of a sequence; groups that capture nothing are opened."""
    if isinstance(node, Group) and not node.number and not isinstance(node.node, Branch):
        return _flat(node.node)
    if isinstance(node, Concat):
        return [part for one in node.nodes for part in _flat(one)]
    return [node]


def _boundary(node: Node, *, ahead: bool, notes: dict[str, None]) -> Node | None:
    r"""A look-around for what only ends a match, such as `(?:[;\s]|$)`; None where it is more."""
    inner = node
    while isinstance(inner, Group) and not inner.number:
        inner = inner.node
    edge = Mark("end" if ahead else "begin")
    if inner == edge:
        notes[f"the {edge.kind} of the text is not asked for"] = None
        return Concat(())
    if not isinstance(inner, Branch):
        return None
    mask, ends, widened = 0, False, False
    for choice in inner.nodes:
        if choice == edge:
            ends = True
            continue
        if isinstance(choice, Mark) and choice.kind in {"word", "inner"}:
            # Behind a letter \b is any byte that is none; behind a quote \B is.
            mask |= byteset.ALL ^ byteset.WORD
            continue
        parts = _flat(choice)
        near = parts[0 if ahead else -1] if parts else None
        if not isinstance(near, Atom):
            return None
        mask |= near.accepts
        widened |= len(parts) > 1
    if not ends:
        return None
    if widened:
        notes["of what ends a match only the byte next to it is asked for"] = None
    # NUL is let in: the kernel reads the end of the data as NUL, and cannot tell the two apart.
    mask |= byteset.NUL
    return Look(ahead, negative=True, node=atom(class_text(byteset.ALL ^ mask), byteset.ALL ^ mask))


def _lines(node: Node) -> Node:
    """Beginnings and ends of lines as looks at the line feed next to them."""
    match node:
        case Mark(kind="line-begin" | "line-end"):
            return Look(
                node.kind == "line-end",
                negative=True,
                node=atom(r"[^\n]", byteset.NEWLINE, negated=True),
            )
        case Repeat():
            return Repeat(_lines(node.node), node.text, node.min, node.max)
        case Group():
            return Group(_lines(node.node), node.number)
        case Concat():
            return Concat(tuple(map(_lines, node.nodes)))
        case Branch():
            return Branch(tuple(map(_lines, node.nodes)))
        case _:
            return node


def _is_bare(node: Node, secret: int) -> bool:
    """Whether nothing but places stands outside the secret group."""
    parts = _flat(node)
    outside = [part for part in parts if not _holds(part, secret)]
    return len(outside) < len(parts) and all(isinstance(part, Mark | Look) for part in outside)


def _holds(node: Node, secret: int) -> bool:
    return isinstance(node, Group) and node.number == secret


def class_text(mask: int) -> str:
    """A class of these bytes, the shorter way round."""
    if mask == byteset.ALL:
        return r"[\x00-\xff]"
    negated = mask.bit_count() > 128  # noqa: PLR2004 - half of all
    members = byteset.members(byteset.ALL ^ mask if negated else mask)
    parts, start = [], 0
    while start < len(members):
        end = start
        while end + 1 < len(members) and members[end + 1] == members[end] + 1:
            end += 1
        first, last = _byte(members[start]), _byte(members[end])
        parts.append(first if end == start else first + ("-" if end > start + 1 else "") + last)
        start = end + 1
    return f"[{'^' if negated else ''}{''.join(parts)}]"


def _byte(value: int) -> str:
    named = {9: r"\t", 10: r"\n", 13: r"\r", 12: r"\f"}
    character = chr(value)
    if value in named:
        return named[value]
    if 0x20 <= value < 0x7F:  # noqa: PLR2004 - printable ASCII
        return (
            character if character.isalnum() or character in " _'\"/:;,<>=@!%" else f"\\{character}"
        )
    return f"\\x{value:02x}"
