"""Scenarios: who sends what, how it is cut, what must arrive, which verdict is due.

The schema of the YAML files and reading them; docs/lab.md tells of every key. Runs nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from payload import TemplateError, cut_offsets, render
from planted import KINDS, Planted, plant
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

DIRECTORY = Path(__file__).parent / "scenarios"
ATTACKS = Path(__file__).parent / "attacks"
ATTACKER = "at-"  # begins the names of workloads that one attack has for itself
BLOCKED_PATIENCE = 0.75  # seconds: at least one retransmission of what was dropped


class ScenarioError(Exception):
    """A scenario file is wrong; the message names file, scenario and key."""


class Model(BaseModel):
    """Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Secret(Model):
    """A value to plant: `card: visa`, or with `may_leave` where the policy lets it out.

    `must_arrive`: an attack sends it too, and it is nothing that anybody should stop.
    """

    kind: str
    may_leave: bool = False
    must_arrive: bool = False

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _known(self) -> Secret:
        if self.kind not in KINDS:
            raise ValueError(f"no kind {self.kind!r}; there are {', '.join(KINDS)}")
        return self


class Send(Model):
    """Bytes from the lab's own sender, each part with one call to the socket."""

    payload: str
    cut: list[int | str] | str = []
    pace: float = 0.0  # seconds between parts
    sendfile: bool = False


class Run(Model):
    """A program in the workload.

    In `argv`, `{NAME}` is the file of a payload and `{NAME.text}` its text; `{address}`, `{port}`
    and `{host}` (in brackets for IPv6) are the sink's.
    """

    argv: list[str]
    payloads: dict[str, str] = {}
    timeout: float = 3.0


class Attack(Model):
    """A script of attacks/ in the workload, with the capabilities of an attacker.

    `docker`: root with those of a container that asks for none; `net_admin`: that one in
    addition; `none`: nobody. `background`: go on to the next step meanwhile. `host_files`: the
    script sees the gateway's mounts, as where a container was given the host's directories.
    """

    script: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    args: dict[str, Any] = {}
    caps: Literal["none", "docker", "net_admin"] = "none"
    timeout: float = 15.0
    background: bool = False
    host_files: bool = False

    @model_validator(mode="after")
    def _there(self) -> Attack:
        if not (ATTACKS / f"{self.script}.py").exists():
            raise ValueError(f"no script {self.script}.py in attacks/")
        return self


class Honest(Model):
    """Clean traffic of the same workload: it must arrive exactly, and in good time.

    It runs beside the attack; `after`: it begins when that is over, as where the attacker takes
    its own network down.
    """

    sink: Literal["tcp", "udp"] = "tcp"
    family: Literal[4, 6] = 4
    payload: str = "${text 6k}"
    after: bool = False


class Step(Model):
    """Exactly one thing to do.

    `lose`: for so many seconds the sink's machine drops data segments of this scenario.
    `policy`: changes to the policy file, by policy name; null puts the original back; a string
    replaces the file's text. `renew_device`: the host gives the workload a new device, without
    addresses. `join`: the host lays a veth between it and that workload, which forwards then.
    """

    send: Send | None = None
    run: Run | None = None
    attack: Attack | None = None
    wait: float | None = None
    lose: float | None = None
    drain: float | None = None
    policy: dict[str, dict[str, Any]] | str | None = None
    gateway: Literal["kill", "start", "stop", "reload", "reload-refused"] | None = None
    renew_device: Literal[True] | None = None
    join: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Step:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"expected one thing to do, found {sorted(self.model_fields_set)}")
        return self


class Due(Model):
    """A verdict that must be there. `fields` of the verdict: text as a glob, else equal."""

    signature: str
    fields: dict[str, Any] = {}
    times: int | None = None  # at least; default: one for each connection

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        own = {key: value[key] for key in ("signature", "times") if key in value}
        rest = {key: item for key, item in value.items() if key not in own}
        return own | {"fields": rest}


class Expect(Model):
    """What must come of it. Another verdict than those listed is a failure; null: any will do."""

    arrives: Literal["all", "none", "part"] | int  # a number: complete HTTP requests
    verdicts: list[Due] | None = []
    flow: dict[str, Any] = {}  # fields of a flow of this scenario
    counters: dict[str, int] = {}  # by reason, at least so many packets more
    incidents: list[dict[str, Any]] = []  # fields of incidents of the workload: one each, or more
    # Where classifiers are attached by clsact, if other than these: see `--attach`.
    clsact_counters: dict[str, int] | None = None
    clsact_incidents: list[dict[str, Any]] | None = None
    # Without a gateway: who gets the secret complete. The program behind the sink, the wire to
    # it (a colluding machine there), or the bridge that the containers share.
    receiver: Literal["sink", "wire", "bridge"] = "sink"

    @property
    def gives_a_reason(self) -> bool:
        """Whether it says by what an attack is stopped: a verdict, a counter or an incident."""
        return bool(self.verdicts or self.counters or self.incidents)

    def by_clsact(self) -> Expect:
        """The same where classifiers are attached by clsact."""
        counters, incidents = self.clsact_counters, self.clsact_incidents
        changes: dict[str, Any] = {} if counters is None else {"counters": counters}
        changes |= {} if incidents is None else {"incidents": incidents}
        return self.model_copy(update=changes)


