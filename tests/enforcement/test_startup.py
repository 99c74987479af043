"""The gap at a container's start: what leaves before it is enforced, and what the gate makes of it.

Containers send a card from their first instruction on, as fast as they can.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP

from dlp.config import Workloads
from dlp.datapath import gates
from dlp.datapath.pins import BPFFS
from dlp.enforcement.controller import Controller
from dlp.enforcement.gate import Gatekeeper
from dlp.enforcement.rules import Rules
from dlp.model import Protection, Workload, WorkloadState
from tests import packets as pk
from tests.netlab import CARD, DEVICE, PATIENCE, PORT, SINK4, WORKLOAD4, sh

pytest_plugins = ["tests.cgrouplab", "tests.netlab_fixture"]
pytestmark = [pytest.mark.netns, pytest.mark.guest]

DROP = '  - {name: default, rules: [{signatures: ["pci.*"], action: drop}]}'
TEXT = b"card " + CARD + b"."
FRAME = bytes(pk.ethernet() / IP(src=WORKLOAD4, dst=SINK4) / UDP(sport=1024, dport=PORT) / TEXT)
STACK = f"""
import socket
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    try:
        out.sendto({TEXT!r}, ("{SINK4}", {PORT}))
    except OSError:
        pass
"""
# Past cgroups and past TC egress: PACKET_QDISC_BYPASS.
PAST_IT = f"""
import socket
while True:
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
            out.setsockopt(263, 20, 1)
            out.bind(("{DEVICE}", 0))
            while True:
                out.send({FRAME!r})
    except OSError:
        pass
"""


class Host:
    """A gateway's controller and gatekeeper, over one gated cgroup and one listed namespace."""

    def __init__(self, live, cards, policy_set, cgroups, pair, tmp_path, links_path) -> None:
        self.live, self.cgroups, self.pair = live, cgroups, pair
        self.gate_pins = BPFFS / f"dlp-test-gates-{os.getpid()}"
        self._links, self._record = links_path, tmp_path / "attached.json"
        self._policies = policy_set(DROP, netns=(pair.inner,))
        live.load(cards, self._policies.kernel_policies(time.time()), hmac_key=b"live", release=1)
        self._running: list[subprocess.Popen[bytes]] = []
        self.control: Controller

    @contextlib.asynccontextmanager
    async def gateway(self):
        """A controller, in charge until the end of the block."""
        async with (
            Controller(
                self.live,
                Rules((self.pair.inner,), self._policies),
                record_path=self._record,
                links=self._links,
            ) as control,
            asyncio.TaskGroup() as group,
        ):
            self.control = control
            tasks = [group.create_task(control.watch()), group.create_task(control.mend())]
            try:
                yield control
            finally:
                for task in tasks:
                    task.cancel()

    @contextlib.asynccontextmanager
    async def gatekeeper(self, control: Controller):
        """One that gates the containers' cgroup, under a controller."""
        keeper = Gatekeeper(
            self.live,
            Workloads(netns=(self.pair.inner,), gate=(self.cgroups.path,)),
            control.standing,
            pins=self.gate_pins,
        )
        control._on_change = keeper.changed
        async with asyncio.TaskGroup() as group:
            task = group.create_task(keeper.run())
            await until(lambda: gates.pinned(self.gate_pins))
            try:
                yield keeper
            finally:
                task.cancel()

    def container(self, program: str) -> None:
        """A process in a cgroup below the gated one and in the listed namespace."""
        directory = self.cgroups.make("container")
        script = 'echo 0 > "$0/cgroup.procs" && exec "$@"'
        inside = ["nsenter", f"--net=/run/netns/{self.pair.inner}", sys.executable, "-c", program]
        self._running.append(subprocess.Popen(["sh", "-c", script, str(directory), *inside]))

    @property
    def workload(self) -> Workload:
        return self.control.workloads()[0]

    def enforced(self) -> bool:
        told = self.workload
        return told.state is WorkloadState.ENFORCED and told.guard is Protection.GUARDED

    def arrived(self) -> int:
        """Cards that came out of the workload since the last time."""
        count = 0
        self.pair._datagrams.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                count += CARD in self.pair._datagrams.recv(2048)
        self.pair._datagrams.settimeout(PATIENCE)
        return count

    def end(self) -> None:
        for process in self._running:
            process.kill()
            process.wait(PATIENCE)
        gates.remove_all(self.gate_pins)
        with contextlib.suppress(FileNotFoundError):
            self.gate_pins.rmdir()
        for key in list(self.live.tables["admitted"].keys()):
            self.live.unadmit(key.value)


async def until(holds) -> float:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < PATIENCE, "it did not come to be in time"
        await asyncio.sleep(0.002)
    return time.monotonic() - began


