"""Samples tried in a process of their own, which ends where an expression takes too long.

`re` cannot be interrupted, and one expression can keep it busy for ages on its own sample. So
what might is tried here: the child has a timer that ends it, and the parent sees how far it
got.

    parent ──JSON: [[regex, validator, [hex, …], near], …]──► child
    parent ◄──a line a signature: which samples match, as 0 and 1──
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dlp.errors import DlpError
from dlp.signatures.finding import finds
from dlp.signatures.proximity import Proximity

SECONDS = 2.0  # of processor time, for all samples of a signature

_STARTED_S = 120  # what a child may need beside that, on a busy machine


@dataclass(frozen=True, slots=True)
class Trial:
    """An expression with the samples to try."""

    regex: str
    validator: str
    samples: tuple[bytes, ...]
    proximity: Proximity | None = None


def tried(trials: Sequence[Trial]) -> list[tuple[bool, ...] | None]:
    """For each trial which samples match; None where that took longer than SECONDS.

    Raises DlpError where no child could be run.
    """
    results: list[tuple[bool, ...] | None] = []
    while len(results) < len(trials):
        done = _run(trials[len(results) :])
        results.extend(done)
        if len(results) < len(trials):
            results.append(None)
    return results


def _run(trials: Sequence[Trial]) -> list[tuple[bool, ...]]:
    """The results up to the trial that took too long."""
    request = json.dumps(
        [
            [one.regex, one.validator, [each.hex() for each in one.samples], _written(one)]
            for one in trials
        ]
    )
    try:
        child = subprocess.run(
            [sys.executable, "-sPB", "-m", "dlp.signatures.trial"],
            input=request,
            capture_output=True,
            text=True,
            timeout=_STARTED_S + SECONDS * len(trials),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DlpError(f"samples cannot be tried: {type(error).__name__}") from error
    if child.returncode not in (0, -signal.SIGVTALRM):
        raise DlpError(
            f"samples cannot be tried: the process that tries them ended with {child.returncode}"
        )
    return [tuple(mark == "1" for mark in line) for line in child.stdout.split()]


def _written(one: Trial) -> list[Any] | None:
    near = one.proximity
    return None if near is None else [[w.hex() for w in near.keywords], near.distance, near.side]


def _read(written: list[Any] | None) -> Proximity | None:
    if written is None:
        return None
    words, distance, side = written
    return Proximity(tuple(map(bytes.fromhex, words)), distance, side)


def main() -> None:
    """The child: results on standard output; killed by its own timer (SIGVTALRM)."""
    for source, validator, listed, written in json.load(sys.stdin):
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        near = _read(written)
        found = (any(finds(source, validator, bytes.fromhex(one), near)) for one in listed)
        print("".join("01"[one] for one in found), flush=True)  # noqa: T201 - the protocol
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)


if __name__ == "__main__":
    main()
