r"""Where a match may have begun that only later bytes can complete.

`re` tells whole matches only. From the tree of an expression a second one is made that fits where
the bytes from some place up to the end are the beginning of a match: each part of the expression
may be cut off by the end of the bytes (`\Z`), after which the parts behind it fit the empty rest.
It never misses a beginning; where a boundary or a look-around at the very end would forbid one, it
may tell one that is none, as the byte it looks at is not there yet.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dlp.errors import PackError
from dlp.inspector.anchor import span
from dlp.signatures import byteset, regex


def front_pattern(node: regex.Node, least: int) -> re.Pattern[bytes]:
    """A pattern whose match reaches the end of the bytes, from where a match may have begun.

    Args:
        node: the expression.
        least: at least 1. The pattern may pass over beginnings shorter than that, but does not
            promise to.

    Raises PackError where `re` cannot take the pattern: it is up to twice the expression's size.
    """
    source, left = "", max(1, least)
    parts = list(_parts(node))
    for number, part in enumerate(parts):
        fixed, rest = _first_bytes(part, left)
        source += fixed
        left -= span(part) if rest is None else 0
        if rest is not None or left <= 0:
            behind = ([] if rest is None else [rest]) + parts[number + 1 :]
            source += "".join(map(_cut, behind))
            break
    try:
        return re.compile((source + r"\Z").encode("ascii"))
    except (re.error, RecursionError, OverflowError) as error:
        raise PackError(
            f"the beginnings of its matches cannot be told: {type(error).__name__}",
            remedy="nest and repeat less, or do not hold its signature",
        ) from error


def _parts(node: regex.Node) -> Iterator[regex.Node]:
    yield from node.nodes if isinstance(node, regex.Concat) else (node,)


def _first_bytes(part: regex.Node, left: int) -> tuple[str, regex.Node | None]:
    """As much of a part as must be there whole, being among the first bytes; and what is not."""
    match part:
        case regex.Class() | regex.Boundary() | regex.Look():
            return _whole(part), None
        case regex.Repeat(regex.Class() as inner, low, high):
            taken = min(low, left)
            fixed = f"{_whole(inner)}{{{taken}}}" if taken else ""
            return fixed, None if taken == high else regex.Repeat(inner, low - taken, high - taken)
        case _:
            return "", part


def _cut(node: regex.Node) -> str:
    """The part, or as much of it as there is before the end."""
    match node:
        case regex.Class():
            return rf"(?:{_whole(node)}|\Z)"
        case regex.Repeat(inner, low, high):
            whole = _item(inner)
            most = "" if high >= regex.UNBOUNDED else str(high)
            before = "" if high >= regex.UNBOUNDED else str(max(high - 1, 0))
            if isinstance(inner, regex.Class):
                return rf"(?:{whole}{{{low},{most}}}|{whole}{{0,{most}}}\Z)"
            return rf"(?:{whole}{{{low},{most}}}|{whole}{{0,{before}}}{_cut(inner)}\Z)"
        case regex.Concat(nodes):
            return "".join(map(_cut, nodes))
        case regex.Alternation(nodes):
            return f"(?:{'|'.join(map(_cut, nodes))})"
        case _:
            return rf"(?:{_whole(node)}|\Z)"


def _whole(node: regex.Node) -> str:
    """The part as source that `re` reads."""
    match node:
        case regex.Class(mask):
            return _set(mask)
        case regex.Repeat(inner, low, high):
            return f"{_item(inner)}{{{low},{'' if high >= regex.UNBOUNDED else high}}}"
        case regex.Concat(nodes):
            return "".join(map(_whole, nodes))
        case regex.Alternation(nodes):
            return f"(?:{'|'.join(map(_whole, nodes))})"
        case regex.Boundary(negated):
            return r"\B" if negated else r"\b"
        case regex.Look(ahead, mask, edge):
            # Where there may be none, the byte must not be of the others.
            sign = ("!" if edge else "=") if ahead else ("<!" if edge else "<=")
            return f"(?{sign}{_set(byteset.ALL ^ mask if edge else mask)})"


def _item(node: regex.Node) -> str:
    """The part as something that a count can stand behind."""
    return _whole(node) if isinstance(node, regex.Class) else f"(?:{_whole(node)})"


def _set(mask: int) -> str:
    if not mask:
        return r"(?!)"
    values, ranges = byteset.members(mask), list[tuple[int, int]]()
    for value in values:
        if ranges and value == ranges[-1][1] + 1:
            ranges[-1] = ranges[-1][0], value
        else:
            ranges.append((value, value))
    if len(values) == 1:
        return rf"\x{values[0]:02x}"
    return "[" + "".join(_range(low, high) for low, high in ranges) + "]"


def _range(low: int, high: int) -> str:
    return rf"\x{low:02x}" if low == high else rf"\x{low:02x}-\x{high:02x}"
