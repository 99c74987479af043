"""Whether what came of a scenario is what was expected. Values in, values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any

from scenario import Due, Expect, Scenario

DATAGRAMS = frozenset({"udp", "dns", "icmp", "raw"})


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a scenario sent and what came of it.

    Attributes:
        sent: what each connection wrote, or each payload of a program.
        arrived: what the sink got on each connection, in the order of `sent`; of a program's
            connections everything together.
        requests: complete HTTP requests at the sink.
        verdicts: as the API gives them.
        flows: likewise.
        counted: packets by reason, since the scenario began.
        incidents: of the workload, of scenarios with a workload of their own.
        complete: names of the secrets that are complete at `sink`, on the `wire` to it, on
            the `bridge` of the containers.
        honest_sent, honest_arrived: of the clean traffic beside an attack: streams, or
            datagrams.
        impossible: why an attack cannot be tried here.
    """

    sent: list[bytes] = field(default_factory=list)
    arrived: list[bytes] = field(default_factory=list)
    program: bool = False
    requests: int = 0
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    flows: list[dict[str, Any]] = field(default_factory=list)
    counted: dict[str, int] = field(default_factory=dict)
    incidents: list[dict[str, Any]] = field(default_factory=list)
    complete: dict[str, set[str]] = field(default_factory=dict)
    honest_sent: list[bytes] = field(default_factory=list)
    honest_arrived: list[bytes] = field(default_factory=list)
    honest_errors: list[str] = field(default_factory=list)
    impossible: str = ""

    @property
    def complete_anywhere(self) -> set[str]:
        """Names of the secrets that are complete at some place."""
        return set().union(*self.complete.values())

    @property
    def honest_unhurt(self) -> bool:
        """Whether the clean traffic arrived exactly."""
        return bool(self.honest_sent) and sorted(self.honest_sent) == sorted(self.honest_arrived)

    @property
    def bytes_arrived(self) -> int:
        """At the sink, headers of a program's protocol included."""
        return sum(map(len, self.arrived))


def arrival_problems(expect: Expect, outcome: Outcome, *, datagrams: bool) -> list[str]:
    """How what arrived differs from what was expected; empty if it does not."""
    got = _arrived(outcome, datagrams=datagrams)
    wanted = expect.arrives
    if isinstance(wanted, int):
        if outcome.requests == wanted:
            return []
        return [f"{outcome.requests} requests arrived, expected {wanted}"]
    if got == wanted:
        return []
    words = {"all": "everything", "none": "nothing", "part": "a part", "other": "something else"}
    return [f"{words[got]} arrived, expected {words[wanted]}"]


def _arrived(outcome: Outcome, *, datagrams: bool) -> str:
    """`all`, `none`, `part` (of each connection a beginning, not everything), `other`."""
    if datagrams:
        # A program wraps its payload in a message of its own: dig sends a query.
        found = [
            any(message in got if outcome.program else message == got for got in outcome.arrived)
            for message in outcome.sent
        ]
        return "all" if all(found) else "part" if any(found) else "none"
    if not any(outcome.arrived):
        return "none" if any(outcome.sent) else "all"
    if outcome.program:
        together = b"".join(outcome.arrived)
        return "all" if all(_ends_or_has(together, part) for part in outcome.sent) else "part"
    if outcome.arrived == outcome.sent:
        return "all"
    begun = [
        len(got) < len(sent) and sent.startswith(got)
        for got, sent in zip(outcome.arrived, outcome.sent, strict=True)
    ]
    return "part" if all(begun) else "other"


def _ends_or_has(data: bytes, part: bytes) -> bool:
    return data.endswith(part) or part in data  # the first is quick for a body of 200 MB


