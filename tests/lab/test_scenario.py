import contextlib
from typing import get_args

import pytest
from planted import KINDS
from scenario import ATTACKS, Expect, Kind, Phase, ScenarioError, all_planted, load

SHORT = """
- name: {name}
  title: a title
  secrets: {{card: visa}}
  steps: [{{send: {{payload: "{payload}"}}}}]
  expect: {{arrives: none}}
"""


def write(directory, **fields):
    text = SHORT.format(**({"name": "short", "payload": "${card}"} | fields))
    (directory / "a.yaml").write_text(text)


def test_short_scenario(tmp_path):
    """Few keys suffice; a secret may be its kind alone."""

    write(tmp_path)
    [scenario] = load(tmp_path)

    assert ("short", "web", "tcp", 4) == (
        scenario.name,
        scenario.workload,
        scenario.sink,
        scenario.family,
    )
    assert not scenario.planted()["card"].may_leave


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"payload": "${cart}"}, "cart"),
        ({"name": "Short"}, "name"),
        ({"name": "short\n  color: red"}, "color"),
    ],
)
def test_mistakes_are_told(tmp_path, fields, told):
    """A wrong key, name or template names the file and the mistake before anything runs."""

    write(tmp_path, **fields)

    with pytest.raises(ScenarioError, match=rf"a\.yaml[\s\S]*{told}"):
        load(tmp_path)


def test_names_are_unique(tmp_path):
    """Two scenarios of one name are a mistake."""

    write(tmp_path)
    text = (tmp_path / "a.yaml").read_text()
    (tmp_path / "b.yaml").write_text(text)

    with pytest.raises(ScenarioError, match="taken"):
        load(tmp_path)


def test_the_demo_covers_what_it_promises():
    """At least 28 scenarios, over both IP versions, all sinks, all phases, all workloads."""

    scenarios = load()

    assert 28 <= len(scenarios)
    assert {4, 6} == {scenario.family for scenario in scenarios}
    assert {scenario.sink for scenario in scenarios} == set(get_args(Kind))
    assert set(Phase) == {scenario.phase for scenario in scenarios}
    assert {"web", "web/sandbox", "billing", "batch", "audit"} == {
        scenario.workload for scenario in scenarios if not scenario.own_workload
    }


def test_the_attacks_cover_what_they_promise():
    """Each script is used, with each set of capabilities; own workloads are nobody else's."""

    attacks = [scenario for scenario in load() if scenario.attacks]
    scripts = {path.stem for path in ATTACKS.glob("*.py") if "\ndef main(" in path.read_text()}
    workloads = [item.workload for item in attacks if item.own_workload]

    assert scripts == {attack.script for item in attacks for attack in item.attacks}
    assert {"none", "docker", "net_admin"} == {
        attack.caps for item in attacks for attack in item.attacks
    }
    assert len(workloads) == len(set(workloads))
    assert all(scenario.expect.arrives == "none" for scenario in attacks)
    assert all(scenario.forbidden for scenario in attacks)


def test_an_attack_needs_its_script(tmp_path):
    """A row that names no script is a mistake, found before anything runs."""

    text = SHORT.format(name="short", payload="${card}")
    text = text.replace("send: {payload", "attack: {script: nothing, args: {payload")
    (tmp_path / "a.yaml").write_text(text.replace('"}}]', '"}}}]'))

    with pytest.raises(ScenarioError, match=r"nothing\.py"):
        load(tmp_path)


REASONS = [
    ("counters: {bypass: 1}", True),
    ("incidents: [{kind: bypass}]", True),
    ('verdicts: [{signature: "*"}]', True),
    ("counters: {}", False),
    ("verdicts: null", False),
    ("receiver: wire", False),
]


@pytest.mark.parametrize(("reason", "enough"), REASONS)
def test_an_attack_says_what_stops_it(tmp_path, reason, enough):
    """A row of an attack that expects no verdict, counter or incident proves too little."""

    text = SHORT.format(name="short", payload="${card}")
    text = text.replace('send: {payload: "${card}"}', "attack: {script: urgent}")
    (tmp_path / "a.yaml").write_text(text.replace("arrives: none", f"arrives: none, {reason}"))

    with contextlib.nullcontext() if enough else pytest.raises(ScenarioError, match="stopped"):
        load(tmp_path)


def test_expectations_by_clsact():
    """What is given for clsact takes the place of what holds else, and of nothing besides."""

    usual = Expect(arrives="none", counters={"a": 1}, incidents=[{"kind": "tamper"}])
    other = usual.model_copy(update={"clsact_counters": {"b": 2}})

    assert usual == usual.by_clsact()
    assert ({"b": 2}, [{"kind": "tamper"}]) == (
        other.by_clsact().counters,
        other.by_clsact().incidents,
    )


def test_no_two_secrets_are_alike():
    """What is found at a sink tells which scenario it is from."""

    values = [secret.value for secret in all_planted(load())]

    assert len(values) == len(set(values))


def test_secrets_of_scenarios_that_expect_all_may_leave():
    """A scenario cannot expect everything to arrive and plant what must not."""

    for scenario in load():
        if scenario.expect.arrives == "all":
            assert all(secret.may_leave for secret in scenario.secrets.values())


def test_every_kind_is_used_or_known():
    """Kinds named in scenarios exist."""

    used = {secret.kind for scenario in load() for secret in scenario.secrets.values()}

    assert used <= set(KINDS)
