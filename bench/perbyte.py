"""Cost per byte and per packet over a classifier that does nothing.

Two ways. BPF_PROG_TEST_RUN: single packets on an idle stack, low spread, at most a page. And TCP
over veth: GSO packets of tens of KB as real senders make them; the kernel sums the run time of
the attached program, and the bytes are those that arrived.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.corpora import Corpus, pieces
from bench.subject import Candidates, Subject
from bench.traffic import Way, transfer
from dlp.datapath import libbpf

PACKET_SIZES = (200, 1448)
_PAGE_PAYLOAD = 3400  # what a test run takes at most, less headers
_PIECES = 12
_REPEAT = 500
_HEADERS = 14 + 20 + 8


@dataclass(frozen=True, slots=True)
class Cost:
    """One measurement: nanoseconds for so many payload bytes in so many packets.

    `planted` values were in the bytes; `candidates` is what the classifier counted.
    """

    nanoseconds: float
    bytes: int
    packets: int
    candidates: Candidates = field(default_factory=Candidates)
    planted: int = 0

    @property
    def per_byte(self) -> float:
        return self.nanoseconds / self.bytes

    @property
    def per_packet(self) -> float:
        return self.nanoseconds / self.packets


def test_runs(
    subjects: Sequence[Subject], corpora: Sequence[Corpus], rounds: int
) -> Iterator[tuple[str, str, Cost]]:
    """Subject, corpus and cost, interleaved."""
    return _interleaved(subjects, corpora, rounds, _test_run)


def packet_runs(
    subjects: Sequence[Subject], corpus: Corpus, rounds: int
) -> Iterator[tuple[str, int, float]]:
    """Subject, IP packet size and nanoseconds a packet, interleaved."""
    for _ in range(rounds):
        for size in PACKET_SIZES:
            samples = pieces(corpus.data, size, _PIECES)
            for subject in subjects:
                times = [_nanoseconds(subject, text, _REPEAT * 4) for text in samples]
                yield subject.name, size, sum(times) / len(times)


def gso_runs(
    subjects: Mapping[str, tuple[Subject, Way]],
    corpora: Mapping[str, Path],
    rounds: int,
    *,
    seconds: float,
    planted: int,
) -> Iterator[tuple[str, str, Cost]]:
    """Subject, corpus and cost on TCP, interleaved; run-time statistics must be on.

    `planted`: values in each copy of a corpus that match a signature.
    """
    for _ in range(rounds):
        for corpus, path in corpora.items():
            for name, (subject, way) in subjects.items():
                seen, before = subject.candidates(), libbpf.program_info(subject.fd)
                done = transfer(way, path, seconds=seconds, connections=1)
                after = libbpf.program_info(subject.fd)
                yield (
                    name,
                    corpus,
                    Cost(
                        after.run_ns - before.run_ns,
                        done.bytes,
                        after.runs - before.runs,
                        subject.candidates() - seen,
                        planted * done.copies,
                    ),
                )


def over_empty(cost: Cost, empty: Cost) -> float:
    """Nanoseconds a byte beyond those of a classifier that does nothing, on like traffic."""
    return cost.per_byte - empty.per_byte


def udp(payload: bytes) -> bytes:
    """An Ethernet frame with the payload in a UDP datagram between two made-up hosts."""
    source, destination = socket.inet_aton("10.9.0.1"), socket.inet_aton("10.9.0.2")
    length = 28 + len(payload)
    ip = struct.pack(">BBHHHBBH", 0x45, 0, length, 1, 0, 64, socket.IPPROTO_UDP, 0)
    header = struct.pack(">HHHH", 40000, 8125, 8 + len(payload), 0)
    return b"\2" * 6 + b"\4" * 6 + b"\x08\x00" + ip + source + destination + header + payload


def _test_run(subject: Subject, corpus: Corpus) -> Cost:
    texts = pieces(corpus.data, _PAGE_PAYLOAD, _PIECES)
    seen = subject.candidates()
    times = [_nanoseconds(subject, text, _REPEAT) for text in texts]
    return Cost(sum(times), _PAGE_PAYLOAD * len(texts), len(texts), subject.candidates() - seen)


def _nanoseconds(subject: Subject, payload: bytes, repeat: int) -> int:
    return libbpf.test_run(subject.fd, udp(payload), repeat=repeat).duration_ns


def _interleaved(
    subjects: Sequence[Subject],
    corpora: Sequence[Corpus],
    rounds: int,
    measure: Callable[[Subject, Corpus], Cost],
) -> Iterator[tuple[str, str, Cost]]:
    for _ in range(rounds):
        for corpus in corpora:
            for subject in subjects:
                yield subject.name, corpus.name, measure(subject, corpus)
