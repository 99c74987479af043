"""Own signature sets and policies on the kernel tier's programs.

The fixture `bench` of the plugin tests.kernelpath_fixture hands out a Bench.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlp.datapath import abi
from dlp.datapath.abi import Reason
from dlp.datapath.datapath import Datapath
from dlp.datapath.events import Event, Payload
from dlp.model import Action
from dlp.policy import DestinationRow, KernelPolicies, KernelPolicy, PolicyFlag, RuleRow
from dlp.signatures.compiler import compile_packs
from dlp.signatures.image import KernelImage
from dlp.signatures.pack import load_packs

HMAC_KEY = bytes(range(32))
SLOT = 900  # of the counters; the other tests of the tier use low ones
NETNS = 0xBE7C << 16 | SLOT
_PORTS = itertools.count(12_000)  # flows outlive a module; other ports than the rigs have

_PACK = """
pack: own
version: 1
description: For tests.
signatures:
"""
_SIGNATURE = """
  - id: own.key.{name}
    name: {name}
    severity: high
    description: Made up.
    category: secret
    regex: '{regex}'
    normalise: {normalise}
    must_match: ['{sample}']
    must_not_match: ['nothing']
"""


@dataclass(frozen=True, slots=True)
class Made:
    """A signature for tests: its id is `own.key.NAME`."""

    name: str
    regex: str
    sample: str
    normalise: bool = False


ALPHA = Made("alpha", "ALPHAKEY-[A-Za-z0-9]{8}(?![A-Za-z0-9])", "ALPHAKEY-abcd1234")
BRAVO = Made("bravo", "BRAVOKEY-[A-Za-z0-9]{8}(?![A-Za-z0-9])", "BRAVOKEY-abcd1234")
# Longer than the kernel's span: it finds the beginning, the inspector decides.
LONG = Made("long", "LONGKEY-[A-Za-z0-9]{5,300}(?![A-Za-z0-9])", "LONGKEY-abcd1234")


def value(signature: Made, number: int) -> bytes:
    """The value of that number: another number, another value."""
    return signature.sample[:-8].encode() + f"{number:08}".encode()


def compiled(directory: Path, *signatures: Made, held: bool = False) -> KernelImage:
    """An image of these signatures, in this order; `held`: with the triggers of a hold."""
    text = _PACK + "".join(
        _SIGNATURE.format(
            name=each.name,
            regex=each.regex,
            sample=each.sample,
            normalise=str(each.normalise).lower(),
        )
        for each in signatures
    )
    file = directory / "own.yaml"
    file.write_text(text)
    ids = [f"own.key.{each.name}" for each in signatures] if held else []
    return compile_packs(load_packs([file], directory), held=ids)


def policy(
    image: KernelImage,
    action: Action = Action.DROP,
    *,
    threshold: int = 1,
    flags: PolicyFlag = PolicyFlag.OVER_BUDGET_DROP,
    destinations: tuple[DestinationRow, ...] = (),
    exceptions: tuple[bytes, ...] = (),
    rules: dict[int, RuleRow] | None = None,
    hold_timeout_ms: int = 60_000,
) -> KernelPolicy:
    """One rule for all signatures, unless `rules` says more."""
    row = RuleRow(action, 0, threshold)
    return KernelPolicy(
        name="bench",
        flags=flags,
        uninspectable=Action.ALLOW,
        destinations=destinations,
        rules=dict.fromkeys(range(len(image.signatures)), row) if rules is None else rules,
        exceptions=exceptions,
        hold_timeout_ms=hold_timeout_ms,
    )


class Rises(dict[Reason, int]):
    """Counters that rose, by how much; those that did not read as 0."""

    def __missing__(self, key: Reason) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a packet; `rises` are packet counters that rose."""

    passed: bool
    events: tuple[Event, ...]
    payloads: tuple[Payload, ...]
    rises: Rises


def rises(before: dict[Reason, int], after: dict[Reason, int]) -> Rises:
    """What rose between two readings of `Bench.packets`."""
    return Rises({r: after[r] - before[r] for r in Reason if after[r] > before[r]})


class Bench:
    """One namespace's classifier, and the tables behind it."""

    def __init__(self, datapath: Datapath) -> None:
        self.datapath = datapath
        self.events: list[Event] = []
        self.payloads: list[Payload] = []
        self.rings = (
            datapath.on_events(self.events.append),
            datapath.on_payload(self.payloads.append),
        )
        self.entry = datapath.entry(NETNS)
        self._release = 100

    def port(self) -> int:
        """A source port that no other flow of the session has."""
        return next(_PORTS)

    def load(self, image: KernelImage, *policies: KernelPolicy, **settings: Any) -> int:
        """Make a set live; policies count from 1, the first is the strictest too.

        Returns the release's number.
        """
        self._release += 1
        self.datapath.load(
            image,
            KernelPolicies(policies=(policies[0], *policies), next_expiry=None),
            **{"hmac_key": HMAC_KEY, "release": self._release, **settings},
        )
        self.use(1)
        self.datapath.beat()
        self.drain()
        return self._release

    def use(self, number: int) -> None:
        """Packets from here on are under that policy."""
        self.datapath.bind(NETNS, 0, number)

    def read(self) -> None:
        """Read all that is told."""
        for ring in self.rings:
            while ring.consume():
                pass

    def drain(self) -> None:
        """Read and forget what is told."""
        self.read()
        self.events.clear()
        self.payloads.clear()

    def post(self, packet: object) -> bool:
        """Run a packet and leave what is told in the rings; whether it passed."""
        return self.datapath.test_run(self.entry, bytes(packet)).result != abi.TC_DROP  # type: ignore[call-overload]

    def packets(self) -> dict[Reason, int]:
        """Packet counters so far."""
        return {each: packets for each, (packets, _) in self.datapath.counters(SLOT).items()}

    def send(self, packet: object) -> Fate:
        """Run one packet (scapy's, or bytes) and read all that is told of it."""
        before = self.packets()
        passed = self.post(packet)
        for ring in self.rings:
            ring.consume()
        after = self.packets()
        fate = Fate(
            passed,
            tuple(self.events),
            tuple(self.payloads),
            rises(before, after),
        )
        self.events.clear()
        self.payloads.clear()
        return fate
