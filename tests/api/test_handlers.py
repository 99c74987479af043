"""What each route answers."""

from __future__ import annotations

import asyncio
import io
import json
import os
from pathlib import Path

import pytest

from dlp.api import views
from dlp.api.cursors import flow_cursor, incident_cursor, verdict_cursor
from dlp.errors import ConfigError, KernelError, PackError, Place, StoreError
from dlp.model import IncidentKind
from tests.api.fake import make_incident


async def get(session, path, **query):
    async with session.get(path, params=query) as response:
        assert (200, "application/json") == (response.status, response.content_type)
        return await response.json()


async def test_health(local):
    """Degraded is an answer: 200, with the problems."""
    health = await get(local, "health")

    assert "degraded" == health["status"]
    assert ["db is pending"] == health["problems"]


async def test_health_warns(local):
    """What does not degrade is told beside the problems."""
    health = await get(local, "health")

    assert (1, 1) == (health["workloads_unguarded"], health["workloads_quarantined"])
    assert ["web: quarantined"] == health["warnings"]


async def test_workloads(local):
    """Keys are decimal strings; a name that is no UTF-8 does not break the list."""
    page = await get(local, "workloads")

    assert ["18446744073709551615", "0"] == [item["key"] for item in page["items"]]
    assert ["enforced", "pending"] == [item["state"] for item in page["items"]]
    assert ["guarded", "none"] == [item["guard"] for item in page["items"]]
    assert [("tcx", False), ("", False)] == [
        (item["attach"], item["quarantined"]) for item in page["items"]
    ]
    assert "db\\udcff" == page["items"][1]["name"]
    assert page["next"] is None


async def test_flows(local):
    """Pages by id, ids as decimal strings, each flow once."""
    first = await get(local, "flows", limit="2")
    second = await get(local, "flows", limit="2", cursor=first["next"])

    assert ["5", "9"] == [item["id"] for item in first["items"]]
    assert ["18446744073709551615"] == [item["id"] for item in second["items"]]
    assert second["next"] is None
    assert "no" == first["items"][0]["opaque"]


async def test_flows_of_a_workload(local):
    """The filter is the gateway's."""
    page = await get(local, "flows", workload="db")

    assert ["9"] == [item["id"] for item in page["items"]]


async def test_verdict_pages(local):
    """The cursor leads through all of them, newest first, and ends."""
    found, cursor = [], {}
    while True:
        page = await get(local, "verdicts", limit="2", **cursor)
        found += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}

    assert [5, 4, 3, 2, 1] == found


async def test_verdict_filters(local, gateway):
    """Every filter reaches the gateway; times also as RFC 3339."""
    await get(
        local,
        "verdicts",
        workload="web",
        signature="pci.*",
        action="drop",
        severity="high",
        kind="match",
        flow="18446744073709551615",
        since="1970-01-01T00:01:00Z",
        until="61.5",
        limit="7",
        cursor=verdict_cursor.encode(4),
    )

    query = gateway.queries[-1]
    assert ("web", "pci.*", "drop") == (query.workload, query.signature, query.action)
    assert ("high", "match", 2**64 - 1) == (query.severity, query.kind, query.flow)
    assert (60.0, 61.5, 7, 4) == (query.since, query.until, query.limit, query.before_id)


async def test_one_verdict(local):
    """A verdict by its id, its flow a string, its action a label."""
    verdict = await get(local, "verdicts/3")

    assert (3, "18446744073709551615", "drop") == (
        verdict["id"],
        verdict["flow"],
        verdict["action"],
    )


@pytest.mark.parametrize("number", ["0", "99", str(2**63 - 1)])
async def test_no_such_verdict(local, expect_problem, number):
    """An id that is not there is a 404, not its neighbour."""
    async with local.get(f"verdicts/{number}") as response:
        await expect_problem(response, 404, "not-found")


async def test_incident_pages(local):
    """The cursor leads through all of them, newest first, and ends."""
    found, cursor = [], {}
    while True:
        page = await get(local, "incidents", limit="2", **cursor)
        found += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}

    assert [5, 4, 3, 2, 1] == found


async def test_incident_fields(local, gateway):
    """An incident without a packet has no ends."""
    gateway.incident_list.append(
        make_incident(6, kind=IncidentKind.TAMPER, source=None, destination=None)
    )
    last, before = (await get(local, "incidents", limit="2"))["items"]

    assert ("tamper", None, None) == (last["kind"], last["source"], last["destination"])
    assert ("bypass", 3, {"address": "10.0.0.2", "port": 40000}) == (
        before["kind"],
        before["count"],
        before["source"],
    )