class Phase(enum.StrEnum):
    """When a scenario runs: begun before the gateway, beside others, alone, or last and alone."""

    BEFORE = "before"
    TOGETHER = "together"
    ALONE = "alone"
    LIFECYCLE = "lifecycle"


Kind = Literal[
    "tcp", "http", "tls", "fastopen", "udp", "dns", "icmp", "raw", "udplite", "mptcp", "protocol"
]


class Scenario(Model):
    """One row of the demo. One with an attack has a workload of its own."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    title: str
    workload: str = "web"  # web/sandbox: in a cgroup below
    sink: Kind = "tcp"
    protocol: int = 253  # IP protocol of a sink of that kind
    honest: Honest = Honest()  # beside an attack
    server: str = "sink"
    family: Literal[4, 6] = 4
    times: int = 1  # connections, with fresh secrets each
    phase: Phase = Phase.TOGETHER
    fragments: bool = False  # IP fragments: all but the first carry no ports
    secrets: dict[str, Secret] = {}
    steps: list[Step]
    expect: Expect
    patience: float = BLOCKED_PATIENCE

    @model_validator(mode="before")
    @classmethod
    def _own_workload(cls, value: Any) -> Any:
        if isinstance(value, dict) and "workload" not in value:
            steps = value.get("steps") or []
            if any(isinstance(step, dict) and "attack" in step for step in steps):
                return value | {"workload": f"{ATTACKER}{value.get('name')}"}
        return value

    @model_validator(mode="after")
    def _stopped_by_something(self) -> Scenario:
        if self.attacks and not self.expect.gives_a_reason:
            raise ValueError(
                "an attack's row says by what it is stopped: expect counters, verdicts or incidents"
            )
        return self

    @property
    def attacks(self) -> list[Attack]:
        """The attacks among its steps."""
        return [step.attack for step in self.steps if step.attack is not None]

    @property
    def forbidden(self) -> set[str]:
        """Names of the secrets that must not leave."""
        return {
            name
            for name, secret in self.secrets.items()
            if not secret.may_leave and not secret.must_arrive
        }

    @property
    def own_workload(self) -> bool:
        """Whether the workload is made for this scenario alone."""
        return self.workload.startswith(ATTACKER)

    def fits(self, glob: str) -> bool:
        """Whether the name fits a glob."""
        return fnmatch(self.name, glob)

    def planted(self, number: int = 0) -> dict[str, Planted]:
        """The secrets of a connection, by name."""
        return {
            name: Planted(
                scenario=self.name,
                name=name,
                kind=secret.kind,
                value=plant(secret.kind, f"{self.name}/{name}/{number}"),
                may_leave=secret.may_leave or secret.must_arrive,
            )
            for name, secret in self.secrets.items()
        }

    def values(self, number: int = 0) -> dict[str, bytes]:
        """As `planted`, the bytes only."""
        return {name: secret.value for name, secret in self.planted(number).items()}


def all_planted(scenarios: Sequence[Scenario]) -> list[Planted]:
    """Every secret of every connection."""
    return [
        secret
        for scenario in scenarios
        for number in range(scenario.times)
        for secret in scenario.planted(number).values()
    ]


def load(directory: Path = DIRECTORY) -> list[Scenario]:
    """All scenarios of a directory, in the order of files and of entries.

    Raises:
        ScenarioError: a file is not YAML, an entry not a scenario, a name is taken.
    """
    found: dict[str, Scenario] = {}
    for file in sorted(directory.glob("*.yaml")):
        for scenario in _read(file):
            if scenario.name in found:
                raise ScenarioError(f"{file.name}: the name {scenario.name} is taken")
            found[scenario.name] = scenario
    return list(found.values())


def _read(file: Path) -> list[Scenario]:
    try:
        entries = yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        raise ScenarioError(f"{file.name}: {error}") from error
    scenarios = []
    for entry in entries:
        name = entry.get("name", "?") if isinstance(entry, dict) else "?"
        try:
            scenario = Scenario.model_validate(entry)
            _try_payloads(scenario)
        except (ValidationError, TemplateError) as error:
            raise ScenarioError(f"{file.name}: {name}: {error}") from error
        scenarios.append(scenario)
    return scenarios


def _try_payloads(scenario: Scenario) -> None:
    """Find mistakes in templates before anything runs; bulk filler is not made for that."""
    for step in scenario.steps:
        sends = [(step.send.payload, step.send.cut)] if step.send else []
        sends += [(template, []) for template in step.run.payloads.values()] if step.run else []
        for template, cut in sends:
            if "M}" not in template:
                cut_offsets(cut, render(template, scenario.values()))
