"""Commands on signatures."""

import json


def test_list(dlp, directory):
    """A named pack's signatures, in words and as an array."""
    out = dlp("signatures", "list", "--pack", directory / "own.yaml").out
    found = json.loads(dlp("signatures", "list", "--pack", directory / "own.yaml", "--json").out)

    assert "own.key.alpha" in out
    assert "Alpha key" in out
    assert ["own.key.alpha"] == [entry["id"] for entry in found]
    assert found[0]["decided"] in {"kernel", "inspector"}
    assert {
        "id",
        "name",
        "pack",
        "version",
        "severity",
        "confidence",
        "categories",
        "decided",
        "reason",
        "description",
        "tags",
        "controls",
        "threshold",
        "draft",
        "proximity",
    } == set(found[0])
    assert ("own", "high") == (found[0]["pack"], found[0]["confidence"])
    assert found[0]["categories"]


def test_list_of_a_policy_file(dlp, directory):
    """A policy file names its packs."""
    found = json.loads(dlp("signatures", "list", "--config", directory / "dlp.yaml", "--json").out)

    assert ["own.key.alpha"] == [entry["id"] for entry in found]


def test_shipped_packs(dlp):
    """Without arguments all packs that ship with the gateway are listed."""
    found = json.loads(dlp("signatures", "list", "--json").out)

    assert len(found) >= 30
    assert {"pci", "pii", "secrets"} <= {entry["id"].split(".")[0] for entry in found}


def test_explain(dlp, directory):
    """The explanation names the signature and where it is decided."""
    result = dlp("signatures", "explain", "own.key.alpha", "--pack", directory / "own.yaml")

    assert 0 == result.code
    assert "own.key.alpha" in result.out
    assert "kernel" in result.out


def test_explain_an_unknown_one(dlp, directory):
    """A DlpError, not a traceback."""
    result = dlp("signatures", "explain", "own.key.beta", "--pack", directory / "own.yaml")

    assert 0 != result.code
    assert result.err.startswith("dlp: error: ")


def test_check(dlp, directory):
    """A pack that compiles is told with the number of its samples."""
    result = dlp("signatures", "check", directory / "own.yaml")

    assert (0, "OK: 1 signatures, 2 samples agree\n") == (result.code, result.out)
    found = json.loads(dlp("signatures", "check", directory / "own.yaml", "--json").out)
    assert {"packs": ["own"], "signatures": 1, "samples": 2} == found


def test_check_a_bad_pack(dlp, directory):
    """A sample that disagrees is an error of the pack, with file and line."""
    file = directory / "own.yaml"
    file.write_text(file.read_text().replace('["ALPHAKEY-123456"]', '["ALPHAKEY-1"]'))
    result = dlp("signatures", "check", file)

    assert 2 == result.code
    assert result.err.startswith(f"dlp: error: {file}:")
