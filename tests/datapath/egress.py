"""Real traffic under the classifier: attached by tc to a workload's end of a veth pair.

The guard goes on the other end. What is loaded is the bench's business: key, policies, events.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator

from dlp.datapath import libbpf
from dlp.datapath.abi import WORKLOADS, DeviceFlag, Reason
from dlp.datapath.events import Event
from dlp.datapath.pins import BPFFS
from dlp.policy import PolicyFlag
from tests.kernelpath import NETNS, Bench, Rises, rises
from tests.netlab import DEVICE, PATIENCE, PORT, SINK4, SINK6, Pair, sh, socket_in, until

_NUMBERS = itertools.count()
_SIOCOUTQ = 0x5411
SO_COOKIE = 57
# Refuses what it can.
STRICT = (
    PolicyFlag.OVER_BUDGET_DROP
    | PolicyFlag.UNOWNED_DROP
    | PolicyFlag.URGENT_DROP
    | PolicyFlag.MPTCP_DROP
    | PolicyFlag.OTHER_DROP
)


@contextlib.contextmanager
def pinned(program: int) -> Iterator[str]:
    """A path by which tc finds a program."""
    path = BPFFS / f"dlp-test-{os.getpid()}-egress-{next(_NUMBERS)}"
    libbpf.pin(program, path)
    try:
        yield str(path)
    finally:
        path.unlink()


def attach(netns: str, side: str, program: int, *, priority: int = 1) -> None:
    """Put a program on the device's egress or ingress.

    Not by `tc -n`, which mounts /sys anew and hides the pins.
    """
    tc = f"nsenter --net=/run/netns/{netns} tc"
    if "clsact" not in sh(f"{tc} qdisc show dev {DEVICE}"):
        sh(f"{tc} qdisc add dev {DEVICE} clsact")
    with pinned(program) as path:
        sh(
            f"{tc} filter replace dev {DEVICE} {side} prio {priority} handle 1"
            f" bpf da object-pinned {path}"
        )


class Egress:
    """A pair whose workload is under the bench's classifier, with a guard or without."""

    def __init__(
        self,
        bench: Bench,
        pair: Pair,
        *,
        guarded: bool = True,
        key: int = NETNS,
        steals: bool = True,
    ) -> None:
        self.bench, self.pair = bench, pair
        flags = DeviceFlag.STEALS if steals else DeviceFlag(0)
        if guarded:
            flags |= DeviceFlag.GUARDED
            bench.datapath.renew_tokens(key % WORKLOADS)
            self._put(pair.outer, "ingress", bench.datapath.guard(key))
        self._put(pair.inner, "egress", bench.datapath.entry(key, flags))

    @staticmethod
    def _put(netns: str, side: str, program: int) -> None:
        try:
            attach(netns, side, program)
        finally:
            os.close(program)

    def counted(self, act: Callable[[], object], *awaited: Reason) -> Rises:
        """Packet counters that rose while something was done; those awaited are waited for."""
        before = self.bench.packets()
        act()
        until(lambda: all(rises(before, self.bench.packets())[each] for each in awaited))
        return rises(before, self.bench.packets())

    def datagram(self, payload: bytes, *, family: int = 4) -> None:
        """Send one from a port of its own and wait for nothing."""
        kind, to = (socket.AF_INET, SINK4) if family == 4 else (socket.AF_INET6, SINK6)
        with (
            socket_in(self.pair.inner, kind, socket.SOCK_DGRAM) as sender,
            contextlib.suppress(OSError),  # dropped, and the sender was told
        ):
            sender.sendto(payload, (to, PORT))


def settled(sender: socket.socket, *, patience: float = PATIENCE) -> bool:
    """Wait until all that was sent has been acknowledged; whether it was in time."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        (left,) = struct.unpack("i", fcntl.ioctl(sender.fileno(), _SIOCOUTQ, b"\0" * 4))
        if not left:
            return True
        time.sleep(0.0005)
    return False


def cookie(of: socket.socket) -> int:
    """The kernel's number of a socket."""
    return int.from_bytes(of.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8), "little")


def told(bench: Bench) -> list[Event]:
    """Events since the last time."""
    bench.read()
    found = list(bench.events)
    bench.drain()
    return found


def arrives(stream: bytearray, expected: bytes) -> bool:
    """Whether exactly that comes: the sink reads in a thread of its own."""
    until(lambda: len(stream) >= len(expected))
    return stream == expected


@contextlib.contextmanager
def connection(pair: Pair, family: int = 4) -> Iterator[tuple[socket.socket, bytearray]]:
    """A connection and where its bytes arrive."""
    with contextlib.closing(pair.connect(family)) as made:
        yield made, pair.tcp.claim(made)


def blocked(bench: Bench, sender: socket.socket, *, patience: float = PATIENCE) -> bool:
    """Whether a further byte of a connection is refused as a blocked flow's.

    What was dropped before may be all that TCP sends, and it waits for its next turn: longer each
    time, in all no longer than the connection has waited already.
    """
    before = bench.packets()[Reason.FLOW_BLOCKED]
    with contextlib.suppress(OSError):
        sender.send(b"more")
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if bench.packets()[Reason.FLOW_BLOCKED] > before:
            return True
        time.sleep(0.005)
    return False
