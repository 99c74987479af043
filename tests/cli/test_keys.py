"""Keys and trusts from the command line."""

import json
import stat

import pytest


@pytest.fixture
def run(dlp, tmp_path, monkeypatch):
    """Run a command in a directory of its own; it must go well unless told otherwise."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments, code=0):
        result = dlp(*arguments)
        assert code == result.code, result.err
        return result

    return call


@pytest.fixture
def pairs(run):
    for name in ("root", "alice", "bob"):
        run("keys", "create", name)


def ids(run, *names):
    shown = json.loads(run("keys", "show", *(f"{name}.pub" for name in names), "--json").out)
    return [one["id"] for one in shown]


def test_create(run, tmp_path):
    """A pair in two files; both halves have one id, and a key is never written over."""
    made = run("keys", "create", "alice").out.split()[0]

    assert 0o600 == stat.S_IMODE((tmp_path / "alice.key").stat().st_mode)
    shown = json.loads(run("keys", "show", "alice.pub", "alice.key", "--json").out)
    assert [made, made] == [one["id"] for one in shown]
    assert ["public", "private"] == [one["half"] for one in shown]
    assert "exists" in run("keys", "create", "alice", code=2).err


def test_passphrase(run, tmp_path):
    """A key under a passphrase signs with it only."""
    (tmp_path / "secret").write_text("correct horse\n")
    run("keys", "create", "root", "--passphrase-file", "secret")
    run("keys", "trust", "init", "--root-key", "root.pub", "--expires", "9d", "--out", "1.json")

    refused = run("keys", "trust", "sign", "1.json", "--key", "root.key", code=2)
    assert "needs a passphrase" in refused.err
    signed = run(
        "keys", "trust", "sign", "1.json", "--key", "root.key", "--passphrase-file", "secret"
    )
    assert "1 of 1" in signed.out


def test_trust(run, pairs):
    """A trust is made, signed, shown and changed."""
    run(
        *("keys", "trust", "init", "--root-key", "root.pub", "--release-key", "alice.pub"),
        *("--release-key", "bob.pub", "--threshold", 2, "--expires", "365d", "--out", "1.json"),
    )
    run("keys", "trust", "sign", "1.json", "--key", "root.key")
    shown = json.loads(run("keys", "trust", "show", "1.json", "--json").out)
    root, alice, bob = ids(run, "root", "alice", "bob")
    assert {"root": 1, "release": 2} == shown["thresholds"]
    assert [root] == shown["signed_by"]
    assert {root: ["root"], alice: ["release"], bob: ["release"]} == {
        one["id"]: one["may"] for one in shown["keys"]
    }

    run(
        *("keys", "trust", "change", "1.json", "--remove", bob[:8], "--threshold", 1),
        *("--expires", "365d", "--out", "2.json"),
    )
    changed = json.loads(run("keys", "trust", "show", "2.json", "--json").out)
    assert (2, []) == (changed["version"], changed["signed_by"])
    assert bob not in {one["id"] for one in changed["keys"]}
    assert "1 of 1 keys sign a release" in run("keys", "trust", "show", "2.json").out


@pytest.mark.parametrize(
    "arguments",
    [
        ["init", "--expires", "9d", "--out", "x.json"],
        ["init", "--root-key", "root.pub", "--threshold", "2", "--expires", "9d", "--out", "x"],
        ["init", "--root-key", "none.pub", "--expires", "9d", "--out", "x.json"],
        ["init", "--root-key", "root.pub", "--expires", "soon", "--out", "x.json"],
        ["show", "root.pub"],
        ["sign", "root.pub", "--key", "root.key"],
    ],
)
def test_errors(run, pairs, tmp_path, arguments):
    """What cannot be is an error of usage, and makes no file."""
    before = sorted(tmp_path.iterdir())

    assert "dlp: error:" in run("keys", "trust", *arguments, code=2).err
    assert before == sorted(tmp_path.iterdir())
