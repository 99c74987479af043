"""Writes trees as regular expressions, in the syntax that Python and RE2 share."""

from __future__ import annotations

from typing import Final

from dlp.signatures.importers.tree import (
    Atom,
    Branch,
    Group,
    Look,
    Mark,
    Node,
    Repeat,
    folding,
)

_MARKS: Final = {
    "word": r"\b",
    "inner": r"\B",
    "begin": "^",
    "end": "$",
    "line-begin": "(?m:^)",
    "line-end": "(?m:$)",
}


def render(node: Node) -> str:
    """The expression in Python's syntax, `(?i)` in front where all of it folds case."""
    folds = folding(node)
    if folds == {True}:
        return "(?i)" + _text(node, folded=True)
    return _text(node, folded=False)


def _text(node: Node, *, folded: bool) -> str:
    if folding(node) == {not folded}:
        return f"(?{'-i' if folded else 'i'}:{_text(node, folded=not folded)})"
    match node:
        case Atom():
            text = node.text
        case Mark():
            text = _MARKS[node.kind]
        case Look():
            kind = ("" if node.ahead else "<") + ("!" if node.negative else "=")
            text = f"(?{kind}{_text(node.node, folded=folded)})"
        case Repeat():
            text = _repeated(node, folded=folded)
        case Group():
            text = ("(" if node.number else "(?:") + _text(node.node, folded=folded) + ")"
        case Branch():
            text = "|".join(_text(one, folded=folded) for one in node.nodes)
        case _:
            text = "".join(_run(node.nodes, folded=folded))
    return text


def _repeated(node: Repeat, *, folded: bool) -> str:
    inner = _text(node.node, folded=folded)
    single = isinstance(node.node, Atom | Group) or inner.startswith("(?i:")
    return (inner if single else f"(?:{inner})") + node.text


def _run(nodes: tuple[Node, ...], *, folded: bool) -> list[str]:
    """Parts of a sequence; neighbours that fold otherwise share one group."""
    parts: list[str] = []
    other: list[Node] = []

    def flush() -> None:
        if other:
            inner = "".join(_part(one, folded=not folded) for one in other)
            parts.append(f"(?{'-i' if folded else 'i'}:{inner})")
            other.clear()

    for node in nodes:
        folds = folding(node)
        if folds == {not folded} or (not folds and other and isinstance(node, Atom | Repeat)):
            other.append(node)
        else:
            flush()
            parts.append(_part(node, folded=folded))
    flush()
    return parts


def _part(node: Node, *, folded: bool) -> str:
    text = _text(node, folded=folded)
    return f"(?:{text})" if isinstance(node, Branch) else text
