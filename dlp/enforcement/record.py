"""What was attached where, on disk: so that `dlp detach` puts back all and no more.

One small JSON file in the run directory, written whole or not at all.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from dlp.datapath.attach import Attached

RECORD = Path("/run/dlp/attached.json")


@dataclass(frozen=True, slots=True)
class Entry:
    """The classifiers of one namespace."""

    name: str
    inode: int
    attached: tuple[Attached, ...]


def read(path: Path) -> tuple[Entry, ...]:
    """What was written last; nothing where there is no readable file."""
    try:
        raw = json.loads(path.read_text())
        return tuple(
            Entry(item["name"], item["inode"], tuple(Attached(**one) for one in item["attached"]))
            for item in raw
        )
    except (OSError, ValueError, TypeError, KeyError):
        return ()


def is_whole(path: Path) -> bool:
    """Whether there is a record that can be read."""
    try:
        return isinstance(json.loads(path.read_text()), list)
    except (OSError, ValueError):
        return False


def write(path: Path, entries: tuple[Entry, ...]) -> None:
    """Replace the record."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps([asdict(entry) for entry in entries]))
    partial.replace(path)
