"""Which policy sockets have: by namespace, and by cgroup where some policy names cgroups."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping

from dlp.datapath.datapath import Datapath
from dlp.errors import ConfigError, DlpError
from dlp.policy import STRICTEST, PolicySet
from dlp.workloads.cgroup import Cgroup, CgroupWatcher, find_cgroup2, scan


class Bindings:
    """Writes the rows of (namespace, cgroup) as namespaces and cgroups come and go."""

    def __init__(self, datapath: Datapath) -> None:
        self._datapath = datapath
        self._cgroups: dict[str, Cgroup] = {}

    def scan(self) -> None:
        """Read the cgroups that are there. Blocking."""
        with contextlib.suppress(DlpError):
            self._cgroups = {one.path: one for one in scan(find_cgroup2()).cgroups}

    async def follow(self, current: Callable[[], tuple[PolicySet, Mapping[str, int]]]) -> None:
        """Bind and unbind cgroups as they come and go, until cancelled.

        Args:
            current: the policies in force, and the keys of namespaces by name.

        Raises:
            DlpError: there is no cgroup v2, or it cannot be watched.
        """
        async for event in CgroupWatcher(find_cgroup2()).events():
            policies, keys = current()
            self.cgroup_changed(event.cgroup, policies, keys, appeared=event.appeared)

    def cgroup_path(self, number: int) -> str:
        """Path of a cgroup by its id; empty where it is not known."""
        for path, cgroup in self._cgroups.items():
            if cgroup.id == number:
                return path
        return ""

    def all(self, policies: PolicySet, keys: Mapping[str, int]) -> dict[tuple[int, int], int]:
        """Policy numbers by (namespace key, cgroup id), all that are needed."""
        found: dict[tuple[int, int], int] = {}
        for name, key in keys.items():
            own = _resolve(policies, name, None)
            found[key, 0] = own
            for cgroup, number in self._of_cgroups(policies, name, own):
                found[key, cgroup] = number
        return found

    def bind(self, policies: PolicySet, name: str, key: int) -> None:
        """A namespace is there."""
        own = _resolve(policies, name, None)
        for cgroup, number in self._of_cgroups(policies, name, own):
            self._datapath.bind(key, cgroup, number)
        self._datapath.bind(key, 0, own)

    def unbind(self, key: int) -> None:
        """A namespace is gone."""
        table = self._datapath.tables["workloads"]
        for who in [who for who in list(table.keys()) if who.netns == key]:
            table.delete(who)

    def cgroup_changed(
        self, cgroup: Cgroup, policies: PolicySet, keys: Mapping[str, int], *, appeared: bool
    ) -> None:
        """A cgroup is there, or gone."""
        if appeared:
            self._cgroups[cgroup.path] = cgroup
        elif self._cgroups.get(cgroup.path) == cgroup:
            del self._cgroups[cgroup.path]
        for name, key in keys.items():
            if not appeared:
                self._datapath.unbind(key, cgroup.id)
                continue
            number = _resolve(policies, name, cgroup.path)
            if number != _resolve(policies, name, None):
                self._datapath.bind(key, cgroup.id, number)

    def _of_cgroups(self, policies: PolicySet, name: str, own: int) -> Iterable[tuple[int, int]]:
        for path, cgroup in self._cgroups.items():
            number = _resolve(policies, name, path)
            if number != own:
                yield cgroup.id, number


def _resolve(policies: PolicySet, netns: str, cgroup: str | None) -> int:
    try:
        return policies.resolve(netns, cgroup)
    except ConfigError:
        return STRICTEST
