"""Listed namespaces come under control as they appear, and stay there."""

import asyncio
import contextlib
import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from dlp.config.model import AttachWay
from dlp.datapath import links
from dlp.datapath.abi import Reason
from dlp.datapath.attach import NamespaceLink
from dlp.datapath.links import Pins
from dlp.enforcement import controller as module
from dlp.enforcement import namespace as namespaces
from dlp.enforcement import record
from dlp.enforcement.admission import Standing
from dlp.enforcement.controller import Controller
from dlp.enforcement.detach import take_off_all
from dlp.enforcement.keys import slot_of
from dlp.enforcement.rules import Rules
from dlp.model import Incident, Mode, WorkloadState
from tests.netlab import (
    CARD,
    DEVICE,
    PATIENCE,
    PORT,
    SINK4,
    Pair,
    connect,
    make_cgroup,
    programs,
    sh,
)

pytest_plugins = ["tests.netlab_fixture"]
pytestmark = pytest.mark.netns

DROP = '  - {name: default, rules: [{signatures: ["pci.*"], action: drop}]}'
OURS = "tcx:dlp_entry" if links.supported() else "clsact:dlp_entry"
CLSACT = {"attach": AttachWay.CLSACT}
ENFORCED, FAILED, PENDING = WorkloadState.ENFORCED, WorkloadState.FAILED, WorkloadState.PENDING


class Rig:
    """Controllers over one datapath; `load` makes policies live as the gateway does."""

    def __init__(self, live, cards, policy_set, path: Path, links: Path) -> None:
        self.datapath = live
        self.record = path / "attached.json"
        self.links = links
        self.incidents: list[Incident] = []
        self._cards = cards
        self._policy_set = policy_set

    def rules(self, *netns: str, policies: str = DROP, **options: object) -> Rules:
        """Rules, whose policies are live from here on."""
        chosen = self._policy_set(policies, netns=netns)
        self.datapath.load(
            self._cards, chosen.kernel_policies(time.time()), hmac_key=b"live", release=1
        )
        return Rules(netns, chosen, **options)

    @contextlib.asynccontextmanager
    async def control(self, rules: Rules) -> AsyncIterator[Controller]:
        """A controller at work."""
        async with (
            Controller(
                self.datapath,
                rules,
                record_path=self.record,
                links=self.links,
                on_incident=self.incidents.append,
            ) as made,
            asyncio.TaskGroup() as group,
        ):
            tasks = [
                group.create_task(each()) for each in (made.watch, made.watch_cgroups, made.mend)
            ]
            try:
                yield made
            finally:
                for task in tasks:
                    task.cancel()


@pytest.fixture
def rig(live, cards, policy_set, tmp_path, links_path):
    """Nothing is under control yet."""
    return Rig(live, cards, policy_set, tmp_path, links_path)


def inode_of(path: str) -> int:
    return Path(path).stat().st_ino


def states(control: Controller) -> list[WorkloadState]:
    return [workload.state for workload in control.workloads()]


