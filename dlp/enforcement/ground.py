"""What all workloads share, made once and kept in order: pins, tokens, places, the sentry."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from dlp.datapath import links
from dlp.datapath.abi import GuardFlag
from dlp.datapath.datapath import Datapath
from dlp.datapath.links import Pins
from dlp.enforcement.guards import Kit
from dlp.enforcement.namespace import ControlledNamespace
from dlp.enforcement.places import Place, Places
from dlp.enforcement.sentry import Sentry
from dlp.enforcement.tokens import Tokens
from dlp.enforcement.watching import Watching


class Ground:
    """Made at the start.

    Args:
        pinned: where links are pinned.
        watching: told of places.
        listed: see Kit.
    """

    def __init__(
        self, datapath: Datapath, pinned: Path, watching: Watching, listed: Callable[[int], str]
    ) -> None:
        self._watching = watching
        pins, tokens = Pins(pinned), Tokens(datapath)
        self._sentry = _sentry(datapath, pins.__contains__)
        places = Places(on_open=self._place_opened, on_close=self._place_closed)
        self.kit = Kit(datapath, tokens, pins, places, listed, self._sentry)

    def watch(self, namespace: ControlledNamespace) -> None:
        """Close its new devices at once, where its terms ask for that."""
        if self._sentry is None:
            return
        if namespace.terms.closed and not namespace.terms.monitor:
            self._sentry.watch(namespace.inode, namespace.place.fd)
        else:
            self._sentry.ignore(namespace.inode)

    def ignore(self, namespace: ControlledNamespace) -> None:
        """It is under control no more."""
        if self._sentry is not None:
            self._sentry.ignore(namespace.inode)

    def tidy(self, namespaces: Iterable[ControlledNamespace], *, sweep: bool) -> None:
        """Close places that nothing of ours is in; unpin links of devices that are gone.

        Blocking, in the thread of namespaces. A place that can be had by no path is let go of, so
        that it can end.
        """
        if sweep:
            self.kit.pins.sweep()
        namespaces = tuple(namespaces)
        used: set[int] = set().union(*(one.places() for one in namespaces))
        for place in self.kit.places.keep(used):
            for namespace in namespaces:
                namespace.lose(place)

    def close(self) -> None:
        """Let go; what is attached stays. Blocking, in the thread of namespaces."""
        self.kit.places.close()
        if self._sentry is not None:
            self._sentry.close()

    def _place_opened(self, place: Place) -> None:
        self._watching.place_opened(place)
        if self._sentry is not None:
            self._sentry.place_opened(place.inode, place.fd)

    def _place_closed(self, place: Place) -> None:
        self._watching.place_closed(place)
        if self._sentry is not None:
            self._sentry.place_closed(place.inode)


def _sentry(datapath: Datapath, ours: Callable[[int], bool]) -> Sentry | None:
    """A guard of slot 0, which is no workload's, lets nothing in."""
    if not links.supported():
        return None
    datapath.set_guard_flags(0, GuardFlag.CLOSED)
    sentry = Sentry(datapath.guard(0), ours)
    home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    sentry.place_opened(os.fstat(home).st_ino, home)
    os.close(home)
    return sentry
