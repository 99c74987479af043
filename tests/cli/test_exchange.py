"""Commands that import and export signatures."""

import json
import tomllib

import pytest

RULES = r"""
[[rules]]
id = "acme-token"
description = "A token."
regex = '''\b(acme_[a-z0-9]{32})(?:[\x60'"\s;]|\\[nr]|$)'''
entropy = 3.0
keywords = ["acme_"]

[[rules]]
id = "files"
path = '''\.p12$'''
"""


@pytest.fixture
def rules(tmp_path):
    file = tmp_path / "rules.toml"
    file.write_text(RULES)
    return file


def test_import_to_a_file(dlp, rules, tmp_path):
    """The pack is named as its file and can be checked and tested; the report goes beside it."""
    out = tmp_path / "leaks.yaml"
    result = dlp("signatures", "import", "gitleaks", rules, "--out", out)

    assert (0, "") == (result.code, result.out)
    assert "files: not carried over: it has no regex" in result.err
    assert "2 rules: 1 carried over as drafts, 1 of them decided in the kernel; 1 not" in result.err
    assert dlp("signatures", "check", out).out.startswith("OK: 1 signatures, 6 samples")
    assert 0 == dlp("signatures", "test", out, "--engine", "model").code
    assert "draft: true" in out.read_text()


def test_import_to_standard_output(dlp, rules):
    """Without a file the pack is printed, and nothing else with it."""
    result = dlp("signatures", "import", "gitleaks", rules)

    assert "pack: gitleaks\n" in result.out
    assert "not carried over" not in result.out


def test_import_as_json(dlp, rules):
    """One object with every rule."""
    found = json.loads(dlp("signatures", "import", "gitleaks", rules, "--json").out)

    assert (2, 1) == (found["rules"], found["carried"])
    assert ["acme-token", "files"] == [one["rule"] for one in found["outcomes"]]
    assert "entropy 3: not asked for" in found["outcomes"][0]["notes"]


def test_import_of_what_is_none(dlp, tmp_path):
    """An error with the file, and nothing is written."""
    (tmp_path / "bad.toml").write_text("nothing = 1")
    out = tmp_path / "leaks.yaml"
    result = dlp("signatures", "import", "gitleaks", tmp_path / "bad.toml", "--out", out)

    assert 2 == result.code
    assert result.err.startswith(f"dlp: error: {tmp_path}/bad.toml")
    assert not out.exists()


def test_export(dlp, directory, tmp_path):
    """Each format says what the pack says."""
    own = directory / "own.yaml"
    found = json.loads(dlp("signatures", "export", own, "--format", "json").out)
    rules = tomllib.loads(dlp("signatures", "export", own, "--format", "gitleaks").out)

    assert "own.key.alpha" == found[0]["signatures"][0]["id"]
    assert "ALPHAKEY-[0-9]{6}" == rules["rules"][0]["regex"]
    assert "pack: own" in dlp("signatures", "export", own).out
    assert 0 == dlp("signatures", "export", own, "--out", tmp_path / "there").code
    assert "OK" in dlp("signatures", "check", tmp_path / "there/own.yaml").out


def test_export_of_what_is_looser(dlp, tmp_path):
    """It is told beside the rules."""
    result = dlp("signatures", "export", "pci", "--format", "gitleaks", "-o", tmp_path / "p.toml")

    assert "pci.card.visa: looser: validator luhn" in result.err
    assert len(tomllib.loads((tmp_path / "p.toml").read_text())["rules"]) > 5


@pytest.mark.parametrize("arguments", [("--format", "xml"), ()])
def test_export_that_cannot_be(dlp, arguments):
    """Another format; several YAML files on standard output."""
    result = dlp("signatures", "export", *arguments)

    assert 2 == result.code
    assert result.err.startswith("dlp: error: ")
