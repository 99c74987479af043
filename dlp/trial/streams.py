"""What was said in a capture: one direction of each connection in order, datagrams by sender.

TCP is put together by sequence number; of bytes that were sent twice the first count, as the
receiver has them. Where bytes are missing a further stream begins: a value over the gap cannot be
found, and how many bytes are missing is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from dlp.trial.capture import Frame
from dlp.trial.engine import Stream
from dlp.trial.packets import Packet, decode

_HALF: Final = 1 << 31
_SEQUENCES: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Conversation:
    """A stream with who sent it to whom.

    Attributes:
        base: offset of its first byte in the connection; 0 for datagrams.
        packets: numbers in the capture of its segments or datagrams.
    """

    name: str
    stream: Stream
    base: int
    packets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Conversations:
    """All of a capture; `skipped`: packets by reason, `missing`: bytes of streams not captured."""

    found: tuple[Conversation, ...]
    packets: int
    skipped: dict[str, int]
    missing: int


@dataclass(slots=True)
class _Connection:
    name: str
    first: int
    segments: list[tuple[int, int, bytes]] = field(default_factory=list)  # offset, packet, payload


def conversations(frames: Iterable[Frame]) -> Conversations:
    """Put a capture together."""
    current: dict[str, _Connection] = {}
    connections: list[_Connection] = []
    datagrams: dict[str, list[tuple[int, bytes]]] = {}
    skipped: Counter[str] = Counter()
    packets = missing = 0
    for frame in frames:
        packets += 1
        packet = decode(frame)
        if isinstance(packet, str):
            skipped[packet] += 1
            continue
        if packet.sequence is None:
            missing += packet.cut
            if packet.payload:
                datagrams.setdefault(packet.conversation, []).append(
                    (packet.number, packet.payload)
                )
            continue
        _place(packet, packet.sequence, current, connections)
    found: list[Conversation] = []
    for connection in connections:
        parts, gaps = _joined(connection)
        found += parts
        missing += gaps
    for name, sent in datagrams.items():
        stream = Stream(tuple(payload for _, payload in sent), datagrams=True)
        found.append(Conversation(name, stream, 0, tuple(number for number, _ in sent)))
    return Conversations(tuple(found), packets, dict(skipped), missing)


def _place(
    packet: Packet, sequence: int, current: dict[str, _Connection], connections: list[_Connection]
) -> None:
    connection = current.get(packet.conversation)
    if connection is None or (packet.syn and connection.first != sequence):
        connection = _Connection(packet.conversation, sequence)
        current[packet.conversation] = connection
        connections.append(connection)
    if packet.payload:
        # Further back than half of the numbers is ahead: seen first, sent later.
        offset = (sequence - connection.first + _HALF) % _SEQUENCES - _HALF
        connection.segments.append((offset, packet.number, packet.payload))


def _joined(connection: _Connection) -> tuple[list[Conversation], int]:
    """The connection's contiguous parts, and the bytes missing between them."""
    parts: list[Conversation] = []
    missing, start, end = 0, 0, 0
    pieces: list[bytes] = []
    numbers: list[int] = []

    def finish() -> None:
        if pieces:
            stream = Stream(tuple(pieces))
            parts.append(Conversation(connection.name, stream, start, tuple(numbers)))
        pieces.clear()
        numbers.clear()

    ordered = sorted(connection.segments, key=lambda segment: segment[:2])
    shift = min(0, ordered[0][0]) if ordered else 0
    for offset, number, payload in ordered:
        at = offset - shift
        if at > end or not pieces:
            finish()
            missing += at - end
            start = end = at
        fresh = payload[max(end - at, 0) :]
        if fresh:
            pieces.append(fresh)
            numbers.append(number)
            end += len(fresh)
    finish()
    return parts, missing
