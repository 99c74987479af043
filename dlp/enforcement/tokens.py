"""The workloads' rows of tokens and flags, by which guards know what passed a classifier.

Rows are read, changed and written back, so that one lock is held for it: guards are placed in
one thread, and workloads are cut off in another.
"""

from __future__ import annotations

import threading
import time

from dlp.datapath.abi import GuardFlag
from dlp.datapath.datapath import Datapath

# Nothing takes as long to cross a veth; a guard knows the token before the current one only.
_LEAST_S = 0.2
_NONE = GuardFlag(0)


class Tokens:
    """Changes rows of the table `guards`, each by its workload's slot."""

    def __init__(self, datapath: Datapath) -> None:
        self._datapath = datapath
        self._lock = threading.Lock()
        self._renewed: dict[int, float] = {}

    def renew(self, slot: int) -> bool:
        """Stamp new tokens from here on; False where the last ones are too young for that."""
        with self._lock:
            last = self._renewed.get(slot)
            if last is not None and time.monotonic() - last < _LEAST_S:
                return False
            self._datapath.renew_tokens(slot)
            self._renewed[slot] = time.monotonic()
            return True

    def clear(self, slot: int) -> None:
        """The slot is another workload's from here on."""
        with self._lock:
            self._datapath.clear_guard(slot)
            self._renewed.pop(slot, None)

    def set(self, slot: int, flag: GuardFlag, *, on: bool) -> None:
        """Set or clear a flag."""
        with self._lock:
            if bool(self._datapath.guard_row(slot).flags & flag) != on:
                self._datapath.set_guard_flags(slot, flag if on else _NONE, _NONE if on else flag)

    def has(self, slot: int, flag: GuardFlag) -> bool:
        """Whether a flag is set."""
        return bool(self._datapath.guard_row(slot).flags & flag)
