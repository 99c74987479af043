"""What is attached, as an earlier process wrote it down and as this one does."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from dlp.datapath.links import Hook, Pins
from dlp.enforcement import record
from dlp.enforcement.detach import let_go
from dlp.enforcement.namespace import ControlledNamespace
from dlp.enforcement.places import Places
from dlp.errors import DlpError
from dlp.workloads.netns import NetnsHandle, names, open_netns


class Ledger:
    """Reads the record at the start, and keeps it.

    Args:
        controlled: the namespaces at present, by name.
    """

    def __init__(
        self, path: Path, controlled: Callable[[], Mapping[str, ControlledNamespace]], log: Any
    ) -> None:
        self._controlled = controlled
        self._log = log
        self._recorded = time.monotonic() - record.age(path)
        self._before = {entry.inode: entry for entry in record.read(path)}
        # Attached by an earlier process and not yet taken over: the record must not forget them.
        self._left = dict(self._before)
        keeper = record.Keeper(path, self._entries)
        self.changed, self.close = keeper.changed, keeper.close

    def name_of(self, inode: int) -> str:
        """Name of a namespace that an earlier process had under control; else empty."""
        earlier = self._before.get(inode)
        return earlier.name if earlier else ""

    def earlier(self) -> dict[int, str]:
        """Names of all those, by inode."""
        return {inode: entry.name for inode, entry in self._before.items()}

    def hand_over(self, namespace: ControlledNamespace) -> None:
        """Tell a namespace what an earlier process had attached."""
        earlier = self._before.get(namespace.inode)
        if earlier is not None:
            namespace.adopt(earlier.attached, self._recorded, earlier.unprotected_ms, earlier.tcp)

    def taken_over(self, inode: int) -> None:
        """The namespace tells from here on what is attached."""
        self._left.pop(inode, None)

    def not_let_go(self, name: str, namespace: ControlledNamespace) -> None:
        """It is under control no more, and what is attached is still there."""
        self._left[namespace.inode] = _entry(name, namespace)

    def take_stock(self, listed: Collection[str], pins: Pins, places: Places) -> dict[str, int]:
        """Take off what an earlier process had attached and this one does not list. Blocking.

        Returns the inodes of the listed namespaces that are there, by name.
        """
        with contextlib.ExitStack() as stack:
            there: dict[str, NetnsHandle] = {}
            for name in names():
                with contextlib.suppress(DlpError):
                    there[name] = stack.enter_context(open_netns(name))
            present = {name: there[name].inode for name in there.keys() & set(listed)}
            handles = {handle.inode: handle.fd for handle in there.values()}
            for inode in list(self._left.keys() - present.values()):
                self._let_go(inode, handles.get(inode), pins, places)
        self._drop_unrecorded(pins)
        return present

    def _let_go(self, inode: int, fd: int | None, pins: Pins, places: Places) -> None:
        entry = self._left[inode]
        try:
            if fd is not None:
                let_go(entry, fd, pins, places)
                self._log.info("namespace let go: it is not listed", netns=entry.name)
        except DlpError as error:
            self._log.error("namespace not let go", netns=entry.name, reason=str(error))
            return
        del self._left[inode]

    def _drop_unrecorded(self, pins: Pins) -> None:
        """Take off guards that an earlier process placed in its last moments. Blocking.

        Nobody knows whose they are, and one without its classifier lets nothing through. Where
        the namespace is listed, its guard is placed anew.
        """
        attached = (one for entry in self._before.values() for one in entry.attached)
        recorded = {one.guard.link for one in attached if one.guard is not None}
        for number in [number for number in pins if number not in recorded]:
            if pins.hook(number) is Hook.INGRESS:
                pins.detach(number)

    def _entries(self) -> Iterable[record.Entry]:
        yield from self._left.values()
        for name, namespace in self._controlled().items():
            if namespace.inode not in self._left:
                yield _entry(name, namespace)


def _entry(name: str, namespace: ControlledNamespace) -> record.Entry:
    return record.Entry(
        name, namespace.inode, namespace.attached, namespace.unprotected_ms, namespace.tcp
    )