async def until(holds, *, patience: float = PATIENCE) -> float:
    """Wait, with the loop running, until something holds; seconds that it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < patience, "it did not come to be in time"
        await asyncio.sleep(0.001)
    return time.monotonic() - began


async def leaks(pair: Pair) -> bool:
    return await asyncio.to_thread(pair.leaks)


@pytest.mark.parametrize("what", ["namespace", "device"])
@pytest.mark.parametrize("when", ["first", "second"])
async def test_gone_amid_an_attach(rig, lab, monkeypatch, what: str, when: str):
    """What is deleted between two steps of an attach leaves no pin and disturbs no other."""
    monkeypatch.setattr(module, "_MEND_S", 0.1)
    monkeypatch.setattr(module, "_SWEEP_S", 0.2)
    pair, name = lab.pair(), lab.name("gone")
    turns: list[str] = []
    acted: list[str] = []
    place = NamespaceLink.place

    def place_amid(link, device, *args, **options):
        if device == "going":
            turns.append("first" if not turns else "second")
        if device == "going" and turns.count(when) == 1 and turns[-1] == when:
            if what == "namespace":
                lab.remove(name)
            else:
                sh(f"ip -n {name} link del going")
            acted.append(when)
        return place(link, device, *args, **options)

    monkeypatch.setattr(NamespaceLink, "place", place_amid)
    async with rig.control(rig.rules(pair.inner, name)) as control:
        await until(lambda: states(control)[0] is ENFORCED)
        descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        await asyncio.to_thread(lab.add, name)
        ends = f"going netns {name} type veth peer name going netns {pair.outer}"
        await asyncio.to_thread(sh, f"ip link add {ends}")
        await until(lambda: acted)
        if what == "namespace":
            await until(lambda: states(control)[1] is PENDING)
        else:
            await until(lambda: states(control)[1] is ENFORCED)
            await asyncio.to_thread(lab.remove, name)
        await until(lambda: list(control.keys()) == [pair.inner])
        await until(lambda: "going" not in sh(f"ip -n {pair.outer} link show"))
        await until(lambda: len(list(Pins(rig.links))) <= (2 if links.supported() else 0))
        left = await until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)  # noqa: PTH208

        assert left < PATIENCE
        assert ENFORCED is states(control)[0]
        assert not await leaks(pair)


# -- tokens -----------------------------------------------------------------------------------


async def test_tokens_are_renewed(rig, lab, monkeypatch):
    """Every workload gets new tokens each time; not one honest datagram is lost over it."""
    monkeypatch.setattr(module, "ROTATE_S", 0.25)
    pairs = [lab.pair(), lab.pair("second")]
    seen: list[set[bytes]] = [set() for _ in pairs]
    async with rig.control(rig.rules(*(pair.inner for pair in pairs))) as control:
        await control.wait_enforced(PATIENCE)
        slots = [slot_of(workload.key) for workload in control.workloads()]
        arrived, end = [], time.monotonic() + 1.6
        late = end + PATIENCE  # on a busy machine the datagrams take longer than the tokens
        while (now := time.monotonic()) < end or (
            now < late and any(len(tokens) < 4 for tokens in seen)
        ):
            for pair, slot, tokens in zip(pairs, slots, seen, strict=True):
                arrived.append(await asyncio.to_thread(pair.leaks, b"hello"))
                tokens.add(bytes(rig.datapath.guard_row(slot).token))
        counted = [rig.datapath.counters(slot)[Reason.BYPASS][0] for slot in slots]

    assert all(len(tokens) >= 4 for tokens in seen)
    assert not seen[0] & seen[1]
    assert all(arrived)
    assert [0, 0] == counted


# -- namespaces -------------------------------------------------------------------------------


async def test_namespace_that_is_there(lab, rig):
    """It is enforced, and told with its key, its inode, its devices and its policy."""
    pair = lab.pair()
    async with rig.control(rig.rules(pair.inner)) as control:
        assert await control.wait_enforced(0)
        (workload,) = control.workloads()
        inode = inode_of(f"/run/netns/{pair.inner}")

        assert (pair.inner, ENFORCED, inode, "") == (
            workload.name,
            workload.state,
            workload.inode,
            workload.error,
        )
        assert workload.key >> 16 == inode
        assert ((DEVICE,), ("default",), Mode.ENFORCE) == (
            workload.devices,
            workload.policies,
            workload.mode,
        )
        assert {pair.inner: workload.key} == control.keys()
        assert not await leaks(pair)


async def test_standing(lab, rig):
    """A listed namespace is awaited until it is enforced; others are not listed."""
    pair, other, late = lab.pair(), lab.namespace("other"), lab.name("late")
    inner, outside = (inode_of(f"/run/netns/{name}") for name in (pair.inner, other))
    seen = []
    async with rig.control(rig.rules(pair.inner, late)) as control:
        await control.wait_known()
        while not seen or seen[-1] is not Standing.ENFORCED:
            seen.append(control.standing(inner))
            assert control.standing(outside) is Standing.UNLISTED
            await asyncio.sleep(0)
        control._controlled[pair.inner].error = "a fault"
        seen.append(control.standing(inner))

    assert Standing.AWAITED is seen[0]
    assert {Standing.AWAITED, Standing.ENFORCED} == set(seen)
    assert Standing.AWAITED is seen[-1]


async def test_namespace_that_comes_later(lab, rig, record_property):
    """It is pending, and enforced once it appears: also its first packet is judged."""
    name, sink = lab.name("late"), lab.namespace("sink")
    async with rig.control(rig.rules(name)) as control:
        before = await control.wait_enforced(0.05), states(control)
        await asyncio.to_thread(lab.add, name)
        took = await until(lambda: states(control) == [ENFORCED])
        record_property("enforced_after_ms", round(took * 1000, 1))
        await asyncio.to_thread(connect, name, sink)
        await until(lambda: control.workloads()[0].devices == (DEVICE,))

        assert (False, [PENDING]) == before
        assert [OURS] == programs(name)


async def test_waiting_for_a_namespace(lab, rig):
    """`wait_enforced` ends as soon as the last one is there."""
    name = lab.name("late")
    async with rig.control(rig.rules(name)) as control:
        waiting = asyncio.ensure_future(control.wait_enforced(PATIENCE))  # noqa: TID251
        await asyncio.sleep(0.02)
        began = time.monotonic()
        await asyncio.to_thread(lab.add, name)

        assert await waiting
        assert time.monotonic() - began < PATIENCE / 2


async def test_attaching(lab, rig, monkeypatch):
    """Until its devices have been gone through, a namespace is not told as enforced."""
    pair = lab.pair()
    reconcile = namespaces.ControlledNamespace.reconcile
    told = []

    def watched(namespace, *args, **options):
        told.append((states(control), control._tried_expected()))
        return reconcile(namespace, *args, **options)

    monkeypatch.setattr(namespaces.ControlledNamespace, "reconcile", watched)
    async with rig.control(rig.rules(pair.inner)) as control:
        assert await control.wait_enforced(0)

        assert ([WorkloadState.ATTACHING], False) == told[0]
        assert [ENFORCED] == states(control)


async def test_no_wait_for_those_that_are_there(lab, rig):
    """Without a second's patience, what exists is enforced all the same before the answer."""
    pairs = [lab.pair(f"w{number}") for number in range(3)]
    async with rig.control(rig.rules(*(pair.inner for pair in pairs), "dlptest-nobody")) as control:
        told = await control.wait_enforced(0)

        assert not told
        assert [ENFORCED] * 3 + [PENDING] == states(control)


