"""What came of a scenario: what its sink got, what the gateway says. Looks, judges nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from actor import Actor
from gateway import Gateway
from honest import sink_name
from judge import DATAGRAMS, Outcome
from leaks import Leak, LeakSearch
from planted import Planted
from recorder import Arrival
from scenario import Scenario
from session import Session
from views import FrameWatch
from wire import BRIDGE_WIRE, WIRE

TAPPED = {"icmp": ("tap:icmp", "tap:icmp6"), "raw": ("tap:proto-253",)}


class Observer:
    """Reads the sinks' records and the gateway's API. Times in seconds since the epoch."""

    def __init__(
        self,
        session: Session,
        gateway: Gateway | None,
        *,
        began: float,
        secrets: Iterable[Planted] = (),
    ) -> None:
        self._arrivals = session.arrivals()
        self._gateway = gateway
        self._began = began
        self._search = LeakSearch(secrets)
        self._wires = {
            "wire": FrameWatch(session.streams / WIRE, self._search),
            "bridge": FrameWatch(session.streams / BRIDGE_WIRE, self._search),
        }

    async def outcome(self, actor: Actor, started: float, before: dict[str, int]) -> Outcome:
        """What came of a scenario that began at `started`; `before`: the counters then."""
        scenario, deed = actor.scenario, actor.deed
        streams = self._streams(actor, started)
        outcome = Outcome(
            sent=deed.sent,
            arrived=arranged(streams, deed.ports, scenario),
            program=deed.program,
            requests=sum(stream.requests for stream in streams),
            impossible=deed.impossible,
        )
        if scenario.attacks:
            self._look_beside(actor, outcome)
        gateway = self._gateway
        if gateway is None or not gateway.running:
            return outcome
        workload = actor.machine.netns
        verdicts = await gateway.items("verdicts", workload=workload, since=str(self._began))
        outcome.verdicts = [item for item in verdicts if belongs(item, actor, started)]
        if scenario.expect.flow:
            flows = await gateway.items("flows", workload=workload)
            outcome.flows = [item for item in flows if belongs(item, actor, started)]
        if scenario.own_workload:
            outcome.incidents = await gateway.items("incidents", workload=workload)
        now = await self.counters(actor)
        outcome.counted = {reason: count - before.get(reason, 0) for reason, count in now.items()}
        return outcome

    async def counters(self, actor: Actor) -> dict[str, int]:
        """Packets by reason of a scenario's workload; empty while no gateway runs."""
        if self._gateway is None or not self._gateway.running:
            return {}
        stats = await self._gateway.get("stats")
        rows = stats["workloads"].get(actor.machine.netns, [])
        return {row["reason"]: row["packets"] for row in rows}

    def _look_beside(self, actor: Actor, outcome: Outcome) -> None:
        """What an attack brought through, wherever, and the clean traffic beside it."""
        scenario = actor.scenario
        at_sink: set[Planted] = set().union(*map(self._search.in_bytes, outcome.arrived))
        found = {"sink": at_sink} | {name: wire.update() for name, wire in self._wires.items()}
        outcome.complete = {
            place: {secret.name for secret in secrets if secret.scenario == scenario.name}
            for place, secrets in found.items()
        }
        outcome.honest_sent = actor.honest.sent
        outcome.honest_errors = actor.honest.errors
        outcome.honest_arrived = [item.read() for item in self._arrivals.of(sink_name(scenario))]

    def leaks(self, secrets: Iterable[Planted]) -> list[Leak]:
        """Each of the secrets that arrived complete anywhere, once."""
        forbidden = set(secrets)
        search = LeakSearch(forbidden)
        found: dict[bytes, Leak] = {}
        for stream in self._arrivals.all():
            for secret in search.in_file(stream.path):
                leak = Leak(secret=secret, sink=stream.sink, stream=stream.id)
                found.setdefault(secret.value, leak)
        for name, wire in self._wires.items():
            for secret in wire.update() & forbidden:
                found.setdefault(secret.value, Leak(secret=secret, sink=f"the {name}", stream=0))
        return list(found.values())

    def _streams(self, actor: Actor, started: float) -> list[Arrival]:
        scenario = actor.scenario
        names = TAPPED.get(scenario.sink, (scenario.name,))
        found = [stream for stream in self._arrivals.all() if stream.sink in names]
        if scenario.sink not in TAPPED:
            return found
        source = actor.machine.address(scenario.family)
        return [item for item in found if item.peer[0] == source and item.opened >= started]


def portless(scenario: Scenario) -> bool:
    """Whether its packets carry no ports, so that nothing else may send such ones meanwhile."""
    return scenario.sink in TAPPED or scenario.fragments


def arranged(streams: Sequence[Arrival], ports: Sequence[int], scenario: Scenario) -> list[bytes]:
    """What arrived: by connection in the order they were opened, else in the order of arrival."""
    if scenario.sink in DATAGRAMS or not any(ports):
        return [stream.read() for stream in streams]
    by_port = {stream.peer[1]: stream for stream in streams}
    return [by_port[port].read() if port in by_port else b"" for port in ports]


def belongs(item: dict[str, Any], actor: Actor, started: float) -> bool:
    """Whether a verdict or a flow is about this scenario's connections."""
    if actor.scenario.own_workload:
        return True
    port, protocol = item["destination"]["port"], item["protocol"].lower()
    if not portless(actor.scenario):
        return bool(port == actor.port)
    mine = protocol == "udp" if actor.scenario.fragments else protocol not in {"tcp", "udp"}
    return mine and port in {0, actor.port} and bool(item.get("time", started) >= started)
