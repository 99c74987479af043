"""Makes samples for an expression: tokens nobody ever issued, and near misses of them.

    python -m tests.signatures.generate_tokens PACK.yaml [ID...]

Prints, for each signature, tokens that its expression matches and near misses that it
does not. They are drawn with the signature's id as seed, so that they are the same each
time, and hold the word EXAMPLE where a run of letters has room for it.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from dlp.signatures import byteset
from dlp.signatures.pack import load_pack
from dlp.signatures.regex import (
    Alternation,
    Boundary,
    Class,
    Concat,
    Look,
    Node,
    Repeat,
    compiled,
    parse,
)

WORDS = (b"EXAMPLE", b"example")
LONG = 16
MORE = 6
TRIES = 200
PRINTABLE = byteset.span(0x21, 0x7E)
ALPHANUMERIC = byteset.LETTERS | byteset.DIGITS
UUID = "123e4567-e89b-12d3-a456-426614174000"


def tokens(source: str, seed: str, count: int = 3) -> list[str]:
    """Different texts, each of which the expression matches as a whole.

    Raises ValueError where drawing finds too few.
    """
    rng = random.Random(seed)
    tree = parse(source)
    pattern = compiled(source)
    found: dict[str, None] = {}
    for _ in range(TRIES):
        drawn = _draw(tree, rng)
        match = pattern.search(drawn)
        if match and match.start() == 0 and drawn.isascii():
            found[drawn.decode()] = None
        if len(found) == count:
            return list(found)
    raise ValueError(f"found {len(found)} of {count} texts")


def near_misses(source: str, token: str, seed: str = "") -> list[str]:
    """Texts that differ little from a token and that the expression does not match."""
    pattern = compiled(source)
    rng = random.Random(seed + token)
    return [text for text in _changed(token, rng) if not pattern.search(text.encode())]


def _changed(token: str, rng: random.Random) -> Iterator[str]:
    """A byte short, a byte long, inside a longer word, a byte wrong, another value."""
    last = token[-1]
    yield token[:-1]
    yield token + (last if last.isalnum() else "A")
    yield "x" + token
    middle = max(len(token) - 6, 0)
    yield token[:middle] + "!" + token[middle + 1 :]
    letters = [i for i, character in enumerate(token[:8]) if character.isalpha()]
    if letters:
        place = rng.choice(letters)
        other = "q" if token[place] != "q" else "z"
        yield token[:place] + other + token[place + 1 :]
    parts = re.split(r"([=:>] ?[\"']?)", token, maxsplit=1)
    if len(parts) > 1:
        yield parts[0] + parts[1] + UUID
        yield parts[0] + parts[1] + "1.24.3"


def _draw(node: Node, rng: random.Random) -> bytes:
    match node:
        case Class(mask):
            return _run(mask, 1, rng)
        case Concat(nodes):
            return b"".join(_draw(each, rng) for each in nodes)
        case Alternation(nodes):
            return _draw(rng.choice(nodes), rng)
        case Repeat(Class(mask), low, high):
            return _run(mask, rng.randint(low, min(high, low + MORE)), rng)
        case Repeat(inner, low, high):
            count = rng.randint(low, min(high, low + 1))
            return b"".join(_draw(inner, rng) for _ in range(count))
        case Look() | Boundary():
            return b""


def _run(mask: int, length: int, rng: random.Random) -> bytes:
    """Bytes of a set: letters and digits where it has some."""
    usable = next(
        (kind & mask for kind in (ALPHANUMERIC, PRINTABLE, byteset.ALL) if kind & mask), mask
    )
    drawn = bytes(rng.choices(byteset.members(usable), k=length))
    if length < LONG:
        return drawn
    word = next((word for word in WORDS if not byteset.of(word) & ~usable), b"")
    return word + drawn[len(word) :]


def main(file: Path, wanted: set[str]) -> None:
    """Print samples of a pack's signatures as YAML that a pack can take."""
    for signature in load_pack(file).signatures:
        if wanted and signature.id not in wanted:
            continue
        drawn = tokens(signature.regex, signature.id)
        misses = [miss for token in drawn for miss in near_misses(signature.regex, token)]
        print(f"# {signature.id}")  # noqa: T201 - its purpose
        for key, samples in (("must_match", drawn), ("must_not_match", misses)):
            print(f"    {key}:")  # noqa: T201
            for sample in samples:
                print(f"      - {json.dumps(sample)}")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), set(sys.argv[2:]))
