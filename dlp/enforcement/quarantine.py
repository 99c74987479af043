"""Workloads whose egress is cut until somebody lets go of them.

By name, in a file of the state directory: a workload that comes back, under another build
of the kernel programs or after a reboot, comes back cut. The kernel's own flag is what
cuts; this says where it must be set.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dlp.errors import StoreError

FILE = "quarantine.json"
_OWNER_ONLY = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Why and since when a workload is cut; `time` in seconds since the epoch."""

    workload: str
    reason: str
    by: str
    time: float


class Quarantine:
    """The workloads that are cut. Methods that write block for some milliseconds.

    Raises:
        StoreError: the file is damaged; nobody may guess which workloads are cut.
    """

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / FILE
        self._cuts = {cut.workload: cut for cut in self._read()}

    def __contains__(self, workload: object) -> bool:
        return workload in self._cuts

    def __iter__(self) -> Iterator[Cut]:
        return iter(tuple(self._cuts.values()))

    def get(self, workload: str) -> Cut | None:
        return self._cuts.get(workload)

    def cut(self, cut: Cut) -> None:
        """Remember it; what is known of a workload that is cut already stays.

        Raises:
            StoreError: it could not be written; it holds in this process all the same.
        """
        if cut.workload not in self._cuts:
            self._cuts[cut.workload] = cut
            self._write()

    def release(self, workload: str) -> bool:
        """Forget it; whether it was cut.

        Raises:
            StoreError: it could not be written; the workload is still cut.
        """
        cut = self._cuts.pop(workload, None)
        if cut is None:
            return False
        try:
            self._write()
        except StoreError:
            self._cuts[workload] = cut
            raise
        return True

    def _read(self) -> list[Cut]:
        try:
            return [_cut(item) for item in json.loads(self._path.read_bytes())]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"{self._path}: cannot be read: {error.strerror}") from error
        except (ValueError, TypeError, KeyError) as error:
            raise StoreError(
                f"{self._path}: is damaged, so it is not known which workloads are cut",
                remedy="mend it, or remove it to release all of them",
            ) from error

    def _write(self) -> None:
        """Whole or not at all, and on the disk when it returns."""
        partial = self._path.with_suffix(".partial")
        data = json.dumps([asdict(cut) for cut in self._cuts.values()], indent=1).encode()
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _OWNER_ONLY)
            with open(fd, "wb") as file:  # noqa: PTH123 - a descriptor with its mode
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path)
            _sync(self._path.parent)
        except OSError as error:
            raise StoreError(
                f"{self._path}: cannot be written: {error.strerror}",
                remedy="check that state_dir is writable and its disk not full",
            ) from error


def _cut(item: Any) -> Cut:
    words = {name: item[name] for name in ("workload", "reason", "by")}
    if not all(isinstance(word, str) for word in words.values()):
        raise TypeError("no text")
    return Cut(**words, time=float(item["time"]))


def _sync(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
