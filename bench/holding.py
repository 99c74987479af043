"""What a hold costs a clean message, a stream, and the honest connections beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import namespaces
from bench.corpora import planted
from bench.exchange import exchange
from bench.protected import Protected, Word
from bench.traffic import Way, transfer
from dlp.workloads import rto
from dlp.workloads.netns import open_netns

# Floors of the retransmission timeout in microseconds: the kernel's own, the gateway's, smaller.
KERNEL, GATEWAY = 200_000, rto.FLOOR.wanted
FLOORS = (KERNEL, GATEWAY, 40_000, 20_000, 10_000)
DECISION_S = 0.005
STREAM = 100_000_000
FREE, HELD, WITH_FRTO = "filtered", "held once in 100 MB", "the same with F-RTO left on"
_MESSAGE = 400
_PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class Delay:
    """Milliseconds that a hold adds, and what happened to the honest messages meanwhile.

    Attributes:
        added_ms: of each message, over the median of messages that nothing holds.
        honest: messages beside; `needless`: segments of theirs that were sent again.
    """

    floor_us: int
    added_ms: list[float]
    honest: int
    needless: int
    records: int


def delays(
    protected: Protected, word: Word, front: bytes, floors: tuple[int, ...], count: int
) -> Iterator[Delay]:
    """Each floor: `count` messages with the front of a held match, cleared after DECISION_S.

    The receiver has its word of each within a round; each third message is held.
    """
    link = protected.link
    lowered(link.sender)
    word.after_s = DECISION_S
    text = b"a clean message with a suspicious " + front + b" in it. "
    message = (text + b"x" * _MESSAGE)[:_MESSAGE]
    plain = message.replace(front, b"-" * len(front))
    for floor in floors:
        floor_of(link.sender, floor)
        runs = [
            exchange(
                *(link.sender, link.receiver, link.receiver_address),
                message=each,
                count=count,
                pause_s=_PAUSE_S,
            )
            for each in (plain, message)
        ]
        base = sorted(runs[0].seconds)[len(runs[0].seconds) // 2]
        yield Delay(
            floor,
            [(taken - base) * 1000 for taken in runs[1].seconds],
            sum(run.honest for run in runs),
            sum(run.retransmitted for run in runs),
            word.records,
        )
    floor_of(link.sender, KERNEL)


def streams(
    protected: Protected, word: Word, text: bytes, value: bytes, scratch: Path, seconds: float
) -> Iterator[tuple[str, float]]:
    """FREE, HELD or WITH_FRTO, and Gb/s, of transfers of the same text.

    Held once in STREAM bytes; the last as it was before the gateway turned net.ipv4.tcp_frto off,
    to show what that does.
    """
    link = protected.link
    word.after_s = 0.0
    lowered(link.sender)
    way = Way(link.sender, link.receiver, link.receiver_address)
    free = text * (STREAM // len(text))
    held = planted(free, [value])
    for name, data in ((FREE, free), (HELD, held), (WITH_FRTO, held)):
        if name == WITH_FRTO:
            namespaces.run("sysctl", "-qw", "net.ipv4.tcp_frto=2", namespace=link.sender)
        file = scratch / "stream"
        file.write_bytes(data)
        yield name, transfer(way, file, seconds=seconds, connections=1).gigabits
        file.unlink()


def lowered(namespace: str) -> None:
    """Lower TCP's settings of a namespace of the bench as the gateway does, by its own code."""
    with open_netns(namespace) as handle:
        rto.lower(handle.fd)


def floor_of(namespace: str, microseconds: int) -> None:
    """Set the least retransmission timeout of a namespace (net.ipv4.tcp_rto_min_us, 6.11 on)."""
    namespaces.run("sysctl", "-qw", f"net.ipv4.tcp_rto_min_us={microseconds}", namespace=namespace)
