"""config check, digest, and the documentation of the policy file."""

import hashlib
import hmac
import json
import re
from pathlib import Path

import pytest

from dlp.config import load
from dlp.config.section import Section
from dlp.datapath.abi import Reason
from dlp.model import Action

ROOT = Path(__file__).resolve().parents[2]


def test_check(dlp, directory):
    """A good file is told in one line."""
    result = dlp("config", "check", directory / "dlp.yaml")

    assert (0, "") == (result.code, result.err)
    assert re.fullmatch(
        r"OK: 1 policy, 1 signature \(decided [01] by the kernel, [01] by the inspector\)\n",
        result.out,
    )


def test_check_json(dlp, directory):
    """The same as an object."""
    found = json.loads(dlp("config", "check", directory / "dlp.yaml", "--json").out)

    assert found["ok"]
    assert (["default"], 1, []) == (found["policies"], found["signatures"], found["problems"])


def test_check_warns(dlp, directory):
    """What is allowed but unwise, and exceptions that have ended, are warned of."""
    file = directory / "dlp.yaml"
    text = file.read_text().replace(
        "  - name: default\n",
        "  - name: default\n"
        f"    exceptions: [{{digest: {'0' * 64}, until: 2020-01-01, reason: old}}]\n",
    )
    file.write_text(text + 'api: {tcp: "0.0.0.0:1"}\n')
    result = dlp("config", "check", file)

    assert 0 == result.code
    assert "dlp: warning: api.tcp listens beyond this host" in result.err
    assert "dlp: warning: an exception of policy default ended on 2020-01-01: old" in result.err


def test_show(dlp, directory):
    """Every setting has a row, worded as in the file, with a column for each policy."""
    file = directory / "dlp.yaml"
    file.write_text(
        file.read_text()
        + "  - name: second\n    rules: []\n    kill: true\n    hold_timeout_ms: 100\n"
        + "    escalate: {verdicts: 5, window: 120s, action: quarantine}\n"
        + "workloads: {gate: [/docker]}\n"
    )
    result = dlp("config", "show", file)

    assert (0, "") == (result.code, result.err)
    rows = [re.split(r"  +", line.strip()) for line in result.out.splitlines() if line.strip()]
    assert ["workloads.gate", "/docker"] in rows
    assert ["KEY", "default", "second", "(strictest)"] in rows
    assert ["kill", "false", "true", "true"] in rows
    assert ["hold_timeout_ms", "500", "100", "100"] in rows
    told = "verdicts 5, window 2m, action quarantine"
    assert ["escalate", "-", told, told] in rows
    down = "mirror open, hold closed"
    assert ["on_inspector_down", down, down, down] in rows


def test_show_can_be_written_back(dlp, directory):
    """What is shown as JSON says the same when it is made a policy file again."""
    file = directory / "dlp.yaml"
    keys = (
        "    mode: monitor\n    unowned: scan\n    fragments: drop\n    open_end: drop\n"
        "    on_inspector_down: {mirror: closed, hold: open}\n    kill: true\n"
        "    escalate: {verdicts: 5, window: 90s, action: quarantine}\n"
    )
    text = file.read_text()
    file.write_text(text + keys + "workloads: {new_workloads: open, attach: clsact, gate: [/a]}\n")
    shown = json.loads(dlp("config", "show", file, "--json").out)
    before = load(file)

    settings = {key: value for key, value in shown["policies"][0].items() if value is not None}
    assert "default" == settings.pop("name")
    lines = "".join(f"    {key}: {json.dumps(value)}\n" for key, value in settings.items())
    file.write_text(text + lines + f"workloads: {json.dumps(shown['workloads'])}\n")
    after = load(file)
    assert (before.policies, before.workloads) == (after.policies, after.workloads)


def test_every_problem_is_a_line(dlp, directory):
    """All problems are told, each in a line with file, line and key."""
    file = directory / "dlp.yaml"
    file.write_text(file.read_text().replace("drop", "dorp") + "cgroup_level: x\n")
    result = dlp("config", "check", file)

    assert 2 == result.code
    key = "policies[0].rules[0].action"
    first, second = result.err.splitlines()
    assert first.startswith(f"dlp: error: {file}:6: {key}: found 'dorp', expected allow,")
    assert first.endswith("(did you mean 'drop'?)")
    assert second.startswith(f"dlp: error: {file}:7: cgroup_level: ")
    assert not result.out


def test_problems_json(dlp, directory):
    """The same as an object, with the same exit code."""
    file = directory / "dlp.yaml"
    file.write_text(file.read_text().replace("drop", "dorp"))
    result = dlp("config", "check", file, "--json")

    found = json.loads(result.out)
    assert (2, False) == (result.code, found["ok"])
    assert [(str(file), 6)] == [(entry["file"], entry["line"]) for entry in found["problems"]]


