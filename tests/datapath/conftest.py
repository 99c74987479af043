"""The kernel tier's bench: a private build of the programs, packets in, fates and reasons out."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dlp.datapath import abi
from dlp.datapath.abi import EventKind, Reason
from dlp.datapath.datapath import Datapath
from dlp.datapath.events import Event
from dlp.datapath.pins import BPFFS, Layout
from dlp.model import Action
from dlp.policy import KernelPolicies, KernelPolicy, PolicyFlag, RuleRow
from dlp.signatures.image import KernelImage
from dlp.signatures.pack import load_packs
from tests.images import IMAGES
from tests.kernelpath import Rises

HMAC_KEY = b"bench"


@dataclass(frozen=True, slots=True)
class Named:
    """An event with its signature's id."""

    signature: str
    event: Event

    @property
    def length(self) -> int:
        return self.event.length

    @property
    def reason(self) -> int:
        return self.event.reason


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a packet.

    `rises` holds the reasons whose packet counters rose, `scanned` the bytes that were.
    """

    passed: bool
    rises: Rises
    scanned: int
    events: tuple[Named, ...]

    def rose(self, *reasons: Reason) -> bool:
        return set(reasons) <= self.rises.keys()

    @property
    def matches(self) -> list[Named]:
        return [each for each in self.events if each.event.kind is EventKind.MATCH]

    @property
    def opaque(self) -> list[Named]:
        return [each for each in self.events if each.event.kind is EventKind.OPAQUE]


class Rig:
    """One namespace's classifier under one policy."""

    def __init__(self, datapath: Datapath, image: KernelImage, key: int, policy: int) -> None:
        self._datapath = datapath
        self._image = image
        self._slot = key % abi.WORKLOADS
        self._events: list[Event] = []
        self._ring = datapath.on_events(self._events.append)
        self.entry = datapath.entry(key)
        datapath.bind(key, 0, policy)
        self._before = datapath.counters(self._slot)
        self._ports = itertools.count(1024)

    def port(self) -> int:
        """A source port that no other packet of this rig has."""
        return 1024 + next(self._ports) % 64_000

    def send(self, packet: object) -> Sent:
        """Run one packet (scapy's, or bytes) through the programs."""
        done = self._datapath.test_run(self.entry, bytes(packet))
        self._ring.consume()
        before, after = self._before, self._datapath.counters(self._slot)
        rises = Rises({r: after[r][0] - before[r][0] for r in Reason if after[r] != before[r]})
        scanned = after[Reason.INSPECTED][1] - before[Reason.INSPECTED][1]
        self._before = after
        events = tuple(
            Named(self._image.signatures[event.signature].id, event) for event in self._events
        )
        self._events.clear()
        return Sent(done.result != abi.TC_DROP, rises, scanned, events)


def require_root() -> None:
    """A failure and not a skip: without root nothing of this tier is tested."""
    if os.geteuid() != 0:
        pytest.fail("the kernel tier loads programs: run it as root", pytrace=False)


@pytest.fixture(scope="session")
def datapath(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datapath]:
    """The programs of this checkout, built for this run; nothing of it outlives the run."""
    require_root()
    layout = Layout(
        BPFFS / f"test{os.getpid()}", tmp_path_factory.mktemp("datapath") / "manifest.json"
    )
    opened = Datapath.open(layout, adopt=False)
    layout.remove()  # descriptors keep it alive
    with opened:
        yield opened


@pytest.fixture(scope="session")
def image() -> KernelImage:
    """The built-in packs, compiled."""
    return IMAGES.image(load_packs(("pci", "pii", "secrets"), Path.cwd()))


@dataclass(frozen=True, slots=True)
class Choice:
    """What a test asks of its policy; every signature has the same action."""

    action: Action = Action.DROP
    monitor: bool = False
    other_drop: bool = False
    uninspectable: Action = Action.ALLOW
    threshold: int = 1

    def policy(self, image: KernelImage) -> KernelPolicy:
        flags = PolicyFlag.OVER_BUDGET_DROP
        flags |= PolicyFlag.MONITOR if self.monitor else PolicyFlag(0)
        flags |= PolicyFlag.OTHER_DROP if self.other_drop else PolicyFlag(0)
        row = RuleRow(self.action, 0, self.threshold)
        return KernelPolicy(
            name="bench",
            flags=flags,
            uninspectable=self.uninspectable,
            destinations=(),
            rules=dict.fromkeys(range(len(image.signatures)), row),
            exceptions=(),
        )


CHOICES = tuple(
    Choice(monitor=monitor, other_drop=other_drop, uninspectable=uninspectable)
    for monitor, other_drop in ((False, False), (True, False), (False, True))
    for uninspectable in (Action.ALLOW, Action.ALERT, Action.DROP)
)


@pytest.fixture(scope="session")
def _rigs(datapath: Datapath, image: KernelImage) -> Iterator[dict[Choice, Rig]]:
    policies = tuple(choice.policy(image) for choice in CHOICES)
    datapath.load(
        image,
        KernelPolicies(policies=(policies[0], *policies), next_expiry=None),
        hmac_key=HMAC_KEY,
        release=1,
    )
    rigs = {
        choice: Rig(datapath, image, key=0xD1B0_0000 + number, policy=number + 1)
        for number, choice in enumerate(CHOICES)
    }
    yield rigs
    for rig in rigs.values():
        os.close(rig.entry)


@pytest.fixture
def rig_of(_rigs: dict[Choice, Rig]) -> Callable[..., Rig]:
    """A rig by what its policy says, as `rig_of(monitor=True)`."""

    def choose(**asked: object) -> Rig:
        return _rigs[dataclasses.replace(Choice(), **asked)]

    return choose


@pytest.fixture
def rig(rig_of: Callable[..., Rig]) -> Rig:
    """Enforces: every match is dropped."""
    return rig_of()
