"""Runs cases on the kernel programs: a private datapath, fresh flows, events by segment.

The policy alerts on every signature and drops nothing but what goes over budget. Each signature
has a rule of its own with a threshold that is never reached, so that every match is an event,
once for each value of a flow.
"""

from __future__ import annotations

import bisect
import dataclasses
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from dlp.datapath import abi, libbpf
from dlp.datapath.datapath import Datapath
from dlp.datapath.pins import BPFFS, Layout
from dlp.errors import PackError
from dlp.model import Action, DecidedBy
from dlp.policy import KernelPolicies, KernelPolicy, PolicyFlag, RuleRow
from dlp.signatures.compiler import compile_packs
from dlp.signatures.image import KernelImage
from dlp.signatures.pack import Pack, load_packs
from tests.oracle import packs
from tests.oracle.cases import Case
from tests.oracle.compare import Observed
from tests.oracle.frames import frame
from tests.oracle.model import Place
from tests.oracle.packs import Packs
from tests.oracle.wire import Wire

# Some of each kind: all packs would make a campaign some times longer.
BUILT_IN = (
    "pci",
    "pii-br",
    "pii-de",
    "pii-es",
    "pii-fr",
    "pii-iban",
    "pii-pl",
    "pii-sg",
    "pii-uk",
    "pii-us",
    "secrets",
    str(Path(__file__).with_name("keyword.yaml")),  # signatures that ask for keywords
)
NETNS = 0x0DDB_A115
SLOT = NETNS % abi.WORKLOADS
HMAC_KEY = b"oracle"
LEAST = 3  # packs: cards, secrets, keywords
ENOUGH = 60  # signatures of a pack
NEVER = 0xFF  # distinct values: more than any case has
_TIME = abi.EventStruct.time_ns
_PAYLOAD_TIME = abi.PayloadStruct.time_ns


@dataclasses.dataclass(frozen=True, slots=True)
class SignatureSet:
    """What runs in the kernel and what the model makes of the same packs."""

    name: str
    image: KernelImage
    packs: Packs


def signature_set(stride: int | None = None) -> SignatureSet:
    """The built-in packs; with a stride, those of their signatures that can be had at it."""
    loaded = tuple(map(_thinned, load_packs(BUILT_IN, Path.cwd())))
    if stride is not None:
        loaded = tuple(_at_stride(pack, stride) for pack in loaded)
    image = _compiled([pack for pack in loaded if pack.signatures], stride)
    ids = [signature.id for signature in image.signatures]
    inspected = frozenset(s.id for s in image.signatures if s.decided is DecidedBy.INSPECTOR)
    known = packs.load(BUILT_IN, inspected)
    rules = {rule.id: rule for rule in known.rules}
    samples = {name: known.samples[name] for name in ids}
    chosen = Packs(tuple(rules[name] for name in ids), samples)
    return SignatureSet(f"stride {image.stride}", image, chosen)


def _compiled(chosen: list[Pack], stride: int | None) -> KernelImage:
    """At some strides the digit lane has no room for all regions: with fewer of them then."""
    while True:
        try:
            return compile_packs(chosen, stride=stride)
        except PackError:
            if len(chosen) <= LEAST:
                raise
            del chosen[-LEAST]


