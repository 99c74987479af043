"""Throughput over veth of everything that could do the job, in interleaved rounds.

Each contender has namespaces of its own that stand side by side; a round sends the same corpus
through one after the other. Whatever filters must find what was planted while the clock runs.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import namespaces
from bench.namespaces import BenchError
from bench.subject import Subject
from bench.traffic import PORT, Way, transfer

CONNECTIONS = 2  # so that both cores have work, the relay's threads among them
_RELAY_SOURCE = Path(__file__).with_name("relay.c")
_HIT_SHARE = 0.98  # iptables does not see a value that is cut between two packets


@dataclass(frozen=True, slots=True)
class Contender:
    """One way of filtering, wired up.

    Attributes:
        found: planted values found since it was last asked; None where nothing filters.
        planted: values in one copy of the corpus that it must find.
        share: of them that must be found at least.
    """

    name: str
    way: Way
    found: Callable[[], int] | None = None
    planted: int = 0
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One transfer: gigabits per second, planted values found and due."""

    gigabits: float
    found: int
    due: int

    @property
    def believable(self) -> bool:
        """False where a filter was fast because it found nothing."""
        return self.found >= self.due


def rounds(
    contenders: Sequence[Contender], corpus: Path, *, count: int, seconds: float
) -> Iterator[tuple[str, Sample]]:
    """Name and sample of every transfer, contender by contender, round after round.

    Each round begins with another contender, lest one always runs on a machine just warmed up.
    """
    for number in range(count):
        first = number % len(contenders)
        for contender in (*contenders[first:], *contenders[:first]):
            yield contender.name, measured(contender, corpus, seconds)


def measured(contender: Contender, corpus: Path, seconds: float) -> Sample:
    """One timed transfer."""
    done = transfer(contender.way, corpus, seconds=seconds, connections=CONNECTIONS)
    due = int(done.copies * contender.planted * contender.share)
    return Sample(done.gigabits, contender.found() if contender.found else 0, due)


@contextmanager
def unfiltered(number: int) -> Iterator[Contender]:
    """A veth pair and nothing on it."""
    with namespaces.pair("plain", number) as link:
        yield Contender("unfiltered", Way(link.sender, link.receiver, link.receiver_address))


@contextmanager
def filtered(number: int, subject: Subject, planted: int) -> Iterator[Contender]:
    """The gateway's classifier; `planted` values in a copy of the corpus match a signature."""
    with namespaces.pair(f"dlp{number}", number) as link:
        subject.attach(link)
        way = Way(link.sender, link.receiver, link.receiver_address)
        yield Contender(
            f"filtered, {subject.name} signatures",
            way,
            _since(lambda: subject.candidates().matches),
            planted,
        )


@contextmanager
def iptables(
    number: int, name: str, strings: Sequence[str], planted: Sequence[str]
) -> Iterator[Contender]:
    """`-m string`, Boyer-Moore, one counting rule for each string.

    Rules have no target: with one, the first match would spare a packet the rules behind it.
    `planted`: those of the strings that occur in the corpus.
    """
    with namespaces.pair(f"ipt{number}", number) as link:
        rule = '-A OUTPUT -m string --algo bm --string "{}"\n'
        rules = "".join(rule.format(re.sub(r'(["\\])', r"\\\1", text)) for text in strings)
        namespaces.run("iptables-restore", namespace=link.sender, data=f"*filter\n{rules}COMMIT\n")
        way = Way(link.sender, link.receiver, link.receiver_address)
        found = _since(lambda: _rule_hits(link.sender, planted))
        yield Contender(name, way, found, len(planted), _HIT_SHARE)


def _since(total: Callable[[], int]) -> Callable[[], int]:
    """Turns a count that only grows into its growth since the last call."""
    last = total()

    def growth() -> int:
        nonlocal last
        now = total()
        grown, last = now - last, now
        return grown

    return growth


def _rule_hits(namespace: str, planted: Sequence[str]) -> int:
    listing = namespaces.run("iptables", "-L", "OUTPUT", "-v", "-x", "-n", namespace=namespace)
    wanted = {f'"{text}"' for text in planted}
    return sum(
        int(line.split()[0])
        for line in listing.splitlines()
        if any(text in line for text in wanted)
    )


@contextmanager
def relay(
    number: int, name: str, regexes: Sequence[str], planted: Sequence[int], cache: Path
) -> Iterator[Contender]:
    """A userspace relay with Hyperscan in a namespace between sender and receiver.

    `planted`: numbers of the regexes whose values occur in the corpus, once each.
    """
    patterns = cache / "relay-patterns"
    patterns.write_text("".join(f"{regex}\n" for regex in regexes))
    with ExitStack() as stack:
        sender, middle, receiver = (
            stack.enter_context(namespaces.namespace(f"relay-{end}")) for end in ("tx", "mid", "rx")
        )
        ahead = namespaces.wire(sender, middle, number)
        behind = namespaces.wire(middle, receiver, number + 1, device="eth1")
        process = stack.enter_context(
            _relay_process(built_relay(cache), patterns, middle, behind.receiver_address)
        )
        way = Way(sender, receiver, ahead.receiver_address)
        yield Contender(name, way, lambda: _relay_hits(process, planted), len(planted))


def built_relay(cache: Path) -> Path:
    """Path of the compiled relay; compiled once for each version of its source."""
    version = hashlib.sha256(_RELAY_SOURCE.read_bytes()).hexdigest()[:16]
    program = cache / f"relay-{version}"
    if not program.exists():
        fresh = program.with_suffix(f".{os.getpid()}")
        namespaces.run(
            "gcc", "-O3", "-march=native", "-o", str(fresh), str(_RELAY_SOURCE),
            "-I/usr/include/hs", "-lhs", "-lpthread",
        )  # fmt: skip
        fresh.rename(program)
    return program


@contextmanager
def _relay_process(
    program: Path, patterns: Path, namespace: str, address: str
) -> Iterator[subprocess.Popen[str]]:
    command = [*namespaces.entering(namespace), str(program)]
    arguments = [str(patterns), str(PORT), address, str(PORT)]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            match = re.fullmatch(r"ready (\d+) (\d+) (\d+)\n", line)
            if not match:
                raise BenchError("the relay did not start: is libhyperscan-dev installed?")
            if match[3] != "0":
                raise BenchError(f"Hyperscan refuses {match[3]} of the relay's patterns")
            yield process
        finally:
            process.kill()


def _relay_hits(process: subprocess.Popen[str], planted: Sequence[int]) -> int:
    """Sums what the relay prints when a connection closes, for those of one transfer."""
    found = 0
    for _ in range(CONNECTIONS):
        line = process.stdout.readline() if process.stdout else ""
        if not line.startswith("closed "):
            raise BenchError("the relay ended early")
        for match in line.split()[2:]:
            number, count = match.split("=")
            found += int(count) if int(number) in planted else 0
    return found
