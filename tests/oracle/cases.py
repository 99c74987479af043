"""Cases: a stream, how it is cut, and how it is carried. Number and seed give the same case.

Every third is a systematic one, in random order and until there are no more: each signature's
secrets cut at every place, at sampled pairs of places, and byte by byte. The others are random,
among them retransmissions, gaps, sequence wrap-around, data in the SYN, datagrams, dense text
that fills the kernel's lists, and segments of many chunks.
"""

from __future__ import annotations

import enum
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.oracle import corpus
from tests.oracle.corpus import Corpus
from tests.oracle.model import Segment

# BPF_PROG_TEST_RUN takes a linear packet within one page; what is larger goes over a wire.
LINEAR = 3400
CHUNK = 16 * 1024  # what the kernel scans at a time
LONGEST = 60_000
SEQUENCES = 1 << 32
CONTEXT = (b" ", b"\n", b":", b";", b"", b'"', b"=", b"\0", b",")
EVERY = 3  # such a part of the cases is systematic
PAIRS = 40  # sampled three-way splits of a secret


class Carrier(enum.StrEnum):
    TCP = "tcp"
    UDP = "udp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`initial` is the sequence number of the first byte of `stream` (TCP)."""

    number: int
    kind: str
    stream: bytes
    segments: tuple[Segment, ...]
    carrier: Carrier = Carrier.TCP
    family: int = 4
    initial: int = 1

    @property
    def linear(self) -> bool:
        return all(segment.size <= LINEAR for segment in self.segments)


@dataclass(frozen=True, slots=True)
class _Split:
    rule: int
    repeat: int
    cuts: tuple[int, ...]