async def test_device_that_comes_later(lab, rig, record_property):
    """A device added to an enforced namespace is covered without being asked for."""
    pair = lab.pair()
    async with rig.control(rig.rules(pair.inner)) as control:
        await control.wait_enforced(0)
        await asyncio.to_thread(sh, f"ip -n {pair.inner} link add second type veth peer name other")
        took = await until(lambda: len(control.workloads()[0].devices) == 3)
        record_property("covered_after_ms", round(took * 1000, 1))

        assert [OURS] == programs(pair.inner, "second")


async def test_device_made_anew(lab, rig):
    """A device that is removed and made anew as it was, at once, is covered anew."""
    pair = lab.pair()
    async with rig.control(rig.rules(pair.inner)) as control:
        await control.wait_enforced(0)
        (index,) = [each.index for each in record.read(rig.record)[0].attached]
        batch = f"link del {DEVICE}\nlink add {DEVICE} index {index} type veth peer name other"
        await asyncio.to_thread(
            subprocess.run, ["ip", "-n", pair.inner, "-batch", "-"], input=batch, text=True
        )
        await until(lambda: len(control.workloads()[0].devices) == 2)
        await until(lambda: programs(pair.inner))  # what was asked may be older than what was told

        assert [OURS] == programs(pair.inner)


async def test_many_devices_at_once(lab, rig):
    """A flood of link messages, more than the socket holds, leaves no device uncovered."""
    name = lab.namespace("many")
    async with rig.control(rig.rules(name)) as control:
        await control.wait_enforced(0)
        batch = "\n".join(f"link add m{n} type veth peer name p{n}" for n in range(60))
        await asyncio.to_thread(
            subprocess.run,
            ["ip", "-n", name, "-batch", "-"],
            input=batch,
            text=True,
            check=True,
        )
        await until(lambda: len(control.workloads()[0].devices) == 120)

        assert [ENFORCED] == states(control)


async def test_namespace_deleted_and_made_anew(lab, rig):
    """It is pending in between, has another inode, and is enforced again."""
    pair = lab.pair()
    async with rig.control(rig.rules(pair.inner)) as control:
        await control.wait_enforced(0)
        first = control.workloads()[0]
        await asyncio.to_thread(lab.remove, pair.inner)
        await until(lambda: states(control) == [PENDING])
        await until(lambda: (first.key, 0) not in bound(rig))
        await asyncio.to_thread(lab.add, pair.inner)
        await until(lambda: states(control) == [ENFORCED])
        second = control.workloads()[0]

        assert first.key != second.key
        assert f"netns-{first.inode}" == control.name_of(first.key) or (first.inode == second.inode)


