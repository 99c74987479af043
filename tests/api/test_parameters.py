"""Queries that do not fit."""

from __future__ import annotations

import json

import pytest
from yarl import URL

CANARY = "4111111111111111"


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=-5", "limit"),
        ("limit=1001", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("action=explode", "action"),
        ("action=DROP", "action"),
        ("severity=%3Cscript%3E", "severity"),
        ("kind=a%0Ab", "kind"),
        ("flow=-1", "flow"),
        ("flow=18446744073709551616", "flow"),
        ("since=yesterday", "since"),
        ("since=nan", "since"),
        ("since=-1", "since"),
        ("until=1e999", "until"),
        ("until=0001-01-01T00:00:00Z", "until"),
        ("workload=", "workload"),
        ("workload=a%00b", "workload"),
        ("workload=" + "a" * 256, "workload"),
        ("signature=%E2%80%AE", "signature"),
        ("cursor=", "cursor"),
        ("cursor=x", "cursor"),
        ("cursor=ZjE", "cursor"),
        ("cursor=dmcw", "cursor"),
        ("cursor=djAx", "cursor"),
        ("cursor=dmZmZmZmZmZmZmZmZmZmZmY", "cursor"),
        ("cursor=%C3%A9", "cursor"),
        ("cursor=djE%3D", "cursor"),
    ],
)
async def test_bad_value(local, gateway, expect_problem, query, parameter):
    """The parameter is named with what was expected, and the gateway is not asked."""
    async with local.get(URL(f"http://dlp/api/v1/verdicts?{query}", encoded=True)) as response:
        problem = await expect_problem(response, 400, "invalid-parameter")

    assert [parameter] == [item["parameter"] for item in problem["errors"]]
    assert problem["errors"][0]["expected"]
    assert problem["detail"].startswith(f"{parameter}: ")
    assert [] == gateway.queries


async def test_value_is_not_repeated(local, expect_problem):
    """A value that may be confidential does not come back."""
    async with local.get("verdicts", params={"limit": CANARY + "x", "action": CANARY}) as response:
        problem = await expect_problem(response, 400, "invalid-parameter")

    assert 2 == len(problem["errors"])
    assert CANARY not in json.dumps(problem)


async def test_unknown_parameter(local, expect_problem):
    """The name and those that are allowed."""
    async with local.get("verdicts", params={"worklod": "web"}) as response:
        problem = await expect_problem(response, 400, "invalid-parameter")

    assert "worklod" == problem["parameter"]
    assert {"workload", "cursor", "limit"} <= set(problem["allowed"])


@pytest.mark.parametrize("path", ["health", "workloads", "stats", "signatures", "verdicts/1"])
async def test_no_parameters(local, expect_problem, path):
    """A route without parameters says so."""
    async with local.get(path, params={"x": "1"}) as response:
        problem = await expect_problem(response, 400, "invalid-parameter")

    assert [] == problem["allowed"]
    assert "none is allowed here" in problem["detail"]


async def test_reload_takes_no_query(local, gateway, expect_problem):
    """A POST's query is checked as well."""
    async with local.post("reload", params={"force": "1"}) as response:
        await expect_problem(response, 400, "invalid-parameter")
    assert 0 == gateway.reloads


async def test_parameter_given_twice(local, expect_problem):
    """Neither of two values is taken."""
    async with local.get("verdicts", params=[("limit", "1"), ("limit", "2")]) as response:
        problem = await expect_problem(response, 400, "invalid-parameter")

    assert "limit" == problem["parameter"]


async def test_since_after_until(local, expect_problem):
    """An empty span of time is a mistake."""
    async with local.get("verdicts", params={"since": "2", "until": "1"}) as response:
        problem = await expect_problem(response, 400, "invalid-parameter")

    assert "since" in problem["detail"]


@pytest.mark.parametrize(
    "query", ["workload=%FF", "workload=%C3%28", "%FF=1", "workload=%ED%B3%BF", "x=1&" * 100]
)
async def test_malformed_query(local, expect_problem, query):
    """Escapes that are no UTF-8 are refused, not taken as they stand; so are too many."""
    async with local.get(URL(f"http://dlp/api/v1/verdicts?{query}", encoded=True)) as response:
        await expect_problem(response, 400, "malformed-query")


@pytest.mark.parametrize("number", ["-1", "abc", "1.0", "9" * 40, "%00", "\u0661", str(2**63)])
async def test_bad_id(local, expect_problem, number):
    """An id that is no number is a 400."""
    async with local.get(f"verdicts/{number}") as response:
        problem = await expect_problem(response, 400, "invalid-parameter")

    assert "id" == problem["parameter"]
