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
from collections import Counter
from collections.abc import Collection, Sequence
from functools import cache
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
from dlp.signatures.image import LANE_SHAPES, KernelImage
from dlp.signatures.pack import Pack, load_packs
from tests.images import IMAGES, remembered
from tests.oracle import packs
from tests.oracle.cases import Case
from tests.oracle.compare import Observed
from tests.oracle.frames import frame
from tests.oracle.model import Place
from tests.oracle.packs import Packs
from tests.oracle.wire import Wire

# Packs of each kind; not all, as some validators are in the product and not in the model.
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
ENOUGH = 60  # signatures of a pack
EVERY = 2  # such a part of the broad set is in the core, and the first of each kind
ROOM = 6  # such a part of a set at most may have no room beside the others at a stride
NEVER = 0xFF  # distinct values: more than any case has
_TIME = abi.EventStruct.time_ns
_PAYLOAD_TIME = abi.PayloadStruct.time_ns


@dataclasses.dataclass(frozen=True, slots=True)
class SignatureSet:
    """What runs in the kernel and what the model makes of the same packs."""

    name: str
    image: KernelImage
    packs: Packs


def signature_set(stride: int | None = None, *, broad: bool = False) -> SignatureSet:
    """The core of the built-in packs, or many of their signatures.

    With a stride, those of the signatures that can be had at it.
    """
    image = _image(stride, broad=broad)
    ids = [signature.id for signature in image.signatures]
    inspected = frozenset(s.id for s in image.signatures if s.decided is DecidedBy.INSPECTOR)
    known = packs.load(BUILT_IN, inspected, frozenset(ids))
    rules = {rule.id: rule for rule in known.rules}
    chosen = Packs(tuple(rules[name] for name in ids), known.samples)
    return SignatureSet(f"stride {image.stride}", image, chosen)


def _image(stride: int | None, *, broad: bool) -> KernelImage:
    """Which signatures there are takes long to find out, so it is remembered."""
    files = (Path(__file__), *pack_files())
    name = f"oracle-{stride}-{'broad' if broad else 'core'}"
    ids = remembered(name, files, lambda: _ids(stride, broad=broad))
    return IMAGES.image(_kept(_loaded(), ids), stride=stride)


def pack_files() -> list[Path]:
    """Of which the sets are made."""
    return [pack.file for pack in _loaded()]


@cache
def _loaded() -> tuple[Pack, ...]:
    return load_packs(BUILT_IN, Path.cwd())


def _ids(stride: int | None, *, broad: bool) -> list[str]:
    image = _broad(stride)
    if not broad:
        image = _compiled(_kept(_loaded(), _core(image)), stride)
    return [signature.id for signature in image.signatures]


@cache
def _broad(stride: int | None) -> KernelImage:
    chosen = tuple(map(_thinned, _loaded()))
    if stride is not None:
        chosen = _kept(chosen, _possible(chosen, stride))
    return _compiled(chosen, stride)


def _core(image: KernelImage) -> set[str]:
    """Signatures of each validator, lane and way to decide, and some from all over the set."""
    kinds: dict[object, str] = {}
    for one in image.signatures:
        lane = any(image.shapes[index].lane for index in one.shapes)
        kinds.setdefault((one.check, one.sums, one.near is None, one.decided, lane), one.id)
    return {*kinds.values(), *(one.id for one in image.signatures[::EVERY])}


def _kept(chosen: Sequence[Pack], ids: Collection[str]) -> tuple[Pack, ...]:
    return tuple(
        dataclasses.replace(pack, signatures=tuple(one for one in pack.signatures if one.id in ids))
        for pack in chosen
    )


def _possible(chosen: Sequence[Pack], stride: int) -> set[str]:
    """Those that a stride allows, as many as the digit lane has room for.

    A larger stride has more in the lane. Those that take most of it go first, while another
    has the same checksum.
    """
    lanes: dict[str, int] = {}
    kinds: dict[str, object] = {}
    for pack in chosen:
        for one in pack.signatures:
            alone = dataclasses.replace(pack, signatures=(one,))
            try:
                image = compile_packs([alone], stride=stride)
            except PackError:
                continue
            lanes[one.id] = len(image.lane.shapes)
            kinds[one.id] = (image.signatures[0].check, image.signatures[0].sums)
    while sum(lanes.values()) > LANE_SHAPES:
        alike = Counter(kinds[name] for name in lanes)
        spare = [name for name in lanes if lanes[name] and alike[kinds[name]] > 1]
        del lanes[max(spare or lanes, key=lanes.__getitem__)]
    return set(lanes)


def _compiled(chosen: Sequence[Pack], stride: int | None) -> KernelImage:
    """The image, without the few signatures that have no room beside the others at a stride.

    Raises PackError where they are many, or none is at fault.
    """
    left = {one.id: one.place for pack in chosen for one in pack.signatures}
    room = len(left) // ROOM if stride is not None else 0
    for tried in range(room + 1):
        try:
            return compile_packs(_kept(chosen, left), stride=stride)
        except PackError as error:
            fault = [name for name, place in left.items() if place == error.place]
            if tried == room or not fault:
                raise
            del left[fault[0]]
    raise AssertionError("unreachable")


def _thinned(pack: Pack) -> Pack:
    """Some signatures of a large pack, from all over it: the model matches each by itself."""
    step = max(1, len(pack.signatures) // ENOUGH)
    return dataclasses.replace(pack, signatures=pack.signatures[::step])


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