async def test_namespace_that_is_not_listed(lab, rig):
    """It is left alone."""
    pair, other = lab.pair(), lab.pair("other")
    async with rig.control(rig.rules(pair.inner)) as control:
        await control.wait_enforced(0)

        assert [] == programs(other.inner)
        assert await leaks(other)


async def test_two_namespaces_are_told_apart(lab, rig):
    """Each has its own policy, its own key and its own counters."""
    strict, lax = lab.pair("strict"), lab.pair("lax")
    policies = (
        f"  - {{name: lax, match: {{netns: '{lax.inner}'}}, mode: monitor,"
        ' rules: [{signatures: ["pci.*"], action: drop}]}\n' + DROP
    )
    async with rig.control(rig.rules(strict.inner, lax.inner, policies=policies)) as control:
        await control.wait_enforced(0)
        leaked = await leaks(strict), await leaks(lax)
        slots = {slot_of(key) for key in control.keys().values()}

        assert (False, True) == leaked
        assert [("default",), ("lax",)] == [one.policies for one in control.workloads()]
        assert [Mode.ENFORCE, Mode.MONITOR] == [one.mode for one in control.workloads()]
        assert 2 == len(slots)


# -- changes of the configuration -------------------------------------------------------------


async def test_namespace_that_is_listed_later(lab, rig):
    """A reload takes further namespaces under control."""
    first, second = lab.pair("first"), lab.pair("second")
    async with rig.control(rig.rules(first.inner)) as control:
        await control.wait_enforced(0)
        await control.apply(rig.rules(first.inner, second.inner))
        await control.wait_enforced(PATIENCE)

        assert [ENFORCED, ENFORCED] == states(control)
        assert not await leaks(second)


async def test_namespace_that_is_no_longer_listed(lab, rig):
    """A reload lets it go: filter, clsact and binding are taken away."""
    pair = lab.pair()
    async with rig.control(rig.rules(pair.inner)) as control:
        await control.wait_enforced(0)
        key = control.workloads()[0].key
        await control.apply(rig.rules())

        assert [] == control.workloads()
        assert [] == programs(pair.inner)
        assert "clsact" not in pair.qdiscs()
        assert key not in {who.netns for who in list(rig.datapath.tables["workloads"].keys())}


async def test_bindings_of_a_new_configuration(lab, rig):
    """Before a new set is made live, the controller tells which policy each namespace has in it."""
    pair = lab.pair()
    async with rig.control(rig.rules(pair.inner)) as control:
        await control.wait_enforced(0)
        key = control.workloads()[0].key
        other = rig._policy_set(
            "  - {name: none, match: {netns: nobody}, rules: []}\n" + DROP, netns=(pair.inner,)
        )

        assert {(key, 0): 2} == control.bindings(other)


# -- cgroups ----------------------------------------------------------------------------------


@pytest.fixture
def cgroup():
    """A name of a cgroup; if made, it is removed."""
    name = f"dlptest-{os.getpid()}"
    made: list[Path] = []

    def make() -> Path:
        made.append(make_cgroup(name))
        return made[-1]

    make.path = f"/{name}"
    yield make
    for path in made:
        deadline = time.monotonic() + 5
        while path.exists() and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                path.rmdir()
            time.sleep(0.005)


SEND = """
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
try:
    sender.sendto(sys.argv[1].encode(), (sys.argv[2], int(sys.argv[3])))
except OSError:
    pass
"""


def sent_from(cgroup: Path, pair: Pair, text: bytes) -> bool:
    """Whether a datagram of a process in that cgroup leaves."""
    script = 'echo 0 > "$0" && exec "$@"'
    inside = ["nsenter", f"--net=/run/netns/{pair.inner}", sys.executable, "-I", "-c", SEND]
    subprocess.run(
        ["sh", "-c", script, str(cgroup / "cgroup.procs"), *inside, text, SINK4, str(PORT)],
        check=True,
    )
    pair._sender.sendto(b"behind", (SINK4, PORT))
    arrived = False
    while (data := pair._datagrams.recv(2048)) != b"behind":
        arrived |= data == text
    return arrived