def _thinned(pack: Pack) -> Pack:
    """Some signatures of a large pack, from all over it: the model matches each by itself."""
    step = max(1, len(pack.signatures) // ENOUGH)
    return dataclasses.replace(pack, signatures=pack.signatures[::step])


def _at_stride(pack: Pack, stride: int) -> Pack:
    kept = []
    for signature in pack.signatures:
        try:
            compile_packs([dataclasses.replace(pack, signatures=(signature,))], stride=stride)
        except PackError:
            continue
        kept.append(signature)
    return dataclasses.replace(pack, signatures=tuple(kept))


def alert_on_everything(signatures: int) -> KernelPolicies:
    rules = {number: RuleRow(Action.ALERT, number, NEVER) for number in range(signatures)}
    policy = KernelPolicy(
        name="oracle",
        flags=PolicyFlag.OVER_BUDGET_DROP,
        uninspectable=Action.ALLOW,
        destinations=(),
        rules=rules,
        exceptions=(),
    )
    return KernelPolicies(policies=(policy, policy), next_expiry=None)


class Kernel:
    """The kernel programs under test. Not shared between processes.

    Args:
        text: joined source to build instead of bpf/, for mutants.
    """

    def __init__(self, *, text: str | None = None) -> None:
        with tempfile.TemporaryDirectory(prefix="oracle") as directory:
            layout = Layout(BPFFS / Path(directory).name, Path(directory) / "manifest.json")
            self.datapath = Datapath.open(layout, text=text)
            layout.remove()  # descriptors keep all alive, and nothing stays behind a crash
        self.datapath.bind(NETNS, 0, 1)
        self._entry = self.datapath.entry(NETNS)
        self._wire: Wire | None = None
        self._flow = 0
        self._events: list[bytes] = []
        self._mirrored: list[bytes] = []
        tables = self.datapath.tables
        self._rings = (
            libbpf.RingBuffer(tables["events"].fd, self._events.append),
            libbpf.RingBuffer(tables["payloads"].fd, self._mirrored.append),
        )

    def load(self, chosen: SignatureSet) -> None:
        policies = alert_on_everything(len(chosen.image.signatures))
        self.datapath.load(chosen.image, policies, hmac_key=HMAC_KEY, release=1)

    def run(self, cases: Sequence[Case]) -> list[list[Observed]]:
        """What the kernel made of each segment of each case. Rings are read once for all."""
        results = [[Observed() for _ in case.segments] for case in cases]
        began: list[int] = []
        flat: list[Observed] = []
        for case, result in zip(cases, results, strict=True):
            self._flow += 1
            send = self._test_run if case.linear else self._over_the_wire
            for segment, observed in zip(case.segments, result, strict=True):
                began.append(time.monotonic_ns())
                flat.append(observed)
                if not send(frame(case, segment, self._flow)):
                    observed.passed = False
                    observed.over_budget = self._went_over_budget()
        self.collect(began, flat)
        return results

    def collect(self, began: list[int], flat: list[Observed]) -> None:
        """Read the rings; each record belongs to the last segment sent before its time."""
        for ring in self._rings:
            while ring.consume():
                pass
        for raw in self._events:
            event = abi.EventStruct.from_buffer_copy(raw)
            if event.kind != abi.EventKind.MATCH:
                continue
            observed = flat[bisect.bisect_right(began, event.time_ns) - 1]
            observed.hits.append((Place(event.signature, event.offset), event.length))
        for raw in self._mirrored:
            at = int.from_bytes(raw[_PAYLOAD_TIME.offset :][:8], "little")
            flat[bisect.bisect_right(began, at) - 1].mirrored = True
        self._events.clear()
        self._mirrored.clear()

    def _test_run(self, packet: bytes) -> bool:
        return self.datapath.test_run(self._entry, packet).result != abi.TC_DROP

    def _over_the_wire(self, packet: bytes) -> bool:
        if self._wire is None:
            path = BPFFS / f"oracle-wire-{os.getpid()}"
            libbpf.pin(self._entry, path)
            try:
                self._wire = Wire(path)
            finally:
                path.unlink()
        return self._wire.send(packet)

    def _went_over_budget(self) -> bool:
        """Whether that is why the last packet was dropped; clears the counters."""
        packets, _ = self.datapath.counters(SLOT)[abi.Reason.OVER_BUDGET]
        self.datapath.clear_counters(SLOT)
        return packets > 0

    def close(self) -> None:
        for ring in self._rings:
            ring.close()
        if self._wire is not None:
            self._wire.close()
        os.close(self._entry)
        self.datapath.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
