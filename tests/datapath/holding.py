"""Flows that wait, packet by packet: streams of segments, what the inspector is given, its word.

The fixture `holding` of the plugin tests.datapath.holding_fixture hands out a Holding.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from dlp.datapath import abi
from dlp.datapath.abi import DeviceFlag
from dlp.datapath.events import Event, Payload
from dlp.model import Action
from dlp.policy import PolicyFlag, RuleRow
from tests import packets as pk
from tests.kernelpath import NETNS, Bench, Rises, rises
from tests.netlab import GUEST

WAITS = PolicyFlag.OVER_BUDGET_DROP | PolicyFlag.OPEN_END_WAIT | PolicyFlag.HOLD_CLOSED
FOREVER_NS = 10**15
SHORT_MS = 1500 if GUEST else 300  # many ticks, and no more than a busy machine may pause

# Of the plugin's set: the first is dropped, two are held: by the inspector's word, by the kernel.
ALPHA_NUMBER, LONG_NUMBER, BRAVO_NUMBER = range(3)
RULES = {
    ALPHA_NUMBER: RuleRow(Action.DROP, 0, 1),
    LONG_NUMBER: RuleRow(Action.HOLD, 1, 1),
    BRAVO_NUMBER: RuleRow(Action.HOLD, 2, 1),
}
SUSPECT = b"say LONGKEY-abcdefgh, that is all"
MORE = b" and what follows it"

# By what an entry knows of its device: what becomes of a packet that is taken out.
TAKEN_OUT = {
    DeviceFlag(0): abi.TC_DROP,
    DeviceFlag.STEALS: abi.TC_STOLEN,
    DeviceFlag.GUARDED: abi.TC_PASS,  # with the token of what is held
}


def text(size: int) -> bytes:
    """Harmless, no neighbours alike."""
    return bytes(33 + at * 7 % 90 for at in range(size))


def changed(data: bytes, at: int) -> bytes:
    """With another byte there."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a segment; `given` is what the inspector got of it."""

    result: int
    given: tuple[Payload, ...]
    mirrored: tuple[Payload, ...]
    events: tuple[Event, ...]
    rises: Rises

    @property
    def passed(self) -> bool:
        return self.result == abi.TC_PASS

    @property
    def waits(self) -> bool:
        """Taken out, on a device whose filter steals."""
        return self.result == abi.TC_STOLEN


class Holding:
    """The bench's classifier on devices of each kind, and the ring of held payload."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.held: list[Payload] = []
        self.ring = bench.datapath.on_held(self.held.append)
        self.entries = {flags: bench.datapath.entry(NETNS, flags) for flags in TAKEN_OUT}
        self.drain()

    def drain(self) -> None:
        """Read and forget what is told and given."""
        while self.ring.consume():
            pass
        self.held.clear()
        self.bench.drain()

    def post(self, packet: bytes, device: DeviceFlag = DeviceFlag.STEALS) -> int:
        """Run one packet and leave what is told in the rings; the program's result."""
        return int(self.bench.datapath.test_run(self.entries[device], packet).result)

    def send(self, packet: bytes, device: DeviceFlag = DeviceFlag.STEALS) -> Fate:
        """Run one packet and read all that is told of it."""
        before = self.bench.packets()
        result = self.post(packet, device)
        while self.ring.consume():
            pass
        self.bench.read()
        given, events = tuple(self.held), tuple(self.bench.events)
        mirrored = tuple(self.bench.payloads)
        self.drain()
        return Fate(result, given, mirrored, events, rises(before, self.bench.packets()))

    def live(self) -> None:
        """The inspector lives, for as long as the tests take."""
        self.bench.datapath.beat(time.monotonic_ns() + FOREVER_NS)

    def stream(self, **options: int) -> Stream:
        """A flow seen from its SYN."""
        return Stream(self, **options)

    def close(self) -> None:
        self.drain()
        for fd in self.entries.values():
            os.close(fd)


class Stream:
    """A flow; offsets count from the first byte of payload."""

    def __init__(
        self,
        holding: Holding,
        *,
        isn: int = 999,
        family: int = 4,
        device: DeviceFlag = DeviceFlag.STEALS,
    ) -> None:
        self.holding, self.first, self.family, self.device = holding, isn + 1, family, device
        self.port = holding.bench.port()
        self.flow = 0
        self.question = 0
        assert self.post(b"", -1, "S") == abi.TC_PASS

    def packet(self, data: bytes, at: int, flags: str = "PA") -> bytes:
        """A segment whose first byte is the stream's at offset `at`."""
        number = (self.first + at) % (1 << 32)
        return bytes(pk.tcp(data, port=self.port, family=self.family, seq=number, flags=flags))

    def post(self, data: bytes, at: int, flags: str = "PA") -> int:
        """As `send`, with what is told left unread; the program's result."""
        return self.holding.post(self.packet(data, at, flags), self.device)

    def send(self, data: bytes, at: int, flags: str = "PA") -> Fate:
        """Run such a segment."""
        fate = self.holding.send(self.packet(data, at, flags), self.device)
        for record in (*fate.given, *fate.events):
            self.flow = record.flow
        for record in fate.given:
            self.question = record.question
        return fate

    def clear(self, to: int, *, keep: bool = False, question: int | None = None) -> None:
        """The inspector's word: segments that end at or before that offset may leave.

        It answers the last question, unless another is named.
        """
        named = self.question if question is None else question
        self.holding.bench.datapath.clear(self.flow, to, keep=keep, question=named)

    def block(self, signature: int = 0) -> None:
        """The inspector's word: nothing more may leave."""
        self.holding.bench.datapath.block(self.flow, signature)
