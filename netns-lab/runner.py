"""Runs scenarios against a gateway and judges them: begin, phases, search for leaks, end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from actor import FLOWS, Actor
from gateway import Gateway
from honest import PORT_DISTANCE, sink_name
from judge import (
    DATAGRAMS,
    Outcome,
    arrival_problems,
    attack_problems,
    counter_problems,
    flow_problems,
    summary,
    verdict_problems,
)
from observer import TAPPED, Observer, portless
from scenario import Phase, Scenario, all_planted
from session import Session, Sink
from topology import LabError
from wire import FIRST_PORT as FIRST_ATTACK_PORT

FIRST_PORT = 10_000
TOGETHER = 6  # scenarios at a time: they mostly wait
SETTLE = 2.5  # seconds for what is due to come
CLSACT = "clsact"
QUIET = 0.15  # seconds in which nothing undue may come
POLL = 0.05


@dataclass(slots=True, kw_only=True)
class Result:
    """A row of the table. `problems` is empty where all is as expected."""

    scenario: Scenario
    problems: list[str] = field(default_factory=list)
    outcome: Outcome = field(default_factory=Outcome)
    seconds: float = 0.0
    sending: float = 0.0
    leaked: int = 0

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def impossible(self) -> str:
        """Why its attack cannot be tried on this machine."""
        return self.outcome.impossible

    @property
    def gigabits(self) -> float | None:
        """Throughput, where the scenario is about it."""
        total = sum(map(len, self.outcome.sent))
        if self.scenario.phase is not Phase.ALONE or not self.sending:
            return None
        return total * 8 / self.sending / 1e9

    @property
    def verdicts(self) -> str:
        return summary(self.outcome.verdicts) or "none"


class Runner:
    """A run of scenarios; without a gateway all must get through.

    `done` is told of each result, `say` of what goes on besides.
    """

    def __init__(
        self,
        session: Session,
        scenarios: Sequence[Scenario],
        *,
        with_gateway: bool = True,
        attach: str = "auto",
        flows: int = FLOWS,
        done: Callable[[Result], None] = lambda _: None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._session = session
        self._scenarios = scenarios
        self._with_gateway = with_gateway
        self._attach = attach
        self._flows = flows
        self._done = done
        self._say = say
        self.gateway: Gateway | None = None
        self._actors: list[Actor] = []
        self._results: dict[str, Result] = {}
        self._began = time.time()
        self._observer = self._observing(None)
        # Verdicts on ICMP and unknown protocols carry no port that would tell whose they are.
        self._portless = asyncio.Lock()
        self.ready_seconds: float | None = None

    async def run(self) -> list[Result]:
        """Run all; results in the order of the scenarios.

        Raises:
            LabError: the lab or the gateway failed, not a scenario.
        """
        if self._with_gateway:
            await self._session.own_mounts()
            self.gateway = Gateway(self._session, attach=self._attach)
        self._observer = self._observing(self.gateway)
        self._actors = [
            Actor(
                scenario,
                self._session,
                self.gateway,
                port=(FIRST_ATTACK_PORT if scenario.attacks else FIRST_PORT) + number,
                flows=self._flows,
            )
            for number, scenario in enumerate(self._scenarios)
        ]
        await self._session.start_sinks(sinks_for(self._actors))
        await self._around_start()
        await self._together()
        for actor in self._of(Phase.ALONE):
            await self._one(actor)
        for actor in self._of(Phase.LIFECYCLE):
            await self._one(actor)
            await self._restore()
        results = [self._results[scenario.name] for scenario in self._scenarios]
        await self._judge_again(results)
        self._count_leaks(results)
        return results

    def _observing(self, gateway: Gateway | None) -> Observer:
        secrets = all_planted(self._scenarios)
        return Observer(self._session, gateway, began=self._began, secrets=secrets)

    async def _around_start(self) -> None:
        """Start the gateway while the scenarios that were there first wait for it."""
        actors = self._of(Phase.BEFORE)
        async with asyncio.TaskGroup() as early:
            for actor in actors:
                early.create_task(self._one(actor))
            for actor in actors:
                await actor.at_gateway_start.wait()
            if self.gateway is not None:
                self._say("starting the gateway")
                self.ready_seconds = await self.gateway.start()
                self._say(f"the gateway was ready after {self.ready_seconds:.1f} s")
            for actor in actors:
                actor.gateway_started.set()

    async def _together(self) -> None:
        slots = asyncio.Semaphore(TOGETHER)

        async def in_slot(actor: Actor) -> None:
            async with slots:
                await self._one(actor)

        async with asyncio.TaskGroup() as group:
            for actor in self._of(Phase.TOGETHER):
                group.create_task(in_slot(actor))

    def _of(self, phase: Phase) -> list[Actor]:
        return [actor for actor in self._actors if actor.scenario.phase is phase]

    async def finish(self) -> str:
        """End the gateway and remove what it made, whatever happened before; what went wrong."""
        try:
            if self.gateway is not None:
                await self.gateway.close()
        except LabError as error:
            return str(error)
        return ""

    # -- one scenario

    async def _one(self, actor: Actor) -> None:
        async with self._portless if portless(actor.scenario) else contextlib.nullcontext():
            result = await self._act(actor)
        self._results[actor.scenario.name] = result
        self._done(result)

    async def _act(self, actor: Actor) -> Result:
        began, started = time.monotonic(), time.time()
        result = Result(scenario=actor.scenario)
        before = (
            await self._observer.counters(actor) if actor.scenario.phase is not Phase.BEFORE else {}
        )
        try:
            await actor.run()
            await self._settle(actor, result, started, before)
        except LabError as error:
            result.problems.append(str(error))
        result.seconds = time.monotonic() - began
        result.sending = actor.deed.seconds
        return result

    async def _settle(
        self, actor: Actor, result: Result, started: float, before: dict[str, int]
    ) -> None:
        """Look until all is as expected, at most for a while; then once more."""
        end = time.monotonic() + SETTLE
        while True:
            result.outcome = await self._observer.outcome(actor, started, before)
            result.problems = self._problems(actor.scenario, result.outcome)
            if result.ok or time.monotonic() > end:
                break
            await asyncio.sleep(POLL)
        if result.ok and not actor.scenario.expect.verdicts:
            await asyncio.sleep(QUIET)
            result.outcome = await self._observer.outcome(actor, started, before)
            result.problems = self._problems(actor.scenario, result.outcome)

    def _problems(self, scenario: Scenario, outcome: Outcome) -> list[str]:
        expect = scenario.expect
        if scenario.attacks:
            return self._attack_problems(scenario, outcome)
        if self.gateway is None:
            requests = outcome.requests if isinstance(expect.arrives, int) else "all"
            expect = expect.model_copy(update={"arrives": requests})
            return arrival_problems(expect, outcome, datagrams=scenario.sink in DATAGRAMS)
        return [
            *arrival_problems(expect, outcome, datagrams=scenario.sink in DATAGRAMS),
            *verdict_problems(expect, outcome, connections=scenario.times),
            *flow_problems(expect, outcome),
            *counter_problems(expect, outcome),
        ]

    def _attack_problems(self, scenario: Scenario, outcome: Outcome) -> list[str]:
        if outcome.impossible:
            return []
        if self._attach == CLSACT:
            scenario = scenario.model_copy(update={"expect": scenario.expect.by_clsact()})
        problems = attack_problems(scenario, outcome, with_gateway=self.gateway is not None)
        if self.gateway is None:
            return problems
        expect = scenario.expect
        if "verdicts" in expect.model_fields_set:
            problems += verdict_problems(expect, outcome, connections=scenario.times)
        return [
            *problems,
            *flow_problems(expect, outcome),
            *counter_problems(expect, outcome),
        ]

    async def _restore(self) -> None:
        """Bring gateway and policy back to what they were, for the next scenario."""
        gateway = self.gateway
        if gateway is None:
            return
        changed = gateway.changed
        gateway.write_policy()
        if not gateway.running:
            await gateway.start()
        elif changed:
            await gateway.reload()

    # -- all of them, at the end

    async def _judge_again(self, results: list[Result]) -> None:
        """What came late counts too: a verdict that nobody expected, bytes that arrived."""
        for actor, result in zip(self._actors, results, strict=True):
            if not result.ok or portless(result.scenario):
                continue
            late = await self._observer.outcome(actor, self._began, {})
            late.counted, late.flows = result.outcome.counted, result.outcome.flows
            result.outcome = late
            result.problems = [f"later: {text}" for text in self._problems(result.scenario, late)]

    def _count_leaks(self, results: list[Result]) -> None:
        forbidden = [item for item in all_planted(self._scenarios) if not item.may_leave]
        by_name = {result.scenario.name: result for result in results}
        for leak in self._observer.leaks(forbidden):
            result = by_name[leak.secret.scenario]
            result.leaked += leak.bytes
            if self.gateway is not None:
                result.problems.append(f"a complete secret ({leak.secret.kind}) at {leak.sink}")
        for result in results:
            proves = result.leaked or result.impossible or not must_not_leave(result.scenario)
            if self.gateway is None and not proves:
                result.problems.append("nothing leaks without a gateway: it proves nothing")


def must_not_leave(scenario: Scenario) -> bool:
    """Whether the scenario plants something that the policy forbids."""
    return bool(scenario.forbidden)


def sinks_for(actors: Sequence[Actor]) -> list[Sink]:
    """A sink for each scenario that has one of its own, at the scenario's port.

    Another for the clean traffic beside an attack.
    """
    kinds = {"fastopen": "tcp"}
    sinks = [
        Sink(
            name=actor.scenario.name,
            kind=kinds.get(actor.scenario.sink, actor.scenario.sink),
            address=actor.address,
            port=actor.port,
            protocol=actor.scenario.protocol,
        )
        for actor in actors
        if actor.scenario.sink not in TAPPED
    ]
    honest = [
        Sink(
            name=sink_name(actor.scenario),
            kind=actor.scenario.honest.sink,
            address=actor.honest_address,
            port=actor.port + PORT_DISTANCE,
        )
        for actor in actors
        if actor.scenario.attacks
    ]
    return sinks + honest
