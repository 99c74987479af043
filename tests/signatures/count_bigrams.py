"""Makes the tables of dlp/signatures/frequency.py and corpora.py anew: counts of folded byte pairs.

    python -m tests.signatures.count_bigrams DIRECTORY...

Reads documents, source text and JSON below the directories, adds random bytes, and
prints the tables; only counts come out of it. Each kind weighs as KINDS says, whatever
the amount found.
"""

from __future__ import annotations

import base64
import collections
import itertools
import math
import sys
import zlib
from pathlib import Path

KINDS = {
    "text": (0.45, ("*.txt", "README*", "copyright", "*.md", "*.html")),
    "source": (0.33, ("*.py", "*.h", "*.c", "*.js", "*.sh")),
    "json": (0.20, ("*.json",)),
}
NOISE = 0.02
MOST = 24 << 20


def count(roots: list[Path], patterns: tuple[str, ...]) -> collections.Counter[int]:
    """Pairs of folded bytes, as first * 128 + second (bit 5 is left out of each)."""
    counts: collections.Counter[int] = collections.Counter()
    left = MOST
    files = sorted(
        {file for root in roots for pattern in patterns for file in root.rglob(pattern)},
        key=lambda file: hash_name(file.name),
    )
    for file in files:
        if left <= 0 or not file.is_file():
            continue
        raw = bytes(squeeze(byte) for byte in file.read_bytes()[: 64 << 10])
        left -= len(raw)
        counts.update(a * 128 + b for a, b in itertools.pairwise(raw))
    return counts


def hash_name(name: str) -> int:
    """An order that mixes directories and is the same each time."""
    return zlib.crc32(name.encode())


def squeeze(byte: int) -> int:
    """A byte without bit 5: 128 folded values."""
    return byte >> 6 << 5 | byte & 31


def main(roots: list[Path]) -> None:
    """Print the tables: -8 log2 of each pair's share in a byte, deflated, base 85.

    Of the mixture for frequency.py, of text and JSON alone for corpora.py.
    """
    kinds = {name: count(roots, patterns) for name, (_, patterns) in KINDS.items()}
    mixture = {name: weight for name, (weight, _) in KINDS.items()}
    alone = {name: {name: 1 - NOISE} for name in ("text", "json")}
    for table, weights in {"mixture": mixture, **alone}.items():
        share = [NOISE / 16384] * 16384
        for name, weight in weights.items():
            total = kinds[name].total()
            for pair, number in kinds[name].items():
                share[pair] += weight * number / total
        packed = bytes(min(round(-8 * math.log2(value)), 255) for value in share)
        text = base64.b85encode(zlib.compress(packed, 9)).decode()
        print(table)  # noqa: T201 - its purpose
        for start in range(0, len(text), 92):
            print(f'    b"{text[start : start + 92]}"')  # noqa: T201 - its purpose


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