class Cases:
    """The cases of a seed; `cases[number]` builds one, whatever was built before."""

    def __init__(self, material: Corpus, seed: int, repeats: int = 2) -> None:
        self._corpus = material
        self._seed = seed
        self._splits = [
            _Split(rule, repeat, cuts)
            for rule in range(len(material.rules))
            for repeat in range(repeats)
            for cuts in self._cuts_of(rule, repeat)
        ]
        random.Random(seed).shuffle(self._splits)

    @property
    def complete(self) -> int:
        """So many cases from number 0 on hold all systematic ones."""
        return len(self._splits) * EVERY

    def kind_of(self, number: int) -> str:
        """Without building the case."""
        return "split" if self._is_split(number) else self._draw(number)[0]

    def __getitem__(self, number: int) -> Case:
        kind, rng = self._draw(number)
        if self._is_split(number):
            split = self._splits[number // EVERY]
            data = self._context(split.rule, split.repeat)
            return self._tcp(rng, number, "split", data, segments(len(data), split.cuts))
        build: Callable[[random.Random, int], Case] = getattr(self, f"_{kind}")
        return build(rng, number)

    def _is_split(self, number: int) -> bool:
        return number % EVERY == 0 and number < self.complete

    def _draw(self, number: int) -> tuple[str, random.Random]:
        rng = random.Random(f"{self._seed}/{number}")
        return rng.choices(tuple(KINDS), tuple(KINDS.values()))[0], rng

    # ------------------------------------------------------------------------- systematic

    def _context(self, rule: int, repeat: int) -> bytes:
        rng = random.Random(f"{self._seed}/secret/{rule}/{repeat}")
        before = corpus.filler(rng, rng.randrange(24)) + rng.choice(CONTEXT)
        behind = rng.choice(CONTEXT) + corpus.filler(rng, rng.randrange(16))
        value = rng.choice(self._corpus.pools[rule])
        return before + value + behind

    def _cuts_of(self, rule: int, repeat: int) -> Iterable[tuple[int, ...]]:
        size = len(self._context(rule, repeat))
        rng = random.Random(f"{self._seed}/cuts/{rule}/{repeat}")
        yield from ((cut,) for cut in range(1, size))
        if size > 2:
            for _ in range(PAIRS):
                low, high = sorted(rng.sample(range(1, size), 2))
                yield (low, high)
        yield tuple(range(1, size))

    # ----------------------------------------------------------------------------- random

    def _parts(self, rng: random.Random, count: int, gap: int) -> bytes:
        parts = []
        for _ in range(count):
            parts.append(corpus.filler(rng, rng.randrange(gap)))
            parts.append(rng.choice(CONTEXT))
            plant = self._corpus.secret if rng.random() < 0.6 else self._corpus.near_miss
            parts.append(plant(rng))
            parts.append(rng.choice(CONTEXT))
        parts.append(corpus.filler(rng, rng.randrange(60)))
        return b"".join(parts)[: LINEAR * 6]

    def _mixed(self, rng: random.Random, number: int) -> Case:
        data = self._parts(rng, rng.randint(1, 4), rng.choice((8, 60, 200, 300)))
        return self._tcp(rng, number, "mixed", data, _random_segments(rng, len(data)))

    def _bytewise(self, rng: random.Random, number: int) -> Case:
        data = self._parts(rng, 1, 20)[:90]
        return self._tcp(rng, number, "bytewise", data, segments(len(data), range(1, len(data))))

    def _dense(self, rng: random.Random, number: int) -> Case:
        """Little but matches and near misses: lists fill and the chunk is taken up again."""
        rule = rng.randrange(len(self._corpus.rules))
        parts: list[bytes] = []
        size = rng.randrange(400, LINEAR)
        total = 0
        while total < size:
            plant = self._corpus.near_miss if rng.random() < 0.5 else self._corpus.secret
            part = plant(rng, rule if rng.random() < 0.7 else None) + rng.choice(CONTEXT)
            parts.append(part)
            total += len(part)
        data = b"".join(parts)[:LINEAR]
        return self._tcp(rng, number, "dense", data, _random_segments(rng, len(data), most=2))

    def _datagrams(self, rng: random.Random, number: int) -> Case:
        data = self._parts(rng, rng.randint(1, 3), 80)
        return Case(
            number=number,
            kind="datagrams",
            stream=data,
            segments=tuple(_random_segments(rng, len(data), most=3)),
            carrier=Carrier.UDP,
            family=rng.choice((4, 6)),
        )

    def _again(self, rng: random.Random, number: int) -> Case:
        """Retransmissions: the same bytes, cut again, alone or with new ones behind them."""
        data = self._parts(rng, rng.randint(1, 3), 60)
        sent: list[Segment] = []
        high = 0
        for segment in _random_segments(rng, len(data)):
            if high and rng.random() < 0.5:
                low = rng.randrange(max(0, high - 150), high)
                sent.append(Segment(low, rng.randint(low + 1, high)))
            if high and rng.random() < 0.3:
                low = rng.randrange(max(0, high - 100), high)
                segment = Segment(low, segment.end)  # noqa: PLW2901  (starts in what was sent)
            sent.append(segment)
            high = segment.end
        if rng.random() < 0.5:
            sent.append(rng.choice(sent))
        return self._tcp(rng, number, "again", data, sent)

    def _gap(self, rng: random.Random, number: int) -> Case:
        data = self._parts(rng, rng.randint(2, 4), 60)
        sent = _random_segments(rng, len(data), least=3)
        del sent[rng.randrange(1, len(sent))]
        return self._tcp(rng, number, "gap", data, sent)

    def _long(self, rng: random.Random, number: int) -> Case:
        """Segments of many chunks, secrets around each chunk's, block's and word's edge."""
        sizes = [rng.choice((rng.randrange(4000, 20_000), rng.randrange(16_000, LONGEST)))]
        if rng.random() < 0.4:
            sizes.append(rng.randrange(1, 20_000))
        data = bytearray(rng.choice(corpus.LONG_FILLERS)(rng, sum(sizes)))
        bounds = [0]
        for size in sizes:
            bounds.append(bounds[-1] + size)
        for low, high in itertools.pairwise(bounds):
            for edge in range(low, high + CHUNK, CHUNK):
                value = rng.choice(CONTEXT) + self._corpus.secret(rng) + rng.choice(CONTEXT)
                place = min(edge, high) + rng.randrange(-len(value) - 4, 5)
                if 0 <= place <= len(data) - len(value):
                    data[place : place + len(value)] = value
        for _ in range(rng.randrange(4)):
            value = rng.choice(CONTEXT) + self._corpus.secret(rng) + rng.choice(CONTEXT)
            place = rng.randrange(max(1, len(data) - len(value)))
            data[place : place + len(value)] = value
        del data[bounds[-1] :]
        return self._tcp(rng, number, "long", bytes(data), segments(bounds[-1], bounds[1:-1]))

    def _tcp(
        self,
        rng: random.Random,
        number: int,
        kind: str,
        data: bytes,
        sent: Iterable[Segment],
    ) -> Case:
        """Half of the flows are seen from their SYN on, some with data in it."""
        chosen = list(sent)
        opening = rng.random()
        if opening < 0.1 and chosen[0].start == 0:
            chosen[0] = Segment(0, chosen[0].end, syn=True)
        elif opening < 0.5 and chosen[0].start == 0:
            chosen.insert(0, Segment(0, 0, syn=True))
        initial = rng.randrange(SEQUENCES)
        if rng.random() < 0.1:  # the number wraps within the stream
            initial = SEQUENCES - rng.randint(1, len(data))
        return Case(
            number=number,
            kind=kind,
            stream=data,
            segments=tuple(chosen),
            family=6 if rng.random() < 0.15 else 4,
            initial=initial,
        )


KINDS = {
    "mixed": 70,
    "bytewise": 1,
    "dense": 2,
    "datagrams": 10,
    "again": 10,
    "gap": 5,
    "long": 1,
}


def segments(size: int, cuts: Iterable[int]) -> list[Segment]:
    bounds = [0, *cuts, size]
    return [Segment(low, high) for low, high in itertools.pairwise(bounds) if low < high]


def _random_segments(
    rng: random.Random, size: int, *, least: int = 1, most: int = 6
) -> list[Segment]:
    count = min(rng.randint(least, max(least, most)), size)
    cuts = set(rng.sample(range(1, size), count - 1)) if size > 1 else set()
    cuts |= set(range(LINEAR, size, LINEAR))
    return segments(size, sorted(cuts))


def census(cases: Iterable[Case]) -> Counter[str]:
    return Counter(case.kind for case in cases)
