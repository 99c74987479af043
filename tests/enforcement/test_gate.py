"""Gates over real cgroups, processes and packets."""

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from dlp.config import NewWorkloads, Workloads
from dlp.datapath import gates
from dlp.datapath.pins import BPFFS
from dlp.enforcement import gate as module
from dlp.enforcement.admission import SETTLED_S, Standing
from dlp.enforcement.gate import Gatekeeper
from dlp.workloads.occupants import occupants
from tests.netlab import GUEST, PATIENCE

pytest_plugins = ["tests.cgrouplab", "tests.netlab_fixture"]
pytestmark = [pytest.mark.netns, pytest.mark.guest]

SLOW = 20 if GUEST else 1


class Rig:
    """Gatekeepers over one datapath; `stands` is how namespaces stand, by name."""

    def __init__(self, live, cgroups) -> None:
        self.datapath = live
        self.cgroups = cgroups
        self.pins = BPFFS / f"dlp-test-links-{os.getpid()}"
        self._stands: dict[int, Standing] = {}
        self.keeper: Gatekeeper

    def stands(self, netns: str, standing: Standing) -> None:
        """Say how a namespace stands; the gatekeeper is told."""
        self._stands[Path(f"/run/netns/{netns}").stat().st_ino] = standing
        if hasattr(self, "keeper"):
            self.keeper.changed()

    def ids(self) -> set[int]:
        """What the table holds."""
        return {key.value for key in list(self.datapath.tables["admitted"].keys())}

    def admitted(self, name: str) -> bool:
        """Whether a child of the tree is in the table."""
        return (self.cgroups.directory / name).stat().st_ino in self.ids()

    def workloads(self, *paths: str, new: NewWorkloads = NewWorkloads.CLOSED) -> Workloads:
        return Workloads(gate=paths or (self.cgroups.path,), new=new)

    @contextlib.asynccontextmanager
    async def keep(self, workloads: Workloads | None = None):
        """A gatekeeper at work; what it put stays when it ends."""
        self.keeper = Gatekeeper(
            self.datapath,
            workloads or self.workloads(),
            lambda inode: self._stands.get(inode, Standing.UNLISTED),
            pins=self.pins,
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.keeper.run())
            yield self.keeper
            task.cancel()

    def clear(self) -> None:
        gates.remove_all(self.pins)
        with contextlib.suppress(FileNotFoundError):
            self.pins.rmdir()
        for number in self.ids():
            self.datapath.unadmit(number)


@pytest.fixture
def rig(live, cgroups):
    made = Rig(live, cgroups)
    yield made
    made.clear()


