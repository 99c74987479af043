"""Commands on verdicts."""

import json

import pytest

from dlp.cli.verdicts import endpoint, moment
from dlp.errors import UsageError
from dlp.model import Verdict
from tests.api.fake import make_verdict


def test_list(dlp, api):
    """Newest first, with all fields and no value."""
    found = json.loads(dlp("verdicts", "--api", api.socket, "--json").out)

    assert [5, 4, 3, 2, 1] == [entry["id"] for entry in found]
    assert set(Verdict.__dataclass_fields__) == set(found[0])


def test_table(dlp, api):
    """A row tells who, what, from where to where, and what became of it."""
    out = dlp("verdicts", "--api", api.socket, "--limit", 1).out

    head, row = out.splitlines()
    assert "signature" in head
    for part in (
        "2023-11-14T22:13:25.000Z",
        "web",
        "tcp 10.0.0.2:40000 > [2001:db8::1]:443",
        "pci.card.visa",
        "drop",
        "kernel",
        "4111********1111",
    ):
        assert part in row


def test_filters(dlp, api):
    """Every filter goes to the gateway."""
    dlp(
        "verdicts",
        "--api",
        api.socket,
        "--workload",
        "web",
        "--signature",
        "pci.*",
        "--action",
        "drop",
        "--since",
        "2027-01-31T00:00",
        "--limit",
        7,
    )

    query = api.gateway.queries[0]
    assert ("web", "pci.*", "drop", 1801353600.0, 7) == (
        query.workload,
        query.signature,
        query.action,
        query.since,
        query.limit,
    )


def test_bad_action(dlp, api):
    """What the gateway does not know is its refusal."""
    result = dlp("verdicts", "--api", api.socket, "--action", "explode")

    assert 4 == result.code
    assert "refused: action" in result.err


@pytest.mark.parametrize("json_lines", [True, False])
def test_follow(dlp, api, json_lines):
    """Stored ones oldest first, then those that come, each once; other workloads left out."""
    kept = api.once_followed(
        make_verdict(8), listed=(make_verdict(6), make_verdict(7, workload="db"))
    )
    arguments = ["--follow", "--workload", "web", *(["--json"] if json_lines else [])]
    result = dlp("verdicts", "--api", api.socket, *arguments)
    kept.result(10)

    assert 4 == result.code
    lines = result.out.splitlines()
    if json_lines:
        assert [1, 2, 3, 4, 5, 6, 8] == [json.loads(line)["id"] for line in lines]
    else:
        assert ["1", "2", "3", "4", "5", "6", "8"] == [line.split()[0] for line in lines]


def test_events(dlp, api):
    """Only what comes from now on."""
    kept = api.once_followed(make_verdict(6))
    result = dlp("events", "--api", api.socket, "--json")
    kept.result(10)

    assert [6] == [json.loads(line)["id"] for line in result.out.splitlines()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", 999_970.0),
        ("10m", 999_400.0),
        ("2h", 992_800.0),
        ("7d", 395_200.0),
        ("1970-01-02", 86_400.0),
        ("1970-01-01T01:00:00", 3_600.0),
        ("1970-01-01T01:00:00+01:00", 0.0),
    ],
)
def test_moment(text, expected):
    """A stretch of time back from now, or a time in UTC."""

    assert expected == moment(text, 1_000_000.0)


@pytest.mark.parametrize(
    "text", ["", "10", "m", "1w", "-1h", "yesterday", "9999999h", "2027-13-01"]
)
def test_no_moment(text):
    """Anything else is an error that shows the forms."""

    with pytest.raises(UsageError, match="10m"):
        moment(text, 0.0)


def test_endpoint():
    """IPv6 addresses stand in brackets."""

    assert "10.0.0.1:80" == endpoint({"address": "10.0.0.1", "port": 80})
    assert "[::1]:80" == endpoint({"address": "::1", "port": 80})