def verdict_problems(expect: Expect, outcome: Outcome, *, connections: int) -> list[str]:
    """Verdicts that are due and missing, and such as nobody expected."""
    if expect.verdicts is None:
        return []
    problems = []
    expected = [False] * len(outcome.verdicts)
    for due in expect.verdicts:
        fits = [fits_due(due, verdict) for verdict in outcome.verdicts]
        expected = [before or now for before, now in zip(expected, fits, strict=True)]
        times = connections if due.times is None else due.times
        if sum(fits) < times:
            problems.append(f"{sum(fits)} verdicts as {describe(due)}, expected {times}")
    extra = [
        verdict for verdict, known in zip(outcome.verdicts, expected, strict=True) if not known
    ]
    problems += [f"unexpected verdict {shown(verdict)}" for verdict in extra]
    return problems


def flow_problems(expect: Expect, outcome: Outcome) -> list[str]:
    """Whether some flow of the scenario has the fields expected."""
    if not expect.flow or any(_fits(expect.flow, flow) for flow in outcome.flows):
        return []
    seen = [{key: flow.get(key) for key in expect.flow} for flow in outcome.flows]
    return [f"no flow with {expect.flow}; seen: {seen}"]


def counter_problems(expect: Expect, outcome: Outcome) -> list[str]:
    """Whether each counter rose by as much as expected, or more."""
    return [
        f"counter {reason} rose by {outcome.counted.get(reason, 0)}, expected {least}"
        for reason, least in expect.counters.items()
        if outcome.counted.get(reason, 0) < least
    ]


def attack_problems(scenario: Scenario, outcome: Outcome, *, with_gateway: bool) -> list[str]:
    """How what came of an attack differs from what was expected.

    With a gateway nothing forbidden may be complete anywhere. Without one everything must be, at
    the receiver of the row: else the attack proves nothing.
    """
    must = {name for name, secret in scenario.secrets.items() if secret.must_arrive}
    forbidden = scenario.forbidden
    problems = []
    if not outcome.honest_unhurt:
        sent, got = (sum(map(len, x)) for x in (outcome.honest_sent, outcome.honest_arrived))
        why = ", ".join(outcome.honest_errors)
        problems.append(f"honest traffic: {got} of {sent} bytes arrived {why}".rstrip())
    if missing := must - outcome.complete.get("sink", set()):
        problems.append(f"{', '.join(sorted(missing))} did not arrive, and should have")
    if with_gateway:
        for place, names in outcome.complete.items():
            if leaked := names & forbidden:
                problems.append(f"complete at the {place}: {', '.join(sorted(leaked))}")
        problems += incident_problems(scenario.expect, outcome)
    elif missing := forbidden - outcome.complete.get(scenario.expect.receiver, set()):
        problems.append(
            f"{', '.join(sorted(missing))} not complete at the {scenario.expect.receiver}"
            " without a gateway: it proves nothing"
        )
    return problems


def incident_problems(expect: Expect, outcome: Outcome) -> list[str]:
    """Incidents that are due and missing."""
    return [
        f"no incident with {due}"
        for due in expect.incidents
        if not any(_fits(due, incident) for incident in outcome.incidents)
    ]


def fits_due(due: Due, verdict: Mapping[str, Any]) -> bool:
    """Whether a verdict is the one that is due."""
    return _fits({"signature": due.signature, **due.fields}, verdict)


def _fits(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    for key, value in wanted.items():
        if isinstance(value, str):
            if not fnmatch(str(found.get(key, "")), value):
                return False
        elif found.get(key) != value:
            return False
    return True


def describe(due: Due) -> str:
    """A verdict that is due, in short."""
    return " ".join([due.signature, *(f"{key}={value}" for key, value in due.fields.items())])


def shown(verdict: Mapping[str, Any]) -> str:
    """A verdict in short; what it shows is masked by the gateway already."""
    enforced = "" if verdict.get("enforced") else " (not enforced)"
    what = verdict.get("signature") or verdict.get("kind")
    return f"{verdict.get('action')} {what}{enforced}"


def summary(verdicts: Sequence[Mapping[str, Any]]) -> str:
    """All verdicts of a scenario in a cell of the table."""
    counts: dict[str, int] = {}
    for verdict in verdicts:
        counts[shown(verdict)] = counts.get(shown(verdict), 0) + 1
    return ", ".join(text if count == 1 else f"{count} x {text}" for text, count in counts.items())
