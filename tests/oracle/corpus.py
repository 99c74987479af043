"""Seeded material for streams: secrets, near misses, and the text they hide in.

Secrets are made from the regex itself (a random walk over its syntax tree, biased to the ends
of each repetition) and kept when they match and pass the checksum; so a signature that is new in
a pack is tested without a line here. Everything is synthetic.
"""

from __future__ import annotations

import base64
import json
import random
import re
import re._constants as op  # the syntax tree has no public door
import re._parser as parser
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from tests.oracle.model import Near, Rule

WORD = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
EVERY = bytes(range(256))
PRINTABLE = bytes(range(32, 127))
POOL = 48
TRIES = 20_000
AGAIN = 40  # digits are changed so often before a value without its checksum is given up
UNBOUNDED = 40  # repetitions beyond the minimum where a regex sets no maximum

_CATEGORIES = {
    op.CATEGORY_DIGIT: b"0123456789",
    op.CATEGORY_SPACE: b" \t\n\r\f\v",
    op.CATEGORY_WORD: WORD,
}
_NEGATED = {
    op.CATEGORY_NOT_DIGIT: op.CATEGORY_DIGIT,
    op.CATEGORY_NOT_SPACE: op.CATEGORY_SPACE,
    op.CATEGORY_NOT_WORD: op.CATEGORY_WORD,
}


_REPEATS = {op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT}


def _category(code: Any) -> bytes:
    if code in _CATEGORIES:
        return _CATEGORIES[code]
    excluded = _CATEGORIES[_NEGATED[code]]
    return bytes(byte for byte in EVERY if byte not in excluded)


def _choices(items: Any) -> bytes:
    chosen = bytearray()
    negated = False
    for code, value in items:
        if code is op.NEGATE:
            negated = True
        elif code is op.LITERAL:
            chosen.append(value)
        elif code is op.RANGE:
            chosen.extend(range(value[0], value[1] + 1))
        else:
            chosen += _category(value)
    if not negated:
        return bytes(chosen)
    # Printable where possible: masks and fillers stay readable, and NUL is tested elsewhere.
    rest = bytes(byte for byte in PRINTABLE if byte not in chosen)
    return rest or bytes(byte for byte in EVERY if byte not in chosen)


def _bytes_of(code: Any, value: Any) -> bytes:
    """What a node that takes one byte may take."""
    if code is op.LITERAL:
        return bytes([value])
    if code is op.IN:
        return _choices(value)
    if code is op.ANY:
        return PRINTABLE
    if code is op.NOT_LITERAL:
        return bytes(byte for byte in PRINTABLE if byte != value)
    raise NotImplementedError(f"no random walk over {code}")


class Walker:
    """Random strings of a regex. Look-arounds are ignored: the caller checks the result."""

    def __init__(self, regex: re.Pattern[bytes]) -> None:
        tree = parser.parse(regex.pattern, regex.flags & ~re.UNICODE)
        self._tree = tree
        self._fold = bool((regex.flags | tree.state.flags) & re.IGNORECASE)
        self._bytes: dict[int, bytes] = {}  # by the node, which the tree keeps alive

    def make(self, rng: random.Random) -> bytes:
        return self._sequence(self._tree, rng, self._fold)

    def _sequence(self, nodes: Any, rng: random.Random, fold: bool) -> bytes:
        return b"".join(self._node(code, value, rng, fold) for code, value in nodes)

    def _node(self, code: Any, value: Any, rng: random.Random, fold: bool) -> bytes:
        if code in {op.AT, op.ASSERT, op.ASSERT_NOT}:
            return b""
        if code in _REPEATS:
            low, high, body = value
            high = low + UNBOUNDED if high is op.MAXREPEAT else high
            count = rng.choice((low, high, rng.randint(low, high), rng.randint(low, high)))
            return b"".join(self._sequence(body, rng, fold) for _ in range(count))
        if code is op.BRANCH:
            return self._sequence(rng.choice(value[1]), rng, fold)
        if code is op.SUBPATTERN:
            _, on, off, body = value
            inner = (fold or bool(on & re.IGNORECASE)) and not off & re.IGNORECASE
            return self._sequence(body, rng, inner)
        if code is op.ATOMIC_GROUP:
            return self._sequence(value, rng, fold)
        known = self._bytes.get(id(value)) if code is op.IN else _bytes_of(code, value)
        if known is None:
            known = self._bytes[id(value)] = _bytes_of(code, value)
        byte = bytes([rng.choice(known)])
        return rng.choice((byte, byte.swapcase())) if fold else byte


