"""Samples made from an expression: values that match, and near misses that do not.

The same expression and seed give the same samples. A value is a random walk over the
expression's tree; what has a checksum is drawn until it holds. Everything is tried with `re` and
the validator before it is handed out, so that a sample is never wrong, but it is synthetic: whether
an expression says what its author means, no generated sample can tell. Hence `draft`.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from dlp.errors import PackError
from dlp.signatures import byteset, effort, regex, samples, trial
from dlp.signatures.finding import finds
from dlp.signatures.proximity import Proximity
from dlp.signatures.regex import Alternation, Boundary, Class, Concat, Look, Node, Repeat

SEED: Final = 20_240_601
TRIES: Final = 4000
LONGEST: Final = 4096  # bytes of a sample
_MORE: Final = 6  # repetitions beyond the least where there is no bound, or a far one
_PREFERRED: Final = (
    byteset.LETTERS | byteset.DIGITS,
    byteset.span(0x20, 0x7E),
    byteset.of(b"\t\n\r"),
    byteset.span(0x01, 0x7E),
)
_FRAMES: Final = (
    (b"", b""),
    (b"value=", b"\n"),
    (b'{"key": "', b'", "n": 1}'),
    (b"export KEY=", b"; run"),
    (b"see '", b"'."),
    (b"x ", b" y"),
    (b"\n", b"\n"),
)
# What ordinary traffic is full of, and no signature should take for a value.
_ORDINARY: Final = (
    b"2024-06-01T10:07:33.120Z",
    b"version 10.4.12-rc1 build 20240601",
    b"3f2504e0-4f89-41d3-9a0c-0305e82c3301",
    b"total 1234.56 of 98765.43",
)


def positives(
    source: str,
    validator: str = "",
    *,
    count: int = 3,
    near: Proximity | None = None,
    seed: int = SEED,
) -> tuple[bytes, ...]:
    """Samples that match, in different surroundings.

    Args:
        near: words of which one stands near the value.
        seed: another seed, other samples.

    Raises PackError where none can be made.
    """
    rng = random.Random(f"{seed}/{source}/{validator}")  # noqa: S311 - samples, no cryptography
    tree = regex.parse(source)
    found: dict[bytes, None] = {}
    values: dict[bytes, None] = {}
    for attempt in range(TRIES):
        if len(found) == count or (found and attempt > TRIES // 2):
            break
        value = _walk(tree, rng)
        if value is not None and len(value) <= LONGEST and value not in values:
            text = _framed(source, validator, value, near, len(found))
            if text is not None:
                values[value] = None
                found[text] = None
    if not found:
        raise PackError("no sample could be made of the expression", remedy="write its samples")
    # An expression of few values: the same ones in other surroundings.
    for turn, value in itertools.product(range(len(_FRAMES)), values):
        text = _framed(source, validator, value, near, turn)
        if text is not None and len(found) < count:
            found[text] = None
    return tuple(found)


def _spans(
    source: str, validator: str, text: bytes, near: Proximity | None
) -> list[tuple[int, int]]:
    """Where it matches; as a whole, where that was tried in a process of its own.

    Raises PackError where the expression backtracks for too long.
    """
    if effort.ways(regex.parse(source), len(text)) * len(text) <= samples.EFFORT:
        return list(finds(source, validator, text, near))
    (found,) = trial.tried([trial.Trial(source, validator, (text,), near)])
    if found is None:
        raise PackError(f"a sample cannot be tried within {trial.SECONDS:g} s: it backtracks")
    return [(0, len(text))] if any(found) else []


def _framed(
    source: str, validator: str, value: bytes, near: Proximity | None, turn: int
) -> bytes | None:
    """A value in surroundings in which it matches, the one whose turn it is before others."""
    word = near.keywords[turn % len(near.keywords)] if near else b""
    for number in range(len(_FRAMES)):
        before, behind = _FRAMES[(turn + number) % len(_FRAMES)]
        text = before + value + behind
        if near is not None:
            text = text + b" " + word if near.side == "after" else word + b": " + text
        if _writable(text) and _spans(source, validator, text, near):
            return text
    return None


def near_misses(
    source: str,
    validator: str = "",
    *,
    of: Sequence[bytes],
    count: int = 3,
    near: Proximity | None = None,
    seed: int = SEED,
) -> tuple[bytes, ...]:
    """Samples that nearly match: of positive ones `of`, with one thing wrong.

    A byte of the fixed part changed, the value one byte short, a run that goes on, a check digit
    changed, another case; where those still match, what ordinary traffic is full of.
    """
    rng = random.Random(f"{seed}/{source}/{validator}/not")  # noqa: S311 - as above
    found: dict[bytes, None] = {}
    if near is not None and (alone := _without_words(source, validator, of, near)) is not None:
        found[alone] = None
    for change in (*_CHANGES, *_CHANGES):
        for sample in of:
            if len(found) == count:
                return tuple(found)
            text = _changed(change, source, validator, sample, near, rng)
            if text is not None and text not in found:
                found[text] = None
                break
    for text in _ORDINARY:
        if len(found) < count and not _spans(source, validator, text, near):
            found[text] = None
    return tuple(found)


def _without_words(
    source: str, validator: str, of: Sequence[bytes], near: Proximity
) -> bytes | None:
    """A sample whose keyword is gone, or None where it matches still."""
    for sample in of:
        text = sample
        for word in near.keywords:
            text = text.replace(word, b"")
        if text and not _spans(source, validator, text, near):
            return text
    return None


Change = Callable[[bytes, random.Random], Iterable[bytes]]


def _changed(
    change: Change,
    source: str,
    validator: str,
    sample: bytes,
    near: Proximity | None,
    rng: random.Random,
) -> bytes | None:
    """The sample with its matches changed, or None where it matches still."""
    spans = _spans(source, validator, sample, near)
    if not spans:
        return None
    start, end = spans[0]
    for value in change(sample[start:end], rng):
        text = sample[:start] + value + sample[end:]
        if _writable(text) and not _spans(source, validator, text, near):
            return text
    return None


def _shorter(value: bytes, _: random.Random) -> Iterator[bytes]:
    yield value[:-1]
    middle = len(value) // 2
    yield value[:middle] + value[middle + 1 :]


def _other_prefix(value: bytes, rng: random.Random) -> Iterator[bytes]:
    for place in range(min(len(value), 12)):
        yield _with(value, place, _another(value[place], rng))


def _longer(value: bytes, _: random.Random) -> Iterator[bytes]:
    yield value + value[-1:]
    yield value[:1] + value
    yield value + value[-1:] * 8


def _other_digit(value: bytes, rng: random.Random) -> Iterator[bytes]:
    places = [place for place, byte in enumerate(value) if byte in b"0123456789"]
    for place in reversed(places):
        yield _with(value, place, _another(value[place], rng))


def _other_case(value: bytes, _: random.Random) -> Iterator[bytes]:
    yield value.swapcase()
    yield value.upper()
    yield value.lower()


def _broken(value: bytes, _: random.Random) -> Iterator[bytes]:
    """A byte in the middle that no token holds."""
    for place in (len(value) // 2, len(value) - 2, len(value) * 3 // 4):
        if 0 < place < len(value):
            yield value[:place] + b"#" + value[place + 1 :]
            yield value[:place] + b" " + value[place:]


_CHANGES: Final[tuple[Change, ...]] = (
    _other_prefix,
    _shorter,
    _other_digit,
    _longer,
    _broken,
    _other_case,
)


def _with(value: bytes, place: int, byte: int) -> bytes:
    return value[:place] + bytes([byte]) + value[place + 1 :]


def _another(byte: int, rng: random.Random) -> int:
    """A byte of the same kind, and another one."""
    character = chr(byte)
    if byte in b"0123456789":
        choices = b"0123456789"
    elif character.isascii() and character.isalpha():
        choices = b"abcdefghijklmnopqrstuvwxyz"
        choices = choices.upper() if character.isupper() else choices
    else:
        choices = b"-_.:/+#"
    return rng.choice([one for one in choices if one != byte])


def _writable(text: bytes) -> bool:
    """Whether a pack can hold it: ASCII that YAML writes."""
    return all(0x20 <= byte < 0x7F or byte in b"\t\n\r" for byte in text)  # noqa: PLR2004 - ASCII


def _walk(node: Node, rng: random.Random) -> bytes | None:
    """A random string of the tree; None where it took a way that ends nowhere."""
    match node:
        case Class():
            return _byte(node.mask, rng)
        case Repeat():
            return _joined((node.node for _ in range(_count(node, rng))), rng)
        case Concat():
            return _joined(node.nodes, rng)
        case Alternation():
            return _walk(rng.choice(node.nodes), rng)
        case Look():
            return _looked(node, rng)
        case Boundary():
            return b""


def _joined(nodes: Iterable[Node], rng: random.Random) -> bytes | None:
    pieces = []
    for node in nodes:
        piece = _walk(node, rng)
        if piece is None:
            return None
        pieces.append(piece)
    return b"".join(pieces)


def _count(node: Repeat, rng: random.Random) -> int:
    """How often: the least, the most where that is near, or between."""
    if node.max - node.min <= _MORE:
        return rng.randint(node.min, node.max)
    return node.min + rng.choice((0, 0, rng.randint(0, _MORE)))


def _looked(node: Look, rng: random.Random) -> bytes | None:
    """A byte that a look-around insists on; it stands at either end of an expression."""
    return b"" if node.edge else _byte(node.mask, rng)


def _byte(mask: int, rng: random.Random) -> bytes | None:
    if mask.bit_count() == 2 and mask == byteset.ignore_case(mask):  # noqa: PLR2004
        return bytes([byteset.members(mask)[1]])  # of a letter in either case the lower
    for preferred in _PREFERRED:
        if members := byteset.members(mask & preferred):
            return bytes([rng.choice(members)])
    return None
