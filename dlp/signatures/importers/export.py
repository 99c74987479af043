"""Packs for other programs: as JSON, and as gitleaks' TOML as far as that says the same.

RE2 has no look-around: one at either end becomes what may stand there, outside the group that
holds the secret; one within is not carried over, as it would find something else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dlp.errors import PackError
from dlp.signatures import byteset
from dlp.signatures.importers import notation, syntax, tree
from dlp.signatures.importers.rewrite import class_text
from dlp.signatures.importers.tree import Atom, Branch, Concat, Group, Look, Mark, Node, atom
from dlp.signatures.pack import Pack, Signature


@dataclass(frozen=True, slots=True)
class Left:
    """What of a signature was left behind; `whole`: it is not in the export at all."""

    signature: str
    reasons: tuple[str, ...]
    whole: bool = False


def as_json(packs: Sequence[Pack]) -> list[dict[str, Any]]:
    """Packs as JSON values, with the keys of their files."""
    return [
        {
            "pack": pack.name,
            "version": pack.version,
            "description": pack.description,
            "signatures": [_plain(one) for one in pack.signatures],
        }
        for pack in packs
    ]


def _plain(one: Signature) -> dict[str, Any]:
    proximity = one.proximity and {
        "keywords": [word.decode() for word in one.proximity.keywords],
        "distance": one.proximity.distance,
        "side": one.proximity.side,
    }
    return {
        "id": one.id,
        "name": one.name,
        "severity": one.severity,
        "description": one.description,
        "category": one.category,
        "regex": one.regex,
        "validator": one.validator,
        "normalise": one.normalise,
        "mask": {"head": one.mask_head, "tail": one.mask_tail},
        "controls": list(one.controls),
        "tags": list(one.tags),
        "confidence": one.confidence,
        "proximity": proximity or None,
        "threshold": one.threshold,
        "draft": one.draft,
        "must_match": [sample.decode() for sample in one.must_match],
        "must_not_match": [sample.decode() for sample in one.must_not_match],
    }


def as_gitleaks(packs: Sequence[Pack]) -> tuple[str, list[Left]]:
    """The TOML, and what it does not say."""
    left: list[Left] = []
    lines = [f'title = "Exported from {", ".join(pack.name for pack in packs)}"']
    for pack in packs:
        for one in pack.signatures:
            try:
                rule, reasons = _rule(one)
            except PackError as error:
                left.append(Left(one.id, (error.message,), whole=True))
                continue
            lines += ["", "[[rules]]", *rule]
            if reasons:
                left.append(Left(one.id, reasons))
    return "\n".join(lines) + "\n", left


def _rule(one: Signature) -> tuple[list[str], tuple[str, ...]]:
    parsed = syntax.parse(one.regex)
    outer = _Outer()
    body = outer.opened(parsed)
    if any(isinstance(part, Look) for part in _everything(body)):
        raise PackError("it looks around within the expression, which RE2 cannot")
    if outer.before or outer.behind:
        body = Concat((*outer.before, Group(tree.without_captures(body), 1), *outer.behind))
    regex = notation.render(body)
    if any(escape in regex for escape in _high()):
        raise PackError("it names bytes beyond ASCII, which RE2 takes for characters")
    lines = [
        f"id = {_text(one.id)}",
        f"description = {_text(one.description)}",
        f"regex = {_literal(regex)}",
    ]
    if outer.before or outer.behind:
        lines.append("secretGroup = 1")
    words = [word.decode() for word in one.proximity.keywords] if one.proximity else []
    words = words or [max(tree.words(parsed), key=len, default="")]
    if keywords := [word for word in words if len(word) > 2]:  # noqa: PLR2004 - shorter are everywhere
        lines.append(f"keywords = {json.dumps(keywords)}")
    if one.tags:
        lines.append(f"tags = {json.dumps(list(one.tags))}")
    return lines, tuple(_loosened(one))


def _loosened(one: Signature) -> list[str]:
    reasons = []
    if one.validator:
        reasons.append(f"validator {one.validator}: every match counts there")
    if one.proximity:
        reasons.append("proximity: a keyword anywhere in the file does there")
    if one.threshold > 1:
        reasons.append("threshold: one value counts there")
    return reasons


class _Outer:
    """Look-arounds at either end of an expression, taken off it."""

    def __init__(self) -> None:
        self.before: tuple[Node, ...] = ()
        self.behind: tuple[Node, ...] = ()

    def opened(self, node: Node) -> Node:
        parts = list(node.nodes) if isinstance(node, Concat) else [node]
        if parts and isinstance(parts[0], Look) and not parts[0].ahead:
            self.before = (_consumed(parts.pop(0)),)
        if parts and isinstance(parts[-1], Look) and parts[-1].ahead:
            self.behind = (_consumed(parts.pop()),)
        return Concat(tuple(parts))


def _consumed(look: Node) -> Node:
    r"""`(?![0-9])` as `(?:[^0-9]|$)`."""
    inner = look.node if isinstance(look, Look) else look
    while isinstance(inner, Group):
        inner = inner.node
    if not isinstance(look, Look) or not isinstance(inner, Atom):
        raise PackError("it looks around for more than one byte, which RE2 cannot")
    if not look.negative:
        return inner
    # What stands beyond ASCII are characters there; all of them are other ones.
    other = byteset.ALL ^ inner.accepts
    text = class_text(other & byteset.span(0, 127)) if other else ""
    if inner.accepts < 1 << 128:
        text = class_text(inner.accepts).replace("[", "[^", 1)
    edge = Mark("end" if look.ahead else "begin")
    return Group(Branch((atom(text, other), edge)) if other else edge)


def _everything(node: Node) -> list[Node]:
    match node:
        case Concat() | Branch():
            return [node, *(part for one in node.nodes for part in _everything(one))]
        case Atom() | Mark():
            return [node]
        case _:
            return [node, *_everything(node.node)]


def _high() -> list[str]:
    return [f"\\x{value:02x}" for value in range(128, 256)]


def _text(value: str) -> str:
    """A basic string of TOML, which JSON's are."""
    return json.dumps(value)


def _literal(regex: str) -> str:
    """A literal string of TOML; a basic one where it holds what ends those."""
    if "'''" in regex or not regex.isprintable():
        return json.dumps(regex)
    return f"'''{regex}'''"