async def until(holds, patience: float = PATIENCE) -> float:
    """Wait until something holds; seconds that it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not holds():
        assert loop.time() - began < patience, "it did not come to be in time"
        await asyncio.sleep(0.002)
    return loop.time() - began


async def test_listed_waits(rig, cgroups, lab):
    """A child in a listed namespace sends when its namespace is enforced, at once then."""
    pair = lab.pair()
    rig.stands(pair.inner, Standing.AWAITED)
    async with rig.keep():
        await until(lambda: gates.pinned(rig.pins))
        sender = cgroups.sender("a", pair.inner)
        await asyncio.sleep(SETTLED_S + 0.5)
        assert not sender.sends()

        rig.stands(pair.inner, Standing.ENFORCED)
        took = await until(lambda: rig.admitted("a"))
        assert sender.sends()
        assert took < 0.5 * SLOW


async def test_enforced_starts_at_once(rig, cgroups, lab):
    """A child in a namespace that is enforced already does not wait for its age."""
    pair = lab.pair()
    rig.stands(pair.inner, Standing.ENFORCED)
    async with rig.keep():
        await until(lambda: gates.pinned(rig.pins))
        sender = cgroups.sender("a", pair.inner)
        took = await until(lambda: rig.admitted("a"))

        assert sender.sends()
        assert took < SETTLED_S / 2 * SLOW


@pytest.mark.parametrize(
    ("new", "least", "most"), [(NewWorkloads.CLOSED, SETTLED_S, 3.0), (NewWorkloads.OPEN, 0.0, 0.5)]
)
async def test_unlisted_is_not_cut_off(rig, cgroups, lab, new, least, most):
    """A child in a namespace that is not listed is late by a second; under `open` it is not."""
    pair = lab.pair()
    async with rig.keep(rig.workloads(new=new)):
        await until(lambda: gates.pinned(rig.pins))
        sender = cgroups.sender("a", pair.inner)
        took = await until(lambda: rig.admitted("a"))
        old_s = occupants(cgroups.directory / "a").oldest_s

        assert sender.sends()
        assert least <= old_s
        assert took < most * SLOW


async def test_what_runs_is_not_cut_off(rig, cgroups, lab):
    """A gate comes over running children without one packet lost."""
    pair = lab.pair()
    rig.stands(pair.inner, Standing.ENFORCED)
    sender = cgroups.sender("a", pair.inner)
    unlisted = cgroups.sender("b")
    unlisted.enter(lab.namespace("other"))
    await asyncio.sleep(SETTLED_S + 0.1)
    sent = []
    async with rig.keep():
        while not gates.pinned(rig.pins):
            sent.append(sender.sends())
            await asyncio.sleep(0)
        sent += [sender.sends() for _ in range(20)]
        assert rig.admitted("b")

    assert all(sent)


async def test_restart(rig, cgroups, lab):
    """Without a gateway what was admitted goes on and what comes waits; the next one goes on."""
    pair, second = lab.pair(), lab.pair("second")
    rig.stands(pair.inner, Standing.ENFORCED)
    rig.stands(second.inner, Standing.AWAITED)
    old = cgroups.sender("a", pair.inner)
    async with rig.keep():
        await until(lambda: gates.pinned(rig.pins) and rig.admitted("a"))

    new = cgroups.sender("b", second.inner)
    assert [True, False] == [old.sends(), new.sends()]
    rig.stands(pair.inner, Standing.AWAITED)  # not adopted yet
    async with rig.keep():
        sent = [old.sends() for _ in range(50) if not await asyncio.sleep(0.01)]
        assert not new.sends()
        rig.stands(second.inner, Standing.ENFORCED)
        await until(lambda: rig.admitted("b"))
        assert new.sends()
    assert all(sent)
    assert 1 == len(gates.pinned(rig.pins))


async def test_ids_are_forgotten(rig, cgroups, lab, monkeypatch):
    """A child that went may send what it has left for a while; then its id goes."""
    monkeypatch.setattr(module, "_ALL_S", 0.1)
    pair = lab.pair()
    rig.stands(pair.inner, Standing.ENFORCED)
    rig.datapath.admit(4711)  # of nobody
    async with rig.keep():
        sender = cgroups.sender("a", pair.inner)
        await until(lambda: rig.admitted("a"))
        number = (cgroups.directory / "a").stat().st_ino
        assert 4711 not in rig.ids()
        sender.end()
        await asyncio.to_thread(cgroups.remove, "a")
        await until(lambda: number in rig.keeper._gone)
        await asyncio.sleep(0.3)
        assert number in rig.ids()
        rig.keeper._gone = dict.fromkeys(rig.keeper._gone, 0.0)
        await until(lambda: not rig.ids())


async def test_cgroup_that_comes_later(rig, cgroups, lab):
    """A gate is put when its cgroup is made, made anew included; its pin goes with it."""
    pair = lab.pair()
    rig.stands(pair.inner, Standing.AWAITED)
    async with rig.keep(rig.workloads(f"{cgroups.path}/late")) as keeper:
        for _ in range(2):
            await asyncio.sleep(0.1)
            assert {} == gates.pinned(rig.pins)
            assert [] == keeper.problems()
            cgroups.make("late")
            await until(lambda: gates.pinned(rig.pins))
            sender = cgroups.sender("late/a", pair.inner)
            assert not sender.sends()
            sender.end()
            for name in ("late/a", "late"):
                await asyncio.to_thread(cgroups.remove, name)
            keeper.apply(rig.workloads(f"{cgroups.path}/late"))
            await until(lambda: not gates.pinned(rig.pins))


async def test_reload(rig, cgroups, lab):
    """Gates come and go with the configuration; without any the table is empty."""
    pair = lab.pair()
    rig.stands(pair.inner, Standing.AWAITED)
    async with rig.keep(Workloads()) as keeper:
        sender = cgroups.sender("a", pair.inner)
        await asyncio.sleep(0.05)
        assert sender.sends()
        keeper.apply(rig.workloads())
        await until(lambda: gates.pinned(rig.pins))
        assert not sender.sends()
        keeper.apply(Workloads())
        await until(lambda: not gates.pinned(rig.pins))
        await until(sender.sends)  # the kernel takes a link off a little after its pin is gone
        rig.stands(pair.inner, Standing.ENFORCED)
        keeper.apply(rig.workloads())
        await until(lambda: rig.admitted("a"))
        keeper.apply(Workloads())
        await until(lambda: not rig.admitted("a"))


async def test_nested_gates(rig, cgroups, lab):
    """Below two gates a child needs both."""
    pair = lab.pair()
    rig.stands(pair.inner, Standing.AWAITED)
    paths = (cgroups.path, f"{cgroups.path}/in")
    async with rig.keep(rig.workloads(*paths)):
        cgroups.make("in")
        await until(lambda: len(gates.pinned(rig.pins)) == 2)
        sender = cgroups.sender("in/a", pair.inner)
        assert not sender.sends()
        rig.stands(pair.inner, Standing.ENFORCED)
        await until(lambda: rig.admitted("in") and rig.admitted("in/a"))
        assert sender.sends()


async def test_gate_that_is_refused(rig, cgroups, monkeypatch):
    """A gate that the kernel refuses is a problem with its path; it is tried again."""
    monkeypatch.setattr(module, "_ALL_S", 0.2)
    put = gates.put
    from dlp.errors import KernelError

    def refuse(*_: object) -> None:
        raise KernelError("no room for it")

    monkeypatch.setattr(gates, "put", refuse)
    async with rig.keep() as keeper:
        await until(keeper.problems)
        assert ["no room for it"] == keeper.problems()
        monkeypatch.setattr(gates, "put", put)
        await until(lambda: gates.pinned(rig.pins))
        await until(lambda: not keeper.problems())


async def test_no_hierarchy(rig, monkeypatch):
    """Where cgroup v2 is missing, gates that are asked for are a problem; tried again too."""
    from dlp.errors import MissingDependency

    monkeypatch.setattr(module, "_ALL_S", 0.1)
    find = module.find_cgroup2

    def missing():
        raise MissingDependency("cgroup v2 is not mounted")

    monkeypatch.setattr(module, "find_cgroup2", missing)
    async with rig.keep() as keeper:
        await until(keeper.problems)
        assert ["cgroup v2 is not mounted"] == keeper.problems()
        monkeypatch.setattr(module, "find_cgroup2", find)
        await until(lambda: gates.pinned(rig.pins) and not keeper.problems())
