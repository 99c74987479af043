"""Carries out the steps of one scenario: the sender, programs, loss, the gateway's fate."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attack import attack
from gateway import Gateway
from honest import PORT_DISTANCE, HonestTraffic
from payload import Payload, cut_offsets, render
from remote import Remote
from scenario import Attack, Phase, Run, Scenario, Send, Step
from session import Session
from topology import LabError, enter

BY_FILE = 1 << 18  # larger payloads go to the sender by file
FLOWS = 100_000  # in a flood of them
CGROUP_SEEN = 0.5  # seconds
DEVICE_GONE = 8.0  # seconds, at most
# What a segment with data exceeds: headers with timestamps, and 8 bytes.
DATA_SEGMENT = {4: 61, 6: 81}


@dataclass(slots=True, kw_only=True)
class Deed:
    """What a scenario did.

    Attributes:
        sent: what each connection wrote, or each payload of its programs.
        ports: source port of each connection; empty for programs.
        seconds: spent sending and waiting for acknowledgements.
        errors: of the network, as the sender saw them.
        status: exit status of the last program.
        impossible: why an attack cannot be tried here.
    """

    sent: list[bytes] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    program: bool = False
    seconds: float = 0.0
    errors: list[str] = field(default_factory=list)
    status: int = 0
    impossible: str = ""


class Actor:
    """One scenario in action. `port` is its sink's alone, so that what belongs to it is known."""

    def __init__(
        self,
        scenario: Scenario,
        session: Session,
        gateway: Gateway | None,
        *,
        port: int,
        flows: int = FLOWS,
    ) -> None:
        self.scenario = scenario
        self.port = port
        self.deed = Deed()
        self.at_gateway_start = asyncio.Event()
        self.gateway_started = asyncio.Event()
        self._session = session
        self._flows = flows
        self._gateway = gateway
        self._remote = Remote(scenario.name)
        self._files = 0
        layout = session.topology.layout
        self.machine = layout.workload(scenario.workload.partition("/")[0])
        self.address = layout.server(scenario.server).address(scenario.family)
        self.honest_address = layout.server("sink").address(scenario.honest.family)
        self.honest = HonestTraffic(scenario, session, self.honest_address, port + PORT_DISTANCE)

    async def run(self) -> None:
        """All steps, then wait for acknowledgements and close.

        Raises:
            LabError: a step cannot be carried out.
        """
        await self._own_cgroup()
        if not self.scenario.attacks:
            await self._steps(None)
            return
        over = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.honest.run(over))
                async with asyncio.TaskGroup() as attacks:
                    await self._steps(attacks)
                over.set()
        except BaseExceptionGroup as group:
            own = group.subgroup(LabError)
            if own is None:
                raise
            raise LabError("; ".join(str(error) for error in _leaves(own))) from None

    async def _own_cgroup(self) -> None:
        """Make the workload's cgroup some time before a process runs in it, as runtimes do.

        Until the gateway has seen it, the policy of the whole namespace holds.
        """
        cgroup = self._session.topology.cgroup_of(self.scenario.workload)
        if not cgroup.exists():
            cgroup.mkdir(parents=True)
            await asyncio.sleep(CGROUP_SEEN)

    async def _steps(self, background: asyncio.TaskGroup | None) -> None:
        try:
            for step in self.scenario.steps:
                if step.attack is None:
                    await self._do(step)
                elif step.attack.background and background is not None:
                    background.create_task(self._attack(step.attack))
                else:
                    await self._attack(step.attack)
            if self._remote.started:
                await self._remote.drain(self.scenario.patience)
        finally:
            await self._remote.close()
            self.deed.seconds += self._remote.seconds
            self.deed.errors += self._remote.errors

    async def _attack(self, order: Attack) -> None:
        why = await attack(order, self.scenario, self._session, port=self.port, flows=self._flows)
        self.deed.impossible = self.deed.impossible or why

    async def _do(self, step: Step) -> None:
        if step.send is not None:
            await self._send(step.send)
        elif step.run is not None:
            await self._run(step.run)
        elif step.wait is not None:
            await asyncio.sleep(step.wait)
        elif step.lose is not None:
            self._lose(on=True)
            asyncio.get_running_loop().call_later(step.lose, lambda: self._lose(on=False))
        elif step.drain is not None:
            if self._remote.started:
                await self._remote.drain(step.drain)
        elif step.renew_device or step.join is not None:
            await self._by_the_host(step)
        elif step.gateway == "start" and self.scenario.phase is Phase.BEFORE:
            self.at_gateway_start.set()
            await self.gateway_started.wait()
        elif self._gateway is not None:
            await self._change(step, self._gateway)

    async def _by_the_host(self, step: Step) -> None:
        topology = self._session.topology
        if step.join is not None:
            topology.join(self.scenario.workload, step.join)
            return
        end = asyncio.get_running_loop().time() + DEVICE_GONE
        while topology.has_device(self.scenario.workload):
            if asyncio.get_running_loop().time() > end:
                raise LabError(f"the device of {self.scenario.workload} is still there")
            await asyncio.sleep(0.05)
        topology.renew_device(self.scenario.workload)

    async def _change(self, step: Step, gateway: Gateway) -> None:
        if step.policy is not None:
            gateway.write_policy(await self._with_digests(step.policy, gateway))
            return
        ways: Mapping[str | None, Callable[[], Awaitable[object]]] = {
            "kill": gateway.kill,
            "start": gateway.start,
            "stop": gateway.stop,
            "reload": gateway.reload,
            "reload-refused": gateway.reload_refused,
        }
        await ways[step.gateway]()

    async def _with_digests(self, changes: Any, gateway: Gateway) -> Any:
        """Put the digest in where a policy says `{digest_of: SECRET, signature: ID}`."""
        if isinstance(changes, list):
            return [await self._with_digests(item, gateway) for item in changes]
        if not isinstance(changes, dict):
            return changes
        if "digest_of" in changes:
            value = self.scenario.values()[changes["digest_of"]]
            return await gateway.digest(value, changes["signature"])
        return {key: await self._with_digests(item, gateway) for key, item in changes.items()}

    # -- the lab's own sender

    async def _send(self, send: Send) -> None:
        await self._open()
        for key in range(self.scenario.times):
            payload = render(
                send.payload, self.scenario.values(key), seed=self.scenario.name, shift=key
            )
            order: dict[str, Any] = {"do": "send", "key": key}
            if send.sendfile:
                order = {"do": "sendfile", "key": key, "file": str(self._file(payload))}
            elif len(payload.data) > BY_FILE:
                order["file"] = str(self._file(payload))
            else:
                order["data"] = base64.b64encode(payload.data).decode()
            if not send.sendfile:
                order |= {"cuts": cut_offsets(send.cut, payload), "pace": send.pace}
            answer = await self._remote.order(order)
            self._note_sent(key, payload.data, list(order.get("cuts", [])))
            if "source" in answer:
                self.deed.ports[key] = answer["source"][1]

    def _note_sent(self, key: int, data: bytes, cuts: list[int]) -> None:
        if self.scenario.sink in {"udp", "icmp", "raw"}:  # each part is a message
            edges = [0, *cuts, len(data)]
            self.deed.sent += [data[start:end] for start, end in itertools.pairwise(edges)]
        else:
            self.deed.sent[key] += data

    async def _open(self) -> None:
        if self._remote.started:
            return
        scenario = self.scenario
        await self._remote.start(self._session, scenario.workload)
        self.deed.ports = [0] * scenario.times
        if scenario.sink not in {"udp", "icmp", "raw"}:
            self.deed.sent = [b""] * scenario.times
        kind = {"http": "tcp", "dns": "udp"}.get(scenario.sink, scenario.sink)
        for key in range(scenario.times):
            order = {"do": "open", "key": key, "kind": kind, "host": self.address}
            answer = await self._remote.order(
                order | {"port": self.port, "protocol": scenario.protocol}
            )
            if "source" in answer:
                self.deed.ports[key] = answer["source"][1]

    # -- programs

    async def _run(self, run: Run) -> None:
        names = {
            "address": self.address,
            "host": f"[{self.address}]" if ":" in self.address else self.address,
            "port": str(self.port),
        }
        for name, template in run.payloads.items():
            payload = render(template, self.scenario.values(), seed=self.scenario.name)
            names[name] = str(self._file(payload))
            self.deed.sent.append(payload.data)
            if f"{{{name}.text}}" in " ".join(run.argv):
                names[f"{name}.text"] = payload.data.decode()
        self.deed.program = True
        began = asyncio.get_running_loop().time()
        process = await asyncio.create_subprocess_exec(
            *self._session.topology.command(
                self.scenario.workload, [_filled(word, names) for word in run.argv]
            ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self.deed.status = await asyncio.wait_for(process.wait(), run.timeout)
        except TimeoutError:
            self.deed.errors.append(f"{run.argv[0]}: no end within {run.timeout} s")
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        self.deed.seconds += asyncio.get_running_loop().time() - began

    def _file(self, payload: Payload) -> Path:
        self._files += 1
        path = self._session.directory / f"{self.scenario.name}-{self._files}.payload"
        path.write_bytes(payload.data)
        return path

    # -- loss

    def _lose(self, *, on: bool) -> None:
        """Drop the data segments of this scenario where the sinks are, behind the gateway."""
        tables = "iptables" if self.scenario.family == 4 else "ip6tables"  # noqa: PLR2004 - version
        rule = ["INPUT", "-p", "tcp", "--dport", str(self.port)]
        rule += ["-m", "length", "--length", f"{DATA_SEGMENT[self.scenario.family]}:65535"]
        topology = self._session.topology
        argv = [tables, "-w", "-I" if on else "-D", *rule, "-j", "DROP"]
        command = enter(topology.layout.internet, topology.cgroup, argv)
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if on and done.returncode:  # off: the lab may be gone by then, and its rules with it
            raise LabError(f"{tables} cannot make packets get lost: {done.stderr.strip()}")


def _filled(word: str, names: Mapping[str, str]) -> str:
    for name, value in names.items():
        word = word.replace(f"{{{name}}}", value)
    return word


def _leaves(group: BaseExceptionGroup[LabError]) -> list[LabError]:
    found: list[LabError] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
