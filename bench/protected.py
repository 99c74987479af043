"""The whole of the kernel's path on a veth pair: classifier before it, guard behind, a word.

As in production: TCX links, tokens, packets of at most 16 KB. The daemon is not there; what it
does for a packet on its way (heartbeat, the inspector's word) a thread does here, so that what
is measured is the kernel's and TCP's part.
"""

from __future__ import annotations

import heapq
import os
import select
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench import namespaces
from bench.gateway import bounded, pins
from bench.namespaces import Link
from dlp.datapath import abi, links
from dlp.datapath.abi import DeviceFlag, Reason
from dlp.datapath.datapath import Datapath, LoadTimes
from dlp.datapath.events import Payload
from dlp.datapath.links import Hook
from dlp.datapath.pins import Layout
from dlp.model import Action
from dlp.policy import KernelPolicies, KernelPolicy, PolicyFlag, RuleRow
from dlp.signatures.image import KernelImage

_POLICY = 1
_BEAT_S = 0.5
NEVER = 0xFF  # distinct values: more than any flow has


@dataclass(frozen=True, slots=True)
class Protected:
    """A sender whose packets pass classifier and guard. `key` ends in the row of counters."""

    datapath: Datapath
    link: Link
    key: int
    entry: int
    guard: int

    def count(self, reason: Reason) -> int:
        """Packets counted under a reason so far."""
        return self.datapath.counters(self.key % abi.WORKLOADS)[reason][0]


@contextmanager
def built(name: str, scratch: Path) -> Iterator[Datapath]:
    """A build of its own, unpinned at the end; nothing is loaded into it yet."""
    layout = Layout(pins() / name, scratch / f"{name}.json")
    with Datapath.open(layout, adopt=False) as datapath:
        yield datapath


def load(
    datapath: Datapath,
    image: KernelImage,
    actions: Mapping[str, Action],
    *,
    flags: PolicyFlag,
    threshold: int = 1,
    timeout_ms: int = 500,
) -> LoadTimes:
    """One policy for all: the named signatures have their action, the others alert.

    `threshold`: distinct values in a flow at which an alert begins.
    """
    rules = {}
    for number, signature in enumerate(image.signatures):
        action = actions.get(signature.id, Action.ALERT)
        rules[number] = RuleRow(action, 0, 1 if signature.id in actions else threshold)
    policy = KernelPolicy(
        name="bench",
        flags=flags,
        uninspectable=Action.ALLOW,
        destinations=(),
        rules=rules,
        exceptions=(),
        hold_timeout_ms=timeout_ms,
    )
    policies = KernelPolicies(policies=(policy, policy), next_expiry=None)
    return datapath.load(image, policies, hmac_key=b"bench", release=1)


@contextmanager
def protected(
    datapath: Datapath, name: str, number: int, *, guarded: bool = True
) -> Iterator[Protected]:
    """A veth pair with both programs in place; `number` picks addresses and the key."""
    slot = number % abi.WORKLOADS
    with ExitStack() as stack:
        link = stack.enter_context(namespaces.pair(name, number))
        datapath.bind(number, 0, _POLICY)
        stack.callback(datapath.unbind, number, 0)
        datapath.renew_tokens(slot)
        stack.callback(datapath.clear_guard, slot)
        entry = datapath.entry(number, DeviceFlag.GUARDED if guarded else DeviceFlag(0))
        stack.callback(os.close, entry)
        guard = datapath.guard(number)
        stack.callback(os.close, guard)
        bounded(link)
        put(stack, entry, link.sender, link.device, Hook.EGRESS)
        if guarded:
            put(stack, guard, link.receiver, "eth0", Hook.INGRESS)
        yield Protected(datapath, link, number, entry, guard)


def put(stack: ExitStack, program: int, namespace: str, device: str, hook: Hook) -> None:
    """A program first on a device of a namespace, by TCX."""
    with namespaces.inside(namespace):
        stack.callback(os.close, links.create(program, socket.if_nametoindex(device), hook))


class Word(threading.Thread):
    """Stands in for the inspector: clears whatever is held, some time after it was told.

    Args:
        datapath: nobody else reads its ring of held payload meanwhile.
        after_s: seconds between a record and the word.
    """

    def __init__(self, datapath: Datapath, after_s: float = 0.0) -> None:
        super().__init__(name="word", daemon=True)
        self.after_s = after_s
        self.records = 0
        self._datapath = datapath
        self._due: list[tuple[float, int, int]] = []
        self._ended = threading.Event()
        self._ring = datapath.on_held(self._take)

    def __enter__(self) -> Self:
        self._datapath.beat()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def _take(self, payload: Payload) -> None:
        self.records += 1
        if not payload.again:
            due = time.monotonic() + self.after_s
            heapq.heappush(self._due, (due, payload.flow, payload.offset + len(payload.data)))

    def run(self) -> None:
        beaten = 0.0
        poll = select.epoll()
        poll.register(self._ring.fileno(), select.EPOLLIN)
        with poll:
            while not self._ended.is_set():
                now = time.monotonic()
                if now > beaten + _BEAT_S:
                    self._datapath.beat()
                    beaten = now
                while self._due and self._due[0][0] <= now:
                    _, flow, to = heapq.heappop(self._due)
                    self._datapath.clear(flow, to)
                wait = min(self._due[0][0] - now if self._due else 0.05, 0.05)
                if poll.poll(max(wait, 0)):
                    self._ring.consume()