async def test_incident_filters(local, gateway):
    """Every filter reaches the gateway; times also as RFC 3339."""
    await get(
        local,
        "incidents",
        workload="web",
        kind="over_budget",
        since="1970-01-01T00:01:00Z",
        until="61.5",
        limit="7",
        cursor=incident_cursor.encode(4),
    )

    query = gateway.queries[-1]
    assert ("web", IncidentKind.OVER_BUDGET) == (query.workload, query.kind)
    assert (60.0, 61.5, 7, 4) == (query.since, query.until, query.limit, query.before_id)


async def test_cursor_of_another_list(local, expect_problem):
    """A verdict's cursor leads nowhere among incidents."""
    async with local.get("incidents", params={"cursor": verdict_cursor.encode(4)}) as response:
        await expect_problem(response, 400, "invalid-parameter")


@pytest.mark.parametrize("parameters", [{"kind": "levitation"}, {"since": "2", "until": "1"}])
async def test_bad_incident_filters(local, gateway, expect_problem, parameters):
    """What cannot be is refused, and the gateway is not asked."""
    async with local.get("incidents", params=parameters) as response:
        await expect_problem(response, 400, "invalid-parameter")

    assert [] == gateway.queries


async def test_quarantine(local, gateway):
    """The workload is cut, with the reason and who asked; the answer shows it so."""
    async with local.post("workloads/web/quarantine", json={"reason": "leak seen"}) as response:
        workload = await response.json()

    assert (200, "web", True) == (response.status, workload["name"], workload["quarantined"])
    assert {"web": ("leak seen", f"local user {os.geteuid()}")} == gateway.cut


async def test_release(local, gateway):
    """And let go of, with no body or an empty one."""
    gateway.cut["web"] = ("leak", "x")
    async with local.post("workloads/web/release") as response:
        workload = await response.json()

    assert (200, False) == (response.status, workload["quarantined"])
    assert [("web", f"local user {os.geteuid()}")] == gateway.released


async def test_who_by_token(remote, operator, gateway):
    """Over TCP it is the token's name."""
    body = {"reason": "leak"}
    async with remote.post("workloads/web/quarantine", json=body, headers=operator) as response:
        assert 200 == response.status

    assert {"web": ("leak", "token operator")} == gateway.cut


@pytest.mark.parametrize("change", ["quarantine", "release"])
async def test_viewer_cuts_nobody(remote, viewer, gateway, expect_problem, change):
    """A viewer's token does not suffice."""
    body = {"reason": "leak"} if change == "quarantine" else {}
    async with remote.post(f"workloads/web/{change}", json=body, headers=viewer) as response:
        await expect_problem(response, 403, "forbidden")

    assert ({}, []) == (gateway.cut, gateway.released)


@pytest.mark.parametrize("change", ["quarantine", "release"])
async def test_no_such_workload(local, expect_problem, change):
    """A name that is not listed is a 404 that does not repeat it."""
    body = {"reason": "leak"} if change == "quarantine" else {}
    async with local.post(f"workloads/nobody/{change}", json=body) as response:
        problem = await expect_problem(response, 404, "not-found")

    assert "nobody" not in problem["detail"]


@pytest.mark.parametrize(
    "body", [{}, {"reason": ""}, {"reason": "a\nb"}, {"reason": "x" * 256}, {"why": "leak"}, None]
)
async def test_quarantine_needs_a_reason(local, gateway, expect_problem, body):
    """Without one that can be shown, nothing is cut."""
    async with local.post("workloads/web/quarantine", json=body) as response:
        await expect_problem(response, 400, "invalid-body")

    assert {} == gateway.cut


async def test_quarantine_without_a_body(local, gateway, expect_problem):
    """An empty body names no reason either."""
    async with local.post("workloads/web/quarantine") as response:
        problem = await expect_problem(response, 400, "invalid-body")

    assert "reason" in problem["detail"]
    assert {} == gateway.cut


async def test_quarantine_that_cannot_be_kept(local, gateway, expect_problem):
    """A full disk is told: the workload would not stay cut."""
    gateway.failure = StoreError("the disk is full", remedy="free space")
    body = {"reason": "leak"}
    async with local.post("workloads/web/quarantine", json=body) as response:
        await expect_problem(response, 503, "unavailable")


async def test_signatures(local, expect_problem):
    """All, and one by its id."""
    page = await get(local, "signatures")

    assert ["us_ssn"] == [item["check"] for item in page["items"]]
    assert page["items"][0] == await get(local, "signatures/pii.us.ssn")
    async with local.get("signatures/none") as response:
        await expect_problem(response, 404, "not-found")


