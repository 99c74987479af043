"""Run the kernel tests under other kernels, or one command: `python -m tests.kernels --help`."""

from __future__ import annotations

import argparse
import asyncio
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.kernels import images, machine

ROOT = Path(__file__).resolve().parent.parent.parent


class CollectError(Exception):
    """pytest could not say which tests to run; the message holds its words."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one kernel did. `said` is the closing line of pytest, or what went wrong."""

    name: str
    passed: bool
    said: str
    seconds: float


def main() -> int:
    """Return 0 if every kernel passed, else 1."""
    # As Ctrl-C: a terminated run must not leave its guests behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = _parser().parse_args()
    try:
        chosen = [images.get(series, options.cache) for series in options.kernel or images.PACKAGES]
        command = shlex.join(options.command or _pytest(options.select))
    except (images.ImageError, CollectError) as error:
        print(f"test-kernels: {error}", file=sys.stderr)
        return 1
    try:
        outcomes = asyncio.run(_all(chosen, command, options))
    except KeyboardInterrupt:
        return 130
    print()
    for outcome in outcomes:
        verdict = "passed" if outcome.passed else "FAILED"
        print(f"kernel {outcome.name}: {verdict} in {outcome.seconds:.0f} s: {outcome.said}")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.kernels", description=__doc__)
    parser.add_argument(
        "--kernel",
        action="append",
        choices=list(images.PACKAGES),
        help="a series to boot; may be given again (default: each)",
    )
    parser.add_argument(
        "--select",
        default="(kernel or guest) and not long",
        metavar="EXPRESSION",
        help="pytest's -m: which tests run (default: %(default)s)",
    )
    parser.add_argument(
        "--accel",
        choices=["kvm", "tcg"],
        default=machine.accelerator(),
        help="hardware or emulation (default here: %(default)s)",
    )
    parser.add_argument("--memory", type=int, default=3072, metavar="MB", help="of each guest")
    parser.add_argument(
        "--timeout", type=float, default=2700, metavar="SECONDS", help="for each guest"
    )
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache/kernels", help="of images")
    parser.add_argument(
        "command", nargs="*", help="run this in the checkout instead of the tests (after --)"
    )
    return parser


def _pytest(select: str) -> list[str]:
    """Return the command that runs what `select` chooses. Raises CollectError.

    The files are found here and not in the guest, where importing every test of the project under
    emulation takes longer than running the chosen ones.
    """
    pytest = [sys.executable, "-m", "pytest", "-m", select, "-p", "no:cacheprovider"]
    found = subprocess.run(
        [*pytest, "--collect-only", "-q"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    if found.returncode:
        raise CollectError(f"no tests could be collected:\n{found.stdout}{found.stderr}")
    files = dict.fromkeys(line.split("::")[0] for line in found.stdout.splitlines() if "::" in line)
    return [*pytest, *files]


async def _all(
    chosen: list[images.Image], command: str, options: argparse.Namespace
) -> list[Outcome]:
    # Side by side: a guest is bound by its emulated CPU, and there is more than one real one.
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_one(image, command, options)) for image in chosen]
    return [task.result() for task in tasks]


async def _one(image: images.Image, command: str, options: argparse.Namespace) -> Outcome:
    # In the environment: emulation is some 20 times slower, so a test may choose fewer cases.
    script = f"cd {shlex.quote(str(ROOT))} && DLP_GUEST={options.accel} exec {command}\n"
    lines: list[str] = []

    def emit(line: str) -> None:
        lines.append(line)
        print(f"[{image.series}] {line}", flush=True)

    start = time.monotonic()
    try:
        async with asyncio.timeout(options.timeout):
            status = await machine.run(
                image, script, accel=options.accel, memory_mb=options.memory, emit=emit
            )
    except TimeoutError:
        passed, said = False, f"no end after {options.timeout:.0f} s"
    except machine.BootError as error:
        print(error, file=sys.stderr)
        passed, said = False, "the guest did not come to an end, its console is above"
    else:
        passed, said = _judge(status, lines)
    return Outcome(image.release, passed, said, time.monotonic() - start)


def _judge(status: int, lines: list[str]) -> tuple[bool, str]:
    """Return whether a run passed, and its closing line. A skipped test fails it."""
    closing = next((line.strip("= ") for line in reversed(lines) if line.strip()), "no output")
    if status:
        return False, f"status {status}, {closing}"
    return re.search(r"\b\d+ skipped\b", closing) is None, closing


if __name__ == "__main__":
    sys.exit(main())
