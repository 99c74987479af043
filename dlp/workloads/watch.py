"""Tells which named network namespaces appear and go, within a few milliseconds.

Only names and inodes: who is enforced is the gateway's business. Works without root as long as
/run/netns can be read.
"""

from __future__ import annotations

import enum
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from dlp.errors import DlpError
from dlp.workloads.inotify import Change, Inotify
from dlp.workloads.netns import NETNS_DIR, names, open_netns

# `ip netns add` mounts some 100 µs after it creates the file; a loaded host takes longer.
_RETRY_S = 0.001
_RETRY_SLOW_S = 0.05
_SLOW_AFTER_S = 0.1
_GIVE_UP_S = 10.0
# A backstop against what inotify cannot show: a mount over an old file.
_RESYNC_S = 5.0


class NetnsChange(enum.StrEnum):
    """What happened to a name."""

    APPEARED = "appeared"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class NetnsEvent:
    """`inode` of the namespace that appeared or went. A name used anew is gone and appears."""

    change: NetnsChange
    name: str
    inode: int


class NetnsWatcher:
    """Follows a directory of named network namespaces, which need not exist yet.

    Args:
        directory: where the names are; its parent must exist.
        resync_s: how often the directory is read whole, in seconds.
    """

    def __init__(self, directory: Path = NETNS_DIR, *, resync_s: float = _RESYNC_S) -> None:
        self._directory = directory
        self._resync_s = resync_s
        self._known: dict[str, int] = {}
        self._waiting: dict[str, float] = {}  # name seen, not yet a namespace: since when

    async def events(self) -> AsyncIterator[NetnsEvent]:
        """First what is there, then each change in order. Ends only when it is closed.

        Raises KernelError where inotify is not to be had.
        """
        with Inotify() as inotify:
            # The watch comes before the reading, so that nothing falls between the two.
            self._watch(inotify)
            for event in self._read_all():
                yield event
            resync = time.monotonic() + self._resync_s
            while True:
                changes = await inotify.wait(self._pause(resync))
                for event in self._follow(changes, inotify):
                    yield event
                if time.monotonic() >= resync:
                    self._watch(inotify)
                    for event in self._read_all():
                        yield event
                    resync = time.monotonic() + self._resync_s
                for event in self._retry():
                    yield event

    def _watch(self, inotify: Inotify) -> None:
        if not inotify.add(self._directory):
            inotify.add(self._directory.parent)
            # It may have been made between the two calls.
            inotify.add(self._directory)

    def _pause(self, resync: float) -> float:
        now = time.monotonic()
        youngest = min((now - since for since in self._waiting.values()), default=_GIVE_UP_S)
        if youngest < _SLOW_AFTER_S:
            return _RETRY_S
        if youngest < _GIVE_UP_S:
            return _RETRY_SLOW_S
        return max(0.0, resync - now)

    def _follow(self, changes: tuple[Change, ...], inotify: Inotify) -> list[NetnsEvent]:
        events: list[NetnsEvent] = []
        for change in changes:
            if change.directory == self._directory and change.name:
                if change.appeared:
                    events += self._look(change.name)
                else:
                    events += self._forget(change.name)
            elif (
                change.directory is None
                or change.directory == self._directory
                or change.name == self._directory.name
            ):
                # Events lost, or the directory itself came or went.
                self._watch(inotify)
                events += self._read_all()
        return events

    def _read_all(self) -> list[NetnsEvent]:
        present = names(self._directory)
        events = [event for name in set(self._known) - set(present) for event in self._forget(name)]
        for name in set(self._waiting) - set(present):
            del self._waiting[name]
        for name in present:
            events += self._look(name)
        return events

    def _retry(self) -> list[NetnsEvent]:
        # A file that stays no namespace is looked at again with each full reading only.
        oldest = time.monotonic() - _GIVE_UP_S
        events: list[NetnsEvent] = []
        for name in [name for name, since in self._waiting.items() if since > oldest]:
            events += self._look(name)
        return events

    def _look(self, name: str) -> list[NetnsEvent]:
        try:
            with open_netns(name, self._directory) as handle:
                inode = handle.inode
        except DlpError:
            self._waiting.setdefault(name, time.monotonic())
            return []
        self._waiting.pop(name, None)
        known = self._known.get(name)
        if known == inode:
            return []
        self._known[name] = inode
        events = [] if known is None else [NetnsEvent(NetnsChange.GONE, name, known)]
        events.append(NetnsEvent(NetnsChange.APPEARED, name, inode))
        return events

    def _forget(self, name: str) -> list[NetnsEvent]:
        self._waiting.pop(name, None)
        inode = self._known.pop(name, None)
        return [] if inode is None else [NetnsEvent(NetnsChange.GONE, name, inode)]