async def test_stats(local):
    """Counters in total and by workload."""
    stats = await get(local, "stats")

    assert [{"reason": "pass", "packets": 5, "bytes": 900}] == stats["total"]
    assert stats["total"] == stats["workloads"]['we"b\n']


async def test_stats_as_described(local, gateway):
    """They go out without a view, yet as the view would be, to the byte."""
    async with local.get("stats") as response:
        body = await response.text()

    assert views.Stats.model_validate(await gateway.stats()).model_dump_json() == body


@pytest.mark.parametrize("path", ["stats", "metrics"])
async def test_counters_take_turns(local, gateway, monkeypatch, path: str):
    """Between two answers of many, whatever else is ready in the loop has its turn."""
    turn, told = 0, []

    async def ticking() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    async def stats():
        told.append(turn)
        return await type(gateway).stats(gateway)

    monkeypatch.setattr(gateway, "stats", stats)

    async def ask() -> None:
        async with local.get(path) as response:
            assert 200 == response.status
            await response.read()

    async with asyncio.TaskGroup() as group:
        ticks = group.create_task(ticking())
        await asyncio.gather(*(ask() for _ in range(12)))
        ticks.cancel()

    assert 12 == len(told) == len(set(told))


@pytest.mark.parametrize("body", [None, b"{}"])
async def test_reload(local, gateway, body):
    """With no body or an empty object."""
    async with local.post(
        "reload", data=body, headers={"Content-Type": "application/json"} if body else {}
    ) as response:
        assert 200 == response.status
        assert (await response.json())["changed"]
    assert 1 == gateway.reloads


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (
            ConfigError("no such signature", place=Place(Path("dlp.yaml"), 3, "rules")),
            422,
            "refused",
        ),
        (PackError("a sample disagrees"), 422, "refused"),
        (KernelError("the verifier refused it", remedy="see dlp doctor"), 409, "conflict"),
    ],
)
async def test_reload_refused(local, gateway, expect_problem, error, status, slug):
    """The message and the remedy are told; so is the place in the file."""
    gateway.failure = error
    async with local.post("reload") as response:
        problem = await expect_problem(response, status, slug)

    assert (error.message, error.remedy) == (problem["detail"], problem["remedy"])
    if error.place:
        assert {"file": "dlp.yaml", "line": 3, "key": "rules"} == problem["place"]


async def test_reloads_do_not_overlap(local, gateway, expect_problem):
    """A second reload meanwhile is a conflict."""
    gateway.reload_gate.clear()

    async def first():
        async with local.post("reload") as response:
            return response.status

    async with asyncio.TaskGroup() as group:
        running = group.create_task(first())
        await gateway.reloading.wait()
        async with local.post("reload") as response:
            await expect_problem(response, 409, "conflict")
        gateway.reload_gate.set()
    assert 200 == running.result()


async def test_store_error(local, gateway, expect_problem):
    """A store that fails makes the list unavailable, with the remedy."""
    gateway.failure = StoreError("the disk is full", remedy="free space")
    async with local.get("verdicts") as response:
        problem = await expect_problem(response, 503, "unavailable")

    assert ("the disk is full", "free space") == (problem["detail"], problem["remedy"])


@pytest.mark.parametrize(
    ("body", "kind", "status", "slug"),
    [
        (b"{}", "text/plain", 415, "unsupported-media-type"),
        (b"{}", "application/x-www-form-urlencoded", 415, "unsupported-media-type"),
        (b'{"file": "/etc/shadow"}', "application/json", 400, "invalid-body"),
        (b"[]", "application/json", 400, "invalid-body"),
        (b"\xff\x00", "application/json", 400, "invalid-body"),
        (b"[" * 100_000, "application/json", 400, "invalid-body"),
        (b" " * (1 << 20) + b"{}", "application/json", 413, "body-too-large"),
    ],
)
async def test_bad_body(local, gateway, expect_problem, body, kind, status, slug):
    """What does not fit is refused before anything is done, and not repeated."""
    async with local.post(
        "reload", data=io.BytesIO(body), headers={"Content-Type": kind}
    ) as response:
        problem = await expect_problem(response, status, slug)

    assert "shadow" not in json.dumps(problem)
    assert 0 == gateway.reloads


async def test_compressed_body(local, gateway, expect_problem):
    """A compressed body is not unpacked."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    async with local.post("reload", data=b"\x1f\x8b", headers=headers) as response:
        await expect_problem(response, 415, "unsupported-media-type")
    assert 0 == gateway.reloads


async def test_flow_cursor_range(local):
    """A cursor behind the last flow gives an empty page."""
    page = await get(local, "flows", cursor=flow_cursor.encode(2**64 - 1))

    assert {"items": [], "next": None} == page
