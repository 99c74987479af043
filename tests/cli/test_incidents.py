"""Commands on incidents and quarantine."""

import json
import os

import pytest

from dlp.model import Incident, IncidentKind
from tests.api.fake import make_incident, make_verdict


def test_list(dlp, api):
    """Newest first, with all fields."""
    found = json.loads(dlp("incidents", "--api", api.socket, "--json").out)

    assert [5, 4, 3, 2, 1] == [entry["id"] for entry in found]
    assert set(Incident.__dataclass_fields__) == set(found[0])


def test_table(dlp, api):
    """A row tells when, how often, who, what, and which packet."""
    out = dlp("incidents", "--api", api.socket, "--limit", 1).out

    head, row = out.splitlines()
    assert "what" in head
    for part in (
        "2023-11-14T22:13:25.000Z",
        "2023-11-14T22:13:30.000Z",
        " 3 ",
        "web",
        "bypass",
        "no_token",
        "tcp 10.0.0.2:40000 > [2001:db8::1]:443",
    ):
        assert part in row


def test_no_packet(dlp, api):
    """An incident without a packet has an empty cell."""
    changes = {"protocol": "", "source": None, "destination": None, "device": "eth0"}
    api.gateway.incident_list.append(make_incident(6, kind=IncidentKind.TAMPER, **changes))
    row = dlp("incidents", "--api", api.socket, "--limit", 1).out.splitlines()[1]

    assert "eth0" in row
    assert ">" not in row


def test_none(dlp, api):
    """An empty list says so."""
    api.gateway.incident_list.clear()

    assert "no incidents\n" == dlp("incidents", "--api", api.socket).out


def test_filters(dlp, api):
    """Every filter goes to the gateway."""
    arguments = ["--workload", "web", "--kind", "tamper", "--since", "2027-01-31T00:00"]
    dlp("incidents", "--api", api.socket, *arguments, "--limit", 7)

    query = api.gateway.queries[0]
    assert ("web", IncidentKind.TAMPER, 1801353600.0, 7) == (
        query.workload,
        query.kind,
        query.since,
        query.limit,
    )


def test_bad_kind(dlp, api):
    """What the gateway does not know is its refusal."""
    result = dlp("incidents", "--api", api.socket, "--kind", "levitation")

    assert 4 == result.code
    assert "refused: kind" in result.err


def test_follow(dlp, api):
    """Stored ones oldest first, then those that begin; other kinds and verdicts left out."""
    kept = api.once_followed(
        make_verdict(6),
        make_incident(8),
        listed=(make_incident(6), make_incident(7, kind=IncidentKind.TAMPER)),
    )
    result = dlp("incidents", "--api", api.socket, "--follow", "--kind", "bypass", "--json")
    kept.result(10)

    assert 4 == result.code
    assert [1, 2, 3, 4, 5, 6, 8] == [json.loads(line)["id"] for line in result.out.splitlines()]


def test_hostile_text(dlp, api):
    """Control characters of foreign text do not reach the terminal."""
    api.gateway.incident_list.append(make_incident(6, device="\x1b[2J[red]x"))
    out = dlp("incidents", "--api", api.socket).out

    assert "\x1b" not in out
    assert "?[2J[red]x" in out


def test_quarantine(dlp, api):
    """The workload is cut, with the reason and who asked."""
    result = dlp("quarantine", "web", "--reason", "leak seen", "--api", api.socket)

    assert (0, "web  quarantined") == (result.code, result.out.strip())
    assert {"web": ("leak seen", f"local user {os.geteuid()}")} == api.gateway.cut
    assert "quarantined" in dlp("workloads", "--api", api.socket).out


def test_release(dlp, api):
    """And let go of; as JSON it is the workload."""
    api.gateway.cut["web"] = ("leak", "x")
    result = dlp("release", "web", "--api", api.socket, "--json")

    assert not json.loads(result.out)["quarantined"]
    assert "web" in api.gateway.released[0]


@pytest.mark.parametrize("command", [["quarantine", "--reason", "leak"], ["release"]])
def test_no_such_workload(dlp, api, command):
    """A name that is not listed is an error that says where to look."""
    result = dlp(*command, "a/b c", "--api", api.socket)

    assert 4 == result.code
    assert "no such workload" in result.err
    assert {} == api.gateway.cut


def test_quarantine_needs_a_reason(dlp, api):
    """Without one nothing is cut."""
    missing = dlp("quarantine", "web", "--api", api.socket)
    empty = dlp("quarantine", "web", "--reason", "", "--api", api.socket)

    assert (2, 4) == (missing.code, empty.code)
    assert {} == api.gateway.cut
