"""Releases from the command line."""

import json

import pytest

from dlp.errors import ConflictError
from dlp.releases.canary import Canary
from dlp.releases.life import State
from tests.api.fake import make_release
from tests.releases.conftest import PACK


@pytest.fixture
def run(dlp, tmp_path, monkeypatch):
    """Run a command in a directory with keys, a trust and a pack."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text(PACK)

    def call(*arguments, code=0):
        result = dlp(*arguments)
        assert code == result.code, result.err
        return result

    for name in ("alice", "bob"):
        call("keys", "create", name)
    call(
        *("keys", "trust", "init", "--root-key", "alice.pub", "--root-key", "bob.pub"),
        *("--threshold", 2, "--expires", "9d", "--out", "1.json"),
    )
    call("keys", "trust", "sign", "1.json", "--key", "alice.key")
    return call


BUILD = ("release", "build", "--pack", "./own.yaml", "--version", 7, "--expires", "9d")


def test_build_sign_verify(run, tmp_path):
    """A release is built, signed by two and then believed; before that it is not."""
    run(*BUILD, "--root", "1.json", "--out", "7.dlp")
    assert "0 of the 2" in run("release", "verify", "7.dlp", "--trust", "1.json", code=2).err
    for key in ("alice.key", "bob.key"):
        run("release", "sign", "7.dlp", "--key", key)

    found = json.loads(run("release", "verify", "7.dlp", "--trust", "1.json", "--json").out)
    assert (7, ["own"], 2) == (found["version"], found["packs"], len(found["signers"]))
    old = run("release", "verify", "7.dlp", "--trust", "1.json", "--installed", 7, code=2)
    assert "not newer" in old.err
    raw = (tmp_path / "7.dlp").read_bytes()
    (tmp_path / "7.dlp").write_bytes(raw.replace(b"Long key", b"Lang key"))
    assert "altered" in run("release", "verify", "7.dlp", "--trust", "1.json", code=2).err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("    category", "    draft: true\n    category"), "is a draft"),
        ((', "LONGKEY-000000000000"', ""), "fewer than 3"),
        (('LONGKEY-ABC"', 'LONGKEY-ABCDEFGHIJ12"'), "must_not_match[0]"),
    ],
)
def test_unfit(run, tmp_path, change, told):
    """Drafts, too few samples and samples that disagree make no release; file and line are told."""
    (tmp_path / "own.yaml").write_text(PACK.replace(*change, 1))

    error = run(*BUILD, "--out", "7.dlp", code=2).err
    assert told in error
    assert "own.yaml:" in error
    assert not (tmp_path / "7.dlp").exists()


def test_roots_in_order(run):
    """Every version of the trust goes in, in order."""
    run("keys", "trust", "change", "1.json", "--expires", "99d", "--out", "2.json")

    assert "version 2" in run(*BUILD, "--root", "2.json", "--out", "7.dlp", code=2).err
    run(*BUILD, "--root", "1.json", "--root", "2.json", "--out", "7.dlp")


def test_against_a_gateway(run, api):
    """Upload, list, show, diff, shadow, activate and rollback reach the gateway."""
    where = ("--api", api.socket)
    run(*BUILD, "--out", "7.dlp")
    assert "release 3: compiled" in run("release", "upload", "7.dlp", *where).out
    assert api.gateway.releases.received.endswith(bytes(1024))
    assert "own" in run("release", "list", *where).out
    assert [2, 1] == [
        one["version"] for one in json.loads(run("release", "list", "--json", *where).out)
    ]
    assert "upload" in run("release", "show", 2, *where).out
    shown = run("release", "diff", 2, *where).out
    assert "4111********1111" in shown
    assert "added 1: own.key.long" in shown
    row = next(line for line in shown.splitlines() if "4111********1111" in line)
    assert ["own.key.long", "web", "2", "0", "0", "0", ">", "2", "+3", "4111********1111"] == (
        row.split()
    )
    run("release", "shadow", 2, *where)
    answer = run("release", "activate", 2, "--netns", "web-*", "--percent", 5, *where)
    assert "release 2: canary, for web-*, 5 %" in answer.out
    run("release", "activate", 2, *where)
    run("release", "rollback", 2, "--reason", "noise", *where)

    asked = [one[:-1] for one in api.gateway.releases.asked]
    assert [
        ("upload",),
        ("shadow", 2),
        ("activate", 2, Canary(netns=("web-*",), percent=5)),
        ("activate", 2, None),
        ("rollback", 2, "noise"),
    ] == asked


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(State.LIVE, State.CANARY, 2), (State.LIVE, State.COMPILED, 1), (State.LIVE, State.SHADOW, 2)],
)
def test_rollback_of_what_is_in_force(run, api, first, second, expected):
    """Without a version: what is beside first, then what is live."""
    api.gateway.releases.stored = {
        1: make_release(1, state=first),
        2: make_release(2, state=second),
    }
    run("release", "rollback", "--api", api.socket)

    assert ("rollback", expected, "") == api.gateway.releases.asked[0][:-1]


def test_nothing_in_force(run, api):
    """Nothing to roll back is an error of usage."""
    assert "no release is in force" in run("release", "rollback", "--api", api.socket, code=2).err


def test_refusal(run, api):
    """What the gateway refuses is told with its remedy."""
    api.gateway.releases.failure = ConflictError("release 2 is superseded", remedy="roll back")

    error = run("release", "activate", 2, "--api", api.socket, code=4).err
    assert "Release 2 is superseded" in error
    assert "roll back" in error


def test_workload(run, api):
    """A word that is no command is the name of a workload, as it always was."""
    for words in (("web",), ("workload", "web")):
        api.gateway.cut["web"] = ("leak", "x")
        run("release", *words, "--api", api.socket)
        assert {} == api.gateway.cut


def test_large(run, api, tmp_path):
    """A body of megabytes is sent without a warning; one that is too large is refused."""
    (tmp_path / "8.dlp").write_bytes(bytes(150_000))
    (tmp_path / "9.dlp").write_bytes(bytes(3 << 20))

    assert "larger than" in run("release", "upload", "8.dlp", "--api", api.socket, code=4).err
    api.gateway.releases.max_size = 4 << 20
    run("release", "upload", "9.dlp", "--api", api.socket)
