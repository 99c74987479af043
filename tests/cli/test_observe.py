"""Commands that look at a running gateway."""

import json

import pytest

from dlp.model import Counter, Stats, Workload, WorkloadState
from dlp.service import Health


def test_status(dlp, api):
    """A degraded gateway is told with its problems and exit code 1."""
    result = dlp("status", "--api", api.socket)

    assert 1 == result.code
    assert "problem: db is pending" in result.out
    assert "degraded" in result.out
    assert "warning: web: quarantined" in result.out


def test_status_json(dlp, api):
    """One object, with the fields of Health."""
    result = dlp("status", "--api", api.socket, "--json")

    assert set(Health.__dataclass_fields__) == set(json.loads(result.out))


def test_environment(dlp, api, monkeypatch):
    """DLP_API names the gateway."""
    monkeypatch.setenv("DLP_API", str(api.socket))

    assert "web" in dlp("workloads").out


def test_workloads(dlp, api):
    """A table, and an array with all fields."""
    found = json.loads(dlp("workloads", "--api", api.socket, "--json").out)

    assert ["web", "db\\udcff"] == [entry["name"] for entry in found]
    assert set(Workload.__dataclass_fields__) == set(found[0])
    out = dlp("workloads", "--api", api.socket).out
    assert "enforced" in out
    assert "pending" in out
    assert "guarded" in out
    assert "tcx" in out


def test_no_workloads(dlp, api, monkeypatch):
    """An empty list says how to fill it, and is an empty array in JSON."""

    async def none() -> list[Workload]:
        return []

    monkeypatch.setattr(api.gateway, "workloads", none)

    assert "workloads.netns" in dlp("workloads", "--api", api.socket).out
    assert [] == json.loads(dlp("workloads", "--api", api.socket, "--json").out)


def test_hostile_names(dlp, api, monkeypatch):
    """Control characters and markup of foreign text do not reach the terminal."""

    async def hostile() -> list[Workload]:
        return [Workload(name="\x1b[2J[red]x\n", state=WorkloadState.FAILED)]

    monkeypatch.setattr(api.gateway, "workloads", hostile)
    out = dlp("workloads", "--api", api.socket).out

    assert "\x1b" not in out
    assert "?[2J[red]x?" in out


def test_flows(dlp, api):
    """Flows of a workload, bounded, with both ends."""
    found = json.loads(dlp("flows", "--api", api.socket, "--workload", "web", "--json").out)

    assert ["5", str(2**64 - 1)] == [entry["id"] for entry in found]
    out = dlp("flows", "--api", api.socket, "--limit", 1).out
    assert "10.0.0.2:40000" in out
    assert "[2001:db8::1]:443" in out
    assert 2 == len(out.splitlines())


def test_stats(dlp, api, monkeypatch):
    """Rows by reason: the total under no workload's name, zeros only with --all."""

    async def counted() -> Stats:
        rows = (
            Counter(reason="match", packets=2, bytes=9),
            Counter(reason="gap", packets=0, bytes=0),
        )
        return Stats(total=rows, workloads={"web": rows})

    monkeypatch.setattr(api.gateway, "stats", counted)

    def rows(*arguments: str) -> list[tuple[object, ...]]:
        found = json.loads(dlp("stats", "--api", api.socket, "--json", *arguments).out)
        return [(row["workload"], row["reason"], row["packets"], row["bytes"]) for row in found]

    assert [(None, "match", 2, 9), ("web", "match", 2, 9)] == rows()
    assert [("web", "match", 2, 9), ("web", "gap", 0, 0)] == rows("--workload", "web", "--all")
    assert [] == rows("--workload", "none")
    assert "(all)" in dlp("stats", "--api", api.socket).out


@pytest.mark.parametrize(
    "command",
    ["status", "workloads", "flows", "stats", "verdicts", "events", "incidents", "reload"],
)
def test_nobody_there(dlp, tmp_path, command):
    """Without a gateway each says so in one line and ends with the code of ApiError."""
    result = dlp(command, "--api", tmp_path / "none")

    assert 4 == result.code
    assert result.err.startswith("dlp: error: no gateway answers at ")
    assert 1 == result.err.count("\n")