def of_cgroup(path: str) -> str:
    return (
        f"  - {{name: group, match: {{cgroup: '{path}'}}, mode: monitor,"
        ' rules: [{signatures: ["pci.*"], action: drop}]}\n' + DROP
    )


async def test_policy_of_a_cgroup(lab, rig, cgroup):
    """Sockets of a cgroup that a policy names have that policy, others their namespace's."""
    pair, path = lab.pair(), cgroup()
    async with rig.control(rig.rules(pair.inner, policies=of_cgroup(cgroup.path))) as control:
        await control.wait_enforced(0)
        key = control.workloads()[0].key
        number = path.stat().st_ino
        await until(lambda: (key, number) in bound(rig))
        inside = await asyncio.to_thread(sent_from, path, pair, b"card " + CARD)

        assert inside
        assert not await leaks(pair)
        assert ("default", "group") == control.workloads()[0].policies
        assert cgroup.path == control.cgroup_path(number)
        assert "" == control.cgroup_path(1 << 40)


async def test_cgroup_that_comes_and_goes(lab, rig, cgroup):
    """It is bound as it appears, and unbound as it goes."""
    pair = lab.pair()
    async with rig.control(rig.rules(pair.inner, policies=of_cgroup(cgroup.path))) as control:
        await control.wait_enforced(0)
        key = control.workloads()[0].key
        path = await asyncio.to_thread(cgroup)
        number = path.stat().st_ino
        await until(lambda: bound(rig).get((key, number)) == 1)
        await asyncio.to_thread(path.rmdir)
        await until(lambda: (key, number) not in bound(rig))

        assert 2 == bound(rig)[key, 0]


async def test_namespace_after_its_cgroup(lab, rig, cgroup):
    """A namespace that comes later is bound for the cgroups that are there already."""
    name, path = lab.name("late"), cgroup()
    async with rig.control(rig.rules(name, policies=of_cgroup(cgroup.path))) as control:
        await until(lambda: control.cgroup_path(path.stat().st_ino))
        await asyncio.to_thread(lab.add, name)
        await until(lambda: states(control) == [ENFORCED])
        key = control.workloads()[0].key

        assert 1 == bound(rig)[key, path.stat().st_ino]


def bound(rig) -> dict[tuple[int, int], int]:
    table = rig.datapath.tables["workloads"]
    found = {(key.netns, key.cgroup): table.lookup(key) for key in list(table.keys())}
    live = rig.datapath.settings.generation
    return {key: value.policy[live] for key, value in found.items() if value is not None}


# -- failures ---------------------------------------------------------------------------------


async def test_place_that_is_taken(lab, rig, monkeypatch):
    """The workload is failed and says why; once the place is free it mends by itself."""
    monkeypatch.setattr(module, "_MEND_S", 0.05)
    pair = lab.pair()
    pair.tc(f"qdisc add dev {DEVICE} clsact")
    pair.tc(f"filter add dev {DEVICE} egress pref 1 u32 match u32 0 0 classid 1:1")
    async with rig.control(rig.rules(pair.inner, **CLSACT)) as control:
        told = await control.wait_enforced(0)
        (workload,) = control.workloads()
        await asyncio.to_thread(pair.tc, f"filter del dev {DEVICE} egress pref 1")
        await until(lambda: states(control) == [ENFORCED])

        assert (False, FAILED) == (told, workload.state)
        assert f"attaching to {DEVICE}" in workload.error
        assert "priority 1 must be free" in workload.error
        assert not await leaks(pair)
        assert "" == control.workloads()[0].error


async def test_no_slot_left(lab, rig, monkeypatch):
    """A namespace that cannot have a key is failed, with the reason; others are not."""
    monkeypatch.setattr("dlp.enforcement.keys.WORKLOADS", 2)
    first, second = lab.pair("a"), lab.pair("b")
    async with rig.control(rig.rules(first.inner, second.inner)) as control:
        await control.wait_enforced(0)
        errors = [one.error for one in control.workloads() if one.error]

        assert {ENFORCED, FAILED} == set(states(control))
        assert ["all 1 workload slots are taken"] == [error.split(" (")[0] for error in errors]


# -- restart and record -----------------------------------------------------------------------


