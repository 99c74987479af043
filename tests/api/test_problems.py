"""Problem details, and what must never be in them."""

from __future__ import annotations

import re

import pytest
import structlog

SECRET = "4111111111111111"


async def test_unknown_route(local, expect_problem):
    """A path that leads nowhere."""
    async with local.get("nothing/here") as response:
        problem = await expect_problem(response, 404, "not-found")

    assert "/api/v1/nothing/here" == problem["instance"]


async def test_long_path(local, expect_problem):
    """A long path is cut in the answer."""
    async with local.get("x" * 5000) as response:
        problem = await expect_problem(response, 404, "not-found")

    assert 200 == len(problem["instance"])


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "health", "GET, HEAD"),
        ("GET", "reload", "POST"),
        ("DELETE", "verdicts/1", "GET, HEAD"),
        ("OPTIONS", "health", "GET, HEAD"),
        ("HEAD", "events", "GET"),
    ],
)
async def test_method(local, method, path, allow):
    """A method that a path has not, with those it has. There is no CORS."""
    async with local.request(method, path, headers={"Origin": "http://evil"}) as response:
        assert (405, allow) == (response.status, response.headers["Allow"])
        assert not [name for name in response.headers if name.lower().startswith("access-control")]


async def test_unexpected(local, gateway, expect_problem):
    """An incident id leads from the answer to the log; neither holds the exception's text."""
    gateway.failure = RuntimeError(f"cannot parse {SECRET}")
    with structlog.testing.capture_logs() as logs:
        async with local.get("verdicts", params={"workload": SECRET}) as response:
            problem = await expect_problem(response, 500, "internal")
            text = await response.text()

    assert re.fullmatch(r"[0-9a-f]{16}", problem["incident"])
    assert [problem["incident"]] == [entry["incident"] for entry in logs]
    assert "RuntimeError" == logs[0]["error"]
    assert SECRET not in text + str(logs)
    assert "Traceback" not in text
    assert "RuntimeError" not in text


@pytest.mark.parametrize("path", ["health", "nothing", "verdicts?limit=0"])
async def test_headers(local, path):
    """The libraries are not named; nothing is cached or sniffed."""
    async with local.get(path) as response:
        assert "dlp" == response.headers["Server"]
        assert "nosniff" == response.headers["X-Content-Type-Options"]
        assert "no-store" == response.headers["Cache-Control"]