@pytest.mark.parametrize(
    ("change", "code", "part"),
    [
        (("own.*", "pwn.*"), 2, "no signature matches 'pwn.*' (did you mean 'own.*'?)"),
        (("./own.yaml", "nothing"), 2, "no signature pack 'nothing'"),
        (("./own.yaml", "./gone.yaml"), 2, "no pack at this path"),
    ],
)
def test_packs_are_checked(dlp, directory, change, code, part):
    """Errors that show only with the packs at hand are found too."""
    file = directory / "dlp.yaml"
    file.write_text(file.read_text().replace(*change))
    result = dlp("config", "check", file)

    assert code == result.code
    assert part in result.err


def test_missing_file(dlp, tmp_path):
    """A file that is not there is an error of the configuration."""
    result = dlp("config", "check", tmp_path / "none.yaml")

    assert 2 == result.code
    assert "there is no such file" in result.err


@pytest.mark.parametrize(
    "stdin", [b"ALPHAKEY-123456", b"ALPHAKEY-123456\n", b"ALPHAKEY-123456\r\n"]
)
def test_digest(dlp, directory, stdin):
    """HMAC-SHA-256 with the key of the state directory; a line's end is no part of the value."""
    file = directory / "dlp.yaml"
    result = dlp("digest", "--signature", "own.key.alpha", "--config", file, stdin=stdin)

    key = (directory / "state" / "hmac.key").read_bytes()
    expected = hmac.digest(key, b"ALPHAKEY-123456", hashlib.sha256).hex()
    assert (0, f"{expected}\n") == (result.code, result.out)


def test_digest_errors(dlp, directory):
    """An unknown signature and an empty value are errors of usage; no key is made for them."""
    file = directory / "dlp.yaml"

    unknown = dlp("digest", "--signature", "own.key.beta", "--config", file, stdin=b"x")
    empty = dlp("digest", "--signature", "own.key.alpha", "--config", file)
    assert (2, 2) == (unknown.code, empty.code)
    assert "dlp signatures list" in unknown.err
    assert "no value" in empty.err
    assert not (directory / "state").exists()


def test_every_key_is_documented(directory, monkeypatch):
    """Each key that the loader asks for has a row in docs/policy.md, and no other."""
    asked: set[str] = set()
    get = Section.get

    def recorded(section: Section, name: str):
        key = f"{section.key}.{name}" if section.key else name
        asked.add(re.sub(r"\[\d+\]", "[]", key))
        return get(section, name)

    monkeypatch.setattr(Section, "get", recorded)
    file = directory / "dlp.yaml"
    file.write_text(
        "version: 1\nsignatures: [./own.yaml]\napi: {}\nworkloads: {}\nreleases: {}\npolicies:\n"
        "  - name: a\n    match: {}\n    on_inspector_down: {}\n"
        "    escalate: {verdicts: 1, window: 1m, action: quarantine}\n"
        "    destinations: [{cidr: 10.0.0.0/8, action: deny}]\n"
        f"    exceptions: [{{digest: {'0' * 64}, until: 2027-01-01, reason: x}}]\n"
        "    rules: [{signatures: a, select: {tag: x}, action: drop, threshold: {count: 1}}]\n"
    )
    load(file)

    documented = re.findall(
        r"^\| `([a-z_.\[\]]+)` \|.*\|.*\|", (ROOT / "docs/policy.md").read_text(), re.MULTILINE
    )
    assert asked == set(documented) - {action.label for action in Action}


def test_every_setting_is_shown(dlp, directory):
    """`config show` has each key of docs/policy.md's table of settings."""
    text = (ROOT / "docs/policy.md").read_text()
    table = text[text.index("\n## Settings") : text.index("\n## Destinations")]
    named = set(re.findall(r"^\| `policies\[\]\.([a-z_]+)` \|", table, re.MULTILINE))
    shown = json.loads(dlp("config", "show", directory / "dlp.yaml", "--json").out)

    assert named | {"name", "mode"} == set(shown["policies"][0])


def test_counted_as_is_counted():
    """The reasons that the table of settings names are reasons of the kernel's."""
    text = (ROOT / "docs/policy.md").read_text()
    table = text[text.index("\n## Settings") : text.index("\n## Destinations")]
    rows = [line for line in table.splitlines() if line.startswith("| `policies[].")]
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[-2])}

    assert len(named) > 15
    assert set() == named - {reason.label for reason in Reason}
