"""The classifier of a released version, attached to a device: run with that version's sources.

    python -P released.py PACKS SCRATCH SENDER DEVICE

A child of the bench whose PYTHONPATH is a checkout of the other version: `bench` and `dlp` are
its own. Prints `ready` once the filter stands, and ends with its standard input.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import gateway
from bench.namespaces import BenchError, Link, run
from dlp.signatures.pack import load_packs

RELEASE = "f5d5913"
_ROOT = Path(__file__).resolve().parent.parent


@contextmanager
def checkout(commit: str, directory: Path) -> Iterator[Path]:
    """A work tree of another commit of this repository; removed at the end."""
    tree = directory / "released"
    git = ("git", "-C", str(_ROOT), "worktree")
    run(*git, "add", "--detach", "--force", str(tree), commit)
    try:
        yield tree
    finally:
        run(*git, "remove", "--force", str(tree))


def packs_of(tree: Path, packs: Sequence[str]) -> list[str]:
    """The files of built-in packs in a checkout; where it has no regions, their family's."""
    files = dict.fromkeys(
        next(
            file
            for name in (pack, pack.partition("-")[0])
            if (file := tree / "signatures" / f"{name}.yaml").exists()
        )
        for pack in packs
    )
    return [str(file) for file in files]


@contextmanager
def attached(tree: Path, packs: Sequence[str], scratch: Path, link: Link) -> Iterator[None]:
    """The classifier of the checkout stands on the sender's device meanwhile."""
    scratch.mkdir()
    command = [sys.executable, "-P", __file__, ",".join(packs), str(scratch), link.sender]
    with subprocess.Popen(
        [*command, link.device],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
    ) as process:
        try:
            if not process.stdout or process.stdout.readline() != "ready\n":
                raise BenchError("the released version did not start; its words stand above")
            yield
            process.communicate(timeout=60)
        finally:
            process.kill()


def _main(packs: Sequence[str], scratch: Path, sender: str, device: str) -> None:
    link = Link(sender=sender, receiver="", sender_address="", receiver_address="", device=device)
    with gateway.subjects({"released": load_packs(packs, scratch)}, scratch) as subjects:
        subjects["released"].attach(link)
        print("ready", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    _main(sys.argv[1].split(","), Path(sys.argv[2]), sys.argv[3], sys.argv[4])
