"""Cases over real TCP connections: flows that live with their sockets, behind classifier and guard.

Each segment is one send on a connection of its own namespace, and the next waits until it has
been acknowledged. What a socket cannot be made to do (gaps, retransmissions, chosen numbers) is
left to packets run by themselves.
"""

from __future__ import annotations

import dataclasses
import fcntl
import itertools
import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

from dlp.datapath import libbpf
from dlp.datapath.abi import DeviceFlag, Reason
from dlp.datapath.pins import BPFFS
from tests.netlab import DEVICE, Lab, sh
from tests.oracle.campaign import Judge, Tally, judge_of
from tests.oracle.cases import Carrier, Case
from tests.oracle.compare import Observed
from tests.oracle.harness import NETNS, SLOT, Kernel
from tests.oracle.model import Segment

KINDS = frozenset({"split", "mixed", "bytewise", "dense"})
LONGEST = 16_000  # bytes of one send: fits the window that a peer opens with
PATIENCE_S = 20.0
_MTU = 65_535  # no segment is cut into packets
_SIOCOUTQ = 0x5411
_LOOK = 50  # turns between two looks at the counters


class RecutError(Exception):
    """A send left in several packets: the case says nothing."""


def over_sockets(case: Case) -> Case | None:
    """The case as a socket can send it, or None where it cannot."""
    if case.carrier is not Carrier.TCP or case.kind not in KINDS:
        return None
    segments = tuple(Segment(each.start, each.end) for each in case.segments if each.size)
    if not segments or any(each.size > LONGEST for each in segments):
        return None
    return dataclasses.replace(case, segments=segments)


class Sockets:
    """A pair of namespaces with the kernel programs between them.

    Args:
        kernel: whose entry, guard and tables they are; its set is loaded by the caller.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._datapath = kernel.datapath
        self._lab = Lab()
        self._pair = self._lab.pair("oracle")
        for netns in (self._pair.inner, self._pair.outer):
            quiet = "net.ipv4.tcp_autocorking=0 net.ipv4.tcp_slow_start_after_idle=0"
            sh(f"nsenter --net=/run/netns/{netns} sysctl -qw {quiet}")
            sh(f"ip -n {netns} link set {DEVICE} mtu {_MTU}")
        self._datapath.renew_tokens(SLOT)
        guard = self._datapath.guard(NETNS)
        entry = self._datapath.entry(NETNS, DeviceFlag.GUARDED | DeviceFlag.STEALS)
        self._attach(self._pair.outer, "ingress", guard)
        self._attach(self._pair.inner, "egress", entry)

    @staticmethod
    def _attach(netns: str, side: str, program: int) -> None:
        path = BPFFS / f"oracle-socket-{os.getpid()}-{side}"
        tc = f"nsenter --net=/run/netns/{netns} tc"
        libbpf.pin(program, path)
        try:
            sh(f"{tc} qdisc add dev {DEVICE} clsact")
            sh(f"{tc} filter add dev {DEVICE} {side} bpf da object-pinned {path}")
        finally:
            path.unlink()
            os.close(program)

    def run(self, case: Case) -> list[Observed]:
        """What the kernel made of each segment. Raises RecutError."""
        observed = [Observed() for _ in case.segments]
        began: list[int] = []
        sent: list[Observed] = []
        with self._pair.connect(case.family) as sender:
            for segment, seen in zip(case.segments, observed, strict=True):
                before = self._counted()
                began.append(time.monotonic_ns())
                sent.append(seen)
                sender.sendall(case.stream[segment.start : segment.end])
                after = self._settle(sender, before)
                if after[Reason.DROPPED] > before[Reason.DROPPED]:
                    seen.passed = False
                    seen.over_budget = after[Reason.OVER_BUDGET] > before[Reason.OVER_BUDGET]
                    break
                if after[Reason.INSPECTED] - before[Reason.INSPECTED] != 1:
                    self.kernel.collect(began, sent)
                    raise RecutError
        self.kernel.collect(began, sent)
        return observed

    def _counted(self) -> dict[Reason, int]:
        return {each: packets for each, (packets, _) in self._datapath.counters(SLOT).items()}

    def _settle(self, sender: socket.socket, before: dict[Reason, int]) -> dict[Reason, int]:
        """Wait until all is acknowledged, or dropped; the counters then."""
        end = time.monotonic() + PATIENCE_S
        turn = 0
        while time.monotonic() < end:
            raw = fcntl.ioctl(sender.fileno(), _SIOCOUTQ, b"\0" * 4)
            (unacknowledged,) = struct.unpack("i", raw)
            turn += 1
            if unacknowledged and turn % _LOOK:
                continue
            after = self._counted()
            if not unacknowledged or after[Reason.DROPPED] > before[Reason.DROPPED]:
                return after
            time.sleep(0.0002)
        raise TimeoutError("a segment was neither acknowledged nor dropped")

    def close(self) -> None:
        self._datapath.clear_guard(SLOT)
        self._lab.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@dataclasses.dataclass(slots=True)
class SocketTally(Tally):
    """`recut`: cases that say nothing, as TCP cut them otherwise."""

    recut: int = 0


def usable(judge: Judge, count: int) -> Iterator[Case]:
    """The first so many cases that sockets can carry."""
    made = (over_sockets(judge.cases[number]) for number in itertools.count())
    yield from itertools.islice((case for case in made if case is not None), count)


def campaign(kernel: Kernel, seed: int, count: int, stride: int | None = None) -> SocketTally:
    """Judge the seed's first `count` such cases by the model of those run packet by packet."""
    judge = judge_of(stride, seed, broad=True)
    kernel.load(judge.set)
    with Sockets(kernel) as road:
        return run(judge, road, usable(judge, count))


def run(judge: Judge, road: Sockets, cases: Iterable[Case]) -> SocketTally:
    """What the cases came to."""
    tally = SocketTally()
    for case in cases:
        try:
            observed = road.run(case)
        except RecutError:
            tally.recut += 1
            continue
        outcome = judge.judge(case, observed, flags=" --sockets")
        tally.cases += 1
        tally.matches += outcome.matches
        tally.over_budget += outcome.over_budget
        tally.kinds[case.kind] += 1
        tally.disagreements += outcome.disagreements
    return tally
