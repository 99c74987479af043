"""Which workloads a release acts for before it does for all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

GLOBS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """Some workloads.

    One is chosen where a glob fits its name, or where its name's hash falls below `percent`
    of all: the same ones each time, and those of a lower number among those of a higher.
    """

    netns: tuple[str, ...] = ()
    percent: int = 0

    def chooses(self, workload: str) -> bool:
        """Whether the workload of that name is one of them."""
        if any(fnmatchcase(workload, glob) for glob in self.netns):
            return True
        digest = hashlib.sha256(workload.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % 100 < self.percent
