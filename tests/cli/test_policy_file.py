"""config check, digest, and the documentation of the policy file."""

import hashlib
import hmac
import json
import re
from pathlib import Path

import pytest

from dlp.config import load
from dlp.config.section import Section

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
        "version: 1\nsignatures: [./own.yaml]\napi: {}\nworkloads: {}\npolicies:\n"
        "  - name: a\n    match: {}\n"
        "    destinations: [{cidr: 10.0.0.0/8, action: deny}]\n"
        f"    exceptions: [{{digest: {'0' * 64}, until: 2027-01-01, reason: x}}]\n"
        "    rules: [{signatures: a, action: drop, threshold: {count: 1}}]\n"
    )
    load(file)

    documented = re.findall(
        r"^\| `([a-z_.\[\]]+)` \|.*\|.*\|", (ROOT / "docs/policy.md").read_text(), re.MULTILINE
    )
    assert asked == set(documented) - {"allow", "alert", "mirror", "drop"}