def age_ms(netns: str) -> float:
    return (time.time() - Path(f"/run/netns/{netns}").stat().st_ctime) * 1000


def device(pair) -> None:
    """In place of the pair's devices: such as nothing has left by, not even the kernel's own."""
    inner, outer = pair.inner, pair.outer
    sh(f"nsenter --net=/run/netns/{inner} sysctl -qw net.ipv6.conf.all.disable_ipv6=1")
    sh(f"nsenter --net=/run/netns/{inner} sysctl -qw net.ipv6.conf.default.disable_ipv6=1")
    sh(
        f"ip link add {DEVICE} netns {inner} address 02:00:00:00:00:01"
        f" type veth peer name {DEVICE} netns {outer} address 02:00:00:00:00:02"
    )
    for name, own, other, mac in ((outer, SINK4, WORKLOAD4, 1), (inner, WORKLOAD4, SINK4, 2)):
        sh(f"ip -n {name} addr add {own}/24 dev {DEVICE}")
        sh(f"ip -n {name} neigh replace {other} lladdr 02:00:00:00:00:0{mac} dev {DEVICE}")
        sh(f"ip -n {name} link set {DEVICE} up")


@pytest.fixture
def host(live, cards, policy_set, cgroups, lab, tmp_path, links_path):
    pair = lab.pair()
    sh(f"ip -n {pair.inner} link del {DEVICE}")
    made = Host(live, cards, policy_set, cgroups, pair, tmp_path, links_path)
    yield made
    made.end()


async def test_gated(host):
    """What is gated and sends from its first instruction on sends nothing before it is enforced.

    Its unprotected time is 0, and with the classifier in place its card goes nowhere either.
    """
    async with host.gateway() as control:
        await until(lambda: host.pair.inner in control._controlled)
        async with host.gatekeeper(control):
            host.container(STACK)
            await asyncio.to_thread(device, host.pair)
            await until(lambda: host.enforced() and host.workload.devices)
            await asyncio.sleep(0.3)

            assert 0.0 == host.workload.unprotected_ms
            assert 0 == host.arrived()
            await until(lambda: list(host.live.tables["admitted"].keys()))


async def test_gated_before_the_gateway(host):
    """So is one that was there before the gateway came back, behind the gate that it had left."""
    async with host.gateway() as control:
        await until(lambda: host.pair.inner in control._controlled)
        async with host.gatekeeper(control):
            pass
    host.container(STACK)
    await asyncio.to_thread(device, host.pair)
    await asyncio.sleep(0.3)
    async with host.gateway() as control, host.gatekeeper(control):
        await until(host.enforced)
        await asyncio.sleep(0.3)

        assert 0.0 == host.workload.unprotected_ms
        assert 0 == host.arrived()


async def test_not_gated(host, record_property):
    """Without a gate, what left before is told by how long it could: since the namespace came."""
    host.container(STACK)
    await asyncio.to_thread(device, host.pair)
    await until(host.arrived)
    least = age_ms(host.pair.inner)
    async with host.gateway():
        await until(host.enforced)
        since = age_ms(host.pair.inner)
        host.arrived()
        await asyncio.sleep(0.2)
        record_property("unprotected_ms", host.workload.unprotected_ms)

        assert least - 20 < host.workload.unprotected_ms <= since
        assert 0 == host.arrived()


async def test_past_the_gate(host, record_property):
    """A packet socket passes a gate by: the guard keeps it in, or the unprotected time tells."""
    async with host.gateway() as control:
        await until(lambda: host.pair.inner in control._controlled)
        async with host.gatekeeper(control):
            host.container(PAST_IT)
            await asyncio.to_thread(device, host.pair)
            await until(lambda: host.enforced() and host.workload.devices)
            early = host.arrived()
            await asyncio.sleep(0.2)
            record_property("unprotected_ms", host.workload.unprotected_ms)
            record_property("left_early", early)

            assert (early > 0) <= (host.workload.unprotected_ms > 0)
            assert 0 == host.arrived()


async def test_past_the_gate_before_the_gateway(host):
    """Before there is a guard it gets through, gated or not; the unprotected time tells that."""
    async with host.gateway() as control:
        await until(lambda: host.pair.inner in control._controlled)
        async with host.gatekeeper(control):
            pass
    host.container(PAST_IT)
    await asyncio.to_thread(device, host.pair)
    await until(host.arrived)
    async with host.gateway() as control, host.gatekeeper(control):
        await until(host.enforced)
        host.arrived()
        await asyncio.sleep(0.2)

        assert host.workload.unprotected_ms > 0
        assert 0 == host.arrived()