@cache
def _pool(rule: Rule, samples: tuple[bytes, ...], seed: int) -> tuple[bytes, ...]:
    """Values that match alone, with their checksum right."""
    rng = random.Random(f"{seed}/{rule.id}")
    pool = []
    for sample in samples:
        found = rule.regex.search(sample)
        if found is not None and rule.check(found.group()):
            pool.append(found.group())
    walker = Walker(rule.regex)
    tries = 0
    while len(pool) < POOL + len(samples) and tries < TRIES:
        tries += 1
        value = walker.make(rng)
        for _ in range(AGAIN if rule.checked else 1):
            found = rule.regex.search(value)
            if found is not None and rule.check(found.group()):
                pool.append(found.group())
                break
            value = change_digit(value, rng)
    if rule.near is not None:
        pool = [dressed(rule.near, value, rng) for value in pool]
    if not pool:
        raise ValueError(f"{rule.id}: no value could be made that matches it")
    return tuple(pool)


def pools_of(
    rules: Sequence[Rule], samples: Mapping[str, Sequence[bytes]], seed: int
) -> list[tuple[bytes, ...]]:
    """A pool for each rule, to choose values from. Equal seeds give equal pools."""
    return [_pool(rule, tuple(samples.get(rule.id, ())), seed) for rule in rules]


class Corpus:
    """Secrets and near misses of a rule set."""

    def __init__(self, rules: Sequence[Rule], pools: Sequence[Sequence[bytes]]) -> None:
        self.rules = tuple(rules)
        self.pools = list(pools)

    def secret(self, rng: random.Random, rule: int | None = None) -> bytes:
        return rng.choice(self.pools[rng.randrange(len(self.pools)) if rule is None else rule])

    def near_miss(self, rng: random.Random, rule: int | None = None) -> bytes:
        return rng.choice(NEAR_MISSES)(self.secret(rng, rule), rng)


def dressed(near: Near, value: bytes, rng: random.Random) -> bytes:
    """A value behind one of its keywords, mostly near enough, at times by a byte not so."""
    word = rng.choice(near.keywords)
    word = rng.choice((word, word.upper(), word.title()))
    far = near.distance + (1 if rng.random() < 0.1 else 0)
    gap = rng.choice((1, 2, far, far, rng.randint(0, far)))
    between = rng.choice((b" " * gap, filler(rng, gap), (b": " + b"." * gap)[:gap]))
    return word + between + value


# ------------------------------------------------------------------------------- near misses


def change_digit(value: bytes, rng: random.Random) -> bytes:
    places = [i for i, byte in enumerate(value) if 48 <= byte <= 57]
    return _replace(value, rng.choice(places), rng.choice(b"0123456789")) if places else value


def change_byte(value: bytes, rng: random.Random) -> bytes:
    return _replace(value, rng.randrange(len(value)), rng.choice(PRINTABLE))


