"""What a packet can cost at most: payloads made to keep the classifier busy.

Datagrams of 32 KB over a veth with a large MTU: each packet is one, so that the kernel's
run-time statistics divided by their number are the cost of exactly this input.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import datagrams, namespaces
from bench.corpora import SEED, source
from bench.protected import Protected
from bench.signatures import Token
from dlp.datapath import libbpf
from dlp.datapath.abi import Reason
from dlp.signatures.validators import VALIDATORS

SIZE = 32 << 10
TCP_SIZE = 16 << 10  # the largest that TCP sends through the gateway
_MTU = 65000
_PACKETS = 400


@dataclass(frozen=True, slots=True)
class Worst:
    """One input: microseconds a packet, the share of packets over budget, matches in each."""

    microseconds: float
    over_budget: float
    matches: float


def inputs(tokens: Sequence[Token]) -> dict[str, bytes]:
    """Payloads of SIZE bytes by name, the same on every run."""
    rng = random.Random(SEED)
    digits = "".join(rng.choices("0123456789", k=SIZE))
    return {
        "source text": source(SIZE),
        "digits": digits.encode(),
        "digit groups": _filled(f"{rng.randrange(10**4):04} " for _ in itertools.count()),
        "near misses: cards": _filled(f"{_card(rng, valid=False)} " for _ in itertools.count()),
        "near misses: tokens": _filled(
            f"{token.value(seed)[:-1]} " for seed in itertools.count() for token in tokens
        ),
        "anchors": _filled(f"{token.prefix} " for token in itertools.cycle(tokens)),
        "anchors without a gap": _filled(token.prefix for token in itertools.cycle(tokens)),
        "matches: cards": _filled(f"{_card(rng, valid=True)} " for _ in itertools.count()),
        "matches: tokens": _filled(
            f"{token.value(seed)} " for seed in itertools.count() for token in tokens
        ),
        "single digits": b"4 " * (SIZE // 2),
        "dates": _filled(_date(rng) for _ in itertools.count()),
    }


def measure(
    protected: Protected, payloads: dict[str, bytes], scratch: Path
) -> Iterator[tuple[str, int, Worst]]:
    """Cost of each input by name and size; run-time statistics must be on."""
    for namespace, device in (
        (protected.link.sender, protected.link.device),
        (protected.link.receiver, "eth0"),
    ):
        namespaces.run("ip", "link", "set", "dev", device, "mtu", str(_MTU), namespace=namespace)
    file = scratch / "worst"
    for name, payload in payloads.items():
        for size in (SIZE, TCP_SIZE):
            file.write_bytes(payload[:size])
            yield name, size, _measured(protected, file)


def _measured(protected: Protected, file: Path) -> Worst:
    over, found = protected.count(Reason.OVER_BUDGET), protected.count(Reason.MATCH)
    before = libbpf.program_info(protected.entry)
    datagrams.send(protected.link.sender, protected.link.receiver_address, file, _PACKETS)
    after = libbpf.program_info(protected.entry)
    packets = after.runs - before.runs
    return Worst(
        (after.run_ns - before.run_ns) / packets / 1000,
        (protected.count(Reason.OVER_BUDGET) - over) / packets,
        (protected.count(Reason.MATCH) - found) / packets,
    )


def _filled(parts: Iterator[str]) -> bytes:
    out: list[str] = []
    length = 0
    while length < SIZE:
        out.append(next(parts))
        length += len(out[-1])
    return "".join(out).encode()[:SIZE]


def _date(rng: random.Random) -> str:
    """A time stamp on a line of its own: digit groups that no signature of the sets begins with."""
    day = f"{rng.randrange(2000, 2030)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}"
    return f"{day} {rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}\n"


def _card(rng: random.Random, *, valid: bool) -> str:
    """A number that looks like a card's, in groups; with or without a valid check digit."""
    while True:
        number = f"4{rng.randrange(10**15):015}"
        if VALIDATORS["luhn"](number.encode()) is valid:
            return " ".join(number[at : at + 4] for at in range(0, 16, 4))
