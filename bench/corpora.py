"""The traffic that is measured: four kinds of text, the same on every run of one machine.

Pure but for reading source and licence files of this machine; no sockets, no kernel.
"""

from __future__ import annotations

import json
import random
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

SEED = 20240611
SIZE = 4 << 20

_DOCUMENTS = Path("/usr/share/doc")
# English by frequency of letters, roughly: what counts is that words look like words.
_ONSETS, _VOWELS, _CODAS = "bcdfghlmnprsttw", "aeeiioou", ["", "", "n", "r", "s", "d", "ng"]


@dataclass(frozen=True, slots=True)
class Corpus:
    """One kind of payload; `data` is sent over and over."""

    name: str
    data: bytes


def corpora(size: int = SIZE) -> tuple[Corpus, ...]:
    """Source text, documents, digit-rich JSON and random data, `size` bytes each."""
    return (
        Corpus("source", source(size)),
        Corpus("documents", documents(size)),
        Corpus("json", digit_rich_json(size)),
        Corpus("random", random.Random(SEED).randbytes(size)),
    )


def source(size: int) -> bytes:
    """Python's own standard library."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    return _filled((path.read_bytes() for path in sorted(stdlib.glob("*.py"))), size)


def documents(size: int) -> bytes:
    """The licence texts of this machine's packages; on a bare one, prose of the same look."""
    texts = (path.read_bytes() for path in sorted(_DOCUMENTS.glob("*/copyright")))
    data = b"".join(_until(texts, size))
    return data[:size] if len(data) >= size else _filled([data, prose(size - len(data))], size)


def prose(size: int) -> bytes:
    """Text with the word and sentence lengths of English, now and then a year or a section."""
    rng = random.Random(SEED)
    words = [_word(rng) for _ in range(4000)]
    out: list[str] = []
    length = 0
    while length < size:
        sentence = rng.choices(words, k=rng.randint(6, 24))
        sentence[0] = sentence[0].capitalize()
        if rng.randrange(10) == 0:
            sentence.append(rng.choice((f"{rng.randint(1985, 2024)}", f"{rng.randint(1, 9)}.2")))
        line = " ".join(sentence) + rng.choice((". ", ".\n", ",\n", ".\n\n"))
        out.append(line)
        length += len(line)
    return "".join(out).encode()[:size]


def _word(rng: random.Random) -> str:
    return "".join(
        rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS)
        for _ in range(rng.choice((1, 2, 2, 3)))
    )


def digit_rich_json(size: int) -> bytes:
    """Order records as services send them: ids, times, amounts, telephone and tracking numbers.

    A third of the bytes are digits, in runs of one to thirteen; none is meant to match.
    """
    rng = random.Random(SEED)
    out: list[str] = []
    length = 0
    while length < size:
        line = json.dumps(_order(rng)) + "\n"
        out.append(line)
        length += len(line)
    return "".join(out).encode()[:size]


def _order(rng: random.Random) -> dict[str, object]:
    day = f"20{rng.randint(18, 25)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    return {
        "id": rng.randrange(10**7, 10**8),
        "created": f"{day}T{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}Z",
        "updated_ms": rng.randrange(1_500_000_000_000, 1_750_000_000_000),
        "customer": {"id": rng.randrange(10**5, 10**6), "phone": f"+1 {rng.randrange(10**9)}"},
        "host": ".".join(str(rng.randrange(256)) for _ in range(4)),
        "items": [
            {
                "sku": f"{rng.randrange(10**6):06}",
                "n": rng.randint(1, 9),
                "cents": rng.randrange(5000),
            }
            for _ in range(rng.randint(1, 4))
        ],
        "position": [round(rng.uniform(-90, 90), 6), round(rng.uniform(-180, 180), 6)],
        "tracking": f"{rng.randrange(10**12):012}",
    }


def planted(data: bytes, values: Sequence[bytes], seed: int = SEED) -> bytes:
    """`data` with each value once, on a line of its own, at random places, as long as before.

    A place is overwritten, so that two places never overlap: each value has a stretch of the
    data to itself.
    """
    if not values:
        return data
    stretch = len(data) // len(values)
    rng = random.Random(seed)
    out = bytearray(data)
    for number, value in enumerate(values):
        line = b"\n" + value + b"\n"
        if len(line) > stretch:
            raise ValueError(f"{len(data)} bytes have no room for {len(values)} values")
        start = number * stretch + rng.randrange(stretch - len(line) + 1)
        out[start : start + len(line)] = line
    return bytes(out)


def pieces(data: bytes, length: int, count: int) -> tuple[bytes, ...]:
    """`count` samples of `length` bytes, evenly spread over the data."""
    step = max(1, (len(data) - length) // count)
    return tuple(data[start * step : start * step + length] for start in range(count))


def _until(texts: Iterable[bytes], size: int) -> Iterable[bytes]:
    for text in texts:
        yield text
        size -= len(text)
        if size <= 0:
            return


def _filled(texts: Iterable[bytes], size: int) -> bytes:
    """The texts in order, repeated where they are fewer than `size` bytes."""
    data = b"".join(_until(texts, size))
    if not data:
        raise ValueError("no text to fill a corpus from")
    return (data * (size // len(data) + 1))[:size]