def flip_case(value: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.5:
        return value.swapcase()
    place = rng.randrange(len(value))
    return value[:place] + value[place : place + 1].swapcase() + value[place + 1 :]


def flip_fold_bit(value: bytes, rng: random.Random) -> bytes:
    """Bit 5 is what folding ignores: `@` and a backquote, `[` and `{`, a digit and a control."""
    place = rng.randrange(len(value))
    return _replace(value, place, value[place] ^ 0x20)


def run_on(value: bytes, rng: random.Random) -> bytes:
    more = bytes(rng.choice(WORD) for _ in range(rng.choice((1, 1, 2, 5))))
    return rng.choice((value + more, more + value, value + value[-1:], value[:1] + value))


def truncate(value: bytes, rng: random.Random) -> bytes:
    cut = rng.randint(1, min(4, len(value)))
    return rng.choice((value[:-cut], value[cut:]))


def separate(value: bytes, rng: random.Random) -> bytes:
    """Separators added, doubled, replaced or taken away."""
    mark = rng.choice((b" ", b"-", b".", b"/", b"  ", b"--", b"\n", b"\t", b"", b"\0"))
    place = rng.randrange(len(value) + 1)
    marks = [i for i, byte in enumerate(value) if byte in b" -./"]
    if marks and rng.random() < 0.6:
        place = rng.choice(marks)
        return value[:place] + mark + value[place + 1 :]
    return value[:place] + mark + value[place:]


def join(value: bytes, rng: random.Random) -> bytes:
    return value + rng.choice((b"", b" ", b"-", b".", b"/")) + value[: rng.randrange(len(value))]


def _replace(value: bytes, place: int, byte: int) -> bytes:
    return value[:place] + bytes([byte]) + value[place + 1 :]


NEAR_MISSES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    change_digit,
    change_digit,
    change_byte,
    flip_case,
    flip_fold_bit,
    run_on,
    truncate,
    separate,
    separate,
    join,
)

# ----------------------------------------------------------------------------------- fillers

_KEYWORDS = (
    *("def", "return", "import", "class", "self", "None", "for", "if", "else", "while", "await"),
    *("char", "struct", "const", "void", "unsigned", "key", "token", "secret", "password"),
    *("api_key", "BEGIN", "PRIVATE", "account", "id"),
)


def source(rng: random.Random, size: int) -> bytes:
    words = [
        rng.choice(_KEYWORDS) + rng.choice((" ", "(", ") ", " = ", ":\n    ", ".", "_", ", ", "-"))
        for _ in range(size // 5 + 1)
    ]
    return "".join(words).encode()[:size]


def records(rng: random.Random, size: int) -> bytes:
    """JSON with identifiers, timestamps, amounts and telephone-like numbers."""
    parts = []
    length = 0
    while length < size:
        part = json.dumps(
            {
                "id": rng.randrange(10 ** rng.randint(1, 19)),
                "at": f"2024-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}T10:07:33Z",
                "epoch": rng.randint(1_600_000_000_000, 1_800_000_000_000),
                "amount": rng.randrange(10**6) / 100,
                "tel": f"+{rng.randint(1, 99)} {rng.randrange(10**3)} {rng.randrange(10**4)}",
                "v": [rng.randrange(1000) for _ in range(3)],
            }
        )
        parts.append(part)
        length += len(part)
    return "".join(parts).encode()[:size]


def encoded(rng: random.Random, size: int) -> bytes:
    return base64.b64encode(rng.randbytes(size))[:size]


def noise(rng: random.Random, size: int) -> bytes:
    return rng.randbytes(size)


def printable(rng: random.Random, size: int) -> bytes:
    return bytes(rng.choices(PRINTABLE, k=size))


def numbers(rng: random.Random, size: int) -> bytes:
    return bytes(rng.choices(b"0123456789", k=size))


def groups(rng: random.Random, size: int) -> bytes:
    """Digit groups between single separators: the digit lane's worst text."""
    return bytes(rng.choices(b"012345678901234567890123456789 -./", k=size))


def separators(rng: random.Random, size: int) -> bytes:
    return bytes(rng.choices(b" -./\n,:\0", k=size))


FILLERS: tuple[Callable[[random.Random, int], bytes], ...] = (
    source,
    records,
    encoded,
    noise,
    printable,
    numbers,
    groups,
    separators,
)
LONG_FILLERS: tuple[Callable[[random.Random, int], bytes], ...] = (source, encoded, noise)


def filler(rng: random.Random, size: int) -> bytes:
    return rng.choice(FILLERS)(rng, size)