async def test_record(lab, rig):
    """What is attached is written down, device by device."""
    pair = lab.pair()
    async with rig.control(rig.rules(pair.inner)) as control:
        await control.wait_enforced(0)
        inode = control.workloads()[0].inode
    (entry,) = record.read(rig.record)

    assert (pair.inner, inode) == (entry.name, entry.inode)
    assert [(DEVICE, OURS)] == [(one.device, f"{one.way}:dlp_entry") for one in entry.attached]
    assert [DEVICE] == [one.guard.device for one in entry.attached]


async def test_restart(lab, rig):
    """A second controller takes over: same key, one filter, and clsact is still ours to remove."""
    pair = lab.pair()
    rules = rig.rules(pair.inner)
    async with rig.control(rules) as control:
        await control.wait_enforced(0)
        first = control.workloads()[0]
    between = await leaks(pair)
    async with rig.control(rules) as control:
        await control.wait_enforced(0)
        second = control.workloads()[0]
        await control.apply(dataclasses.replace(rules, netns=()))

    assert not between
    assert first == second
    assert "clsact" not in pair.qdiscs()


async def test_name_of_a_namespace_before_it_is_controlled(lab, rig):
    """Events that waited while no controller ran find the name in the record."""
    pair = lab.pair()
    rules = rig.rules(pair.inner)
    async with rig.control(rules) as control:
        await control.wait_enforced(0)
        key = control.workloads()[0].key
    async with Controller(rig.datapath, rules, record_path=rig.record, links=rig.links) as control:
        assert pair.inner == control.name_of(key)
        assert "netns-5" == control.name_of(5 << 16)


async def test_namespace_unlisted_while_no_controller_ran(lab, rig):
    """A controller lets go of what the one before held and this one does not list."""
    pair, other = lab.pair("kept"), lab.pair("dropped")
    async with rig.control(rig.rules(pair.inner, other.inner)) as control:
        await control.wait_enforced(0)
        key = control.keys()[other.inner]
    async with rig.control(rig.rules(pair.inner)) as control:
        await control.wait_enforced(0)

    assert [] == programs(other.inner)
    assert "clsact" not in other.qdiscs()
    assert key not in {who for who, _ in bound(rig)}
    assert [pair.inner] == [entry.name for entry in record.read(rig.record)]
    assert not await leaks(pair)
    assert await leaks(other)


async def test_record_before_all_are_taken_over(lab, rig, monkeypatch):
    """A process that ends early forgets nothing of what the one before attached."""
    pairs = [lab.pair("a"), lab.pair("b")]
    rules = rig.rules(*(pair.inner for pair in pairs))
    async with rig.control(rules) as control:
        await control.wait_enforced(0)
    async with Controller(rig.datapath, rules, record_path=rig.record, links=rig.links) as control:
        await control._control(pairs[0].inner)
    names = {entry.name for entry in record.read(rig.record)}

    assert {pair.inner for pair in pairs} == names


async def test_keys_of_namespaces_that_are_gone(lab, rig):
    """Their slots are free again after a restart, their bindings gone."""
    pair = lab.pair()
    rules = rig.rules(pair.inner)
    rig.datapath.bind(99 << 16 | 1, 0, 1)
    rig.datapath.bind(99 << 16 | 1, 7, 1)
    async with rig.control(rules) as control:
        await control.wait_enforced(0)
        key = control.workloads()[0].key

    assert {(key, 0)} == set(bound(rig))


async def test_detach_all(lab, rig):
    """By the record alone everything comes off; namespaces that are gone are passed over."""
    pairs = [lab.pair("a"), lab.pair("b")]
    async with rig.control(rig.rules(*(pair.inner for pair in pairs))) as control:
        await control.wait_enforced(0)
    entries = record.read(rig.record)
    gone = record.Entry("gone", 5, entries[0].attached)
    count = await asyncio.to_thread(partial(take_off_all, pins=Pins(rig.links)), (*entries, gone))

    assert 2 == count
    for pair in pairs:
        assert [] == programs(pair.inner)
        assert "clsact" not in pair.qdiscs()


async def test_the_loop_stays_at_home(lab, rig):
    """Namespaces are entered in a thread of the controller's own: never in the loop's."""
    pair = lab.pair()
    before = inode_of("/proc/thread-self/ns/net")
    async with rig.control(rig.rules(pair.inner)) as control:
        await control.wait_enforced(0)
        during = inode_of("/proc/thread-self/ns/net")

    assert before == during == inode_of("/proc/thread-self/ns/net")
