"""A regular expression as a tree that keeps its source text, and what can be asked of it.

A byte keeps how it was written and what it matches, so that what is written out reads like what
was read. `syntax` reads trees, `notation` writes them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dlp.signatures import byteset


@dataclass(frozen=True, slots=True)
class Atom:
    """One byte: as text, as a set, and whether case is folded.

    `mask` is the set where case counts, `folded` where it does not.
    """

    text: str
    mask: int
    folded: int
    fold: bool = False

    @property
    def accepts(self) -> int:
        """The set that it stands for."""
        return self.folded if self.fold else self.mask

    @property
    def lettered(self) -> bool:
        """Whether folding makes a difference."""
        return self.folded != self.mask


def atom(text: str, mask: int, *, fold: bool = False, negated: bool = False) -> Atom:
    """A byte of the set, or one outside it."""
    folded = byteset.ignore_case(mask)
    if negated:
        mask, folded = byteset.ALL ^ mask, byteset.ALL ^ folded
    return Atom(text, mask, folded, fold)


@dataclass(frozen=True, slots=True)
class Mark:
    r"""A place: `begin`, `end` (of the text), `line-begin`, `line-end`, `word` or `inner` (\B)."""

    kind: str


@dataclass(frozen=True, slots=True)
class Look:
    """A look-around."""

    ahead: bool
    negative: bool
    node: Node


@dataclass(frozen=True, slots=True)
class Repeat:
    """`node`, min to max times; `text` is the quantifier as written."""

    node: Node
    text: str
    min: int
    max: int


@dataclass(frozen=True, slots=True)
class Group:
    """A group; `number` of the capture, or 0."""

    node: Node
    number: int = 0


@dataclass(frozen=True, slots=True)
class Concat:
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Branch:
    nodes: tuple[Node, ...]


Node = Atom | Mark | Look | Repeat | Group | Concat | Branch


def folding(node: Node) -> set[bool]:
    """Whether the letters in it fold case: one answer, both, or none where there are none."""
    match node:
        case Atom():
            return {node.fold} if node.lettered else set()
        case Repeat() | Group() | Look():
            return folding(node.node)
        case Concat() | Branch():
            return set().union(*map(folding, node.nodes))
        case Mark():
            return set()


def nullable(node: Node) -> bool:
    """Whether it can match nothing."""
    match node:
        case Atom():
            return False
        case Mark() | Look():
            return True
        case Repeat():
            return node.min == 0 or nullable(node.node)
        case Group():
            return nullable(node.node)
        case Concat():
            return all(map(nullable, node.nodes))
        case Branch():
            return any(map(nullable, node.nodes))


def captures(node: Node) -> list[int]:
    """Numbers of the groups inside that capture."""
    match node:
        case Group():
            return ([node.number] if node.number else []) + captures(node.node)
        case Repeat() | Look():
            return captures(node.node)
        case Concat() | Branch():
            return [number for one in node.nodes for number in captures(one)]
        case _:
            return []


def marks(node: Node) -> list[str]:
    """Kinds of the places it asks for."""
    match node:
        case Mark():
            return [node.kind]
        case Repeat() | Look() | Group():
            return marks(node.node)
        case Concat() | Branch():
            return [kind for one in node.nodes for kind in marks(one)]
        case _:
            return []


def words(node: Node) -> list[str]:
    """Fixed text in it that every match holds, in lower case, the longest runs there are."""
    found: list[str] = []
    run = ""
    for text in [*_pieces(node), ""]:
        if text:
            run += text
        else:
            found += [run] if run else []
            run = ""
    return found


def _pieces(node: Node) -> list[str]:
    """Fixed characters in order; an empty text where anything else may stand."""
    match node:
        case Atom() if node.mask.bit_count() == 1:
            return [chr(node.mask.bit_length() - 1).lower()]
        case Mark() | Look():
            return []
        case Group():
            return _pieces(node.node)
        case Concat():
            return [text for one in node.nodes for text in _pieces(one)]
        case Repeat() if node.min:
            return ["", *_pieces(node.node), ""]
        case _:
            return [""]


def without_captures(node: Node) -> Node:
    """The same with groups that capture nothing, and none where none is needed."""
    match node:
        case Group():
            inner = without_captures(node.node)
            return inner if isinstance(inner, Atom | Group) else Group(inner)
        case Repeat() | Look():
            return replace(node, node=without_captures(node.node))
        case Concat():
            nodes: list[Node] = []
            for one in map(without_captures, node.nodes):
                inner = one.node if isinstance(one, Group) else one
                if isinstance(inner, Concat):
                    nodes += inner.nodes
                else:
                    nodes.append(inner if isinstance(inner, Repeat) else one)
            return Concat(tuple(nodes))
        case Branch():
            return Branch(tuple(map(without_captures, node.nodes)))
        case _:
            return node
