"""Tokens, roles and the limit of failures."""

from __future__ import annotations

import pytest

from dlp.api.app import create_app
from dlp.api.auth import BURST, MAX_PEERS, REFILL_S, FailureLimiter
from dlp.api.serve import serve


async def test_tcp_needs_a_token(remote, expect_problem):
    """Without one nothing is told, not even which routes there are."""
    for path in ("health", "nothing", "openapi.json", "metrics", "events"):
        async with remote.get(path) as response:
            await expect_problem(response, 401, "unauthorized")
            assert response.headers["WWW-Authenticate"].startswith("Bearer")


async def test_viewer(remote, viewer, expect_problem, gateway):
    """A viewer reads and changes nothing."""
    async with remote.get("health", headers=viewer) as response:
        assert 200 == response.status
    async with remote.post("reload", headers=viewer) as response:
        problem = await expect_problem(response, 403, "forbidden")
    assert "operator" == problem["needed"]
    assert 0 == gateway.reloads


async def test_operator(remote, operator):
    """An operator may also change."""
    async with remote.post("reload", headers=operator) as response:
        assert 200 == response.status


async def test_revoked(remote, viewer, tokens):
    """A revoked token fails with the next request, on an open connection too."""
    async with remote.get("health", headers=viewer) as response:
        assert 200 == response.status
    tokens.revoke("viewer")
    async with remote.get("health", headers=viewer) as response:
        assert 401 == response.status


@pytest.mark.parametrize(
    "shown",
    ["", "Bearer", "Bearer ", "Basic eDp5", "Bearer dlp_wrong", "Bearer " + "A" * 4000, "Bearer é"],
)
async def test_bad_token(remote, expect_problem, shown):
    """Whatever is no token is refused alike."""
    async with remote.get("health", headers={"Authorization": shown}) as response:
        await expect_problem(response, 401, "unauthorized")


async def test_two_tokens(remote, viewer, expect_problem):
    """Two headers are ambiguous."""
    headers = [("Authorization", viewer["Authorization"]), ("Authorization", "Bearer x")]
    async with remote.get("health", headers=headers) as response:
        assert response.status in {400, 401}


async def test_failures_are_limited(remote, viewer, expect_problem):
    """After a burst of failures the peer must wait, even with the right token."""
    for _ in range(BURST):
        async with remote.get("health") as response:
            assert 401 == response.status
    for headers in ({}, viewer):
        async with remote.get("health", headers=headers) as response:
            await expect_problem(response, 429, "too-many-failures")
            assert 1 <= int(response.headers["Retry-After"]) <= REFILL_S


async def test_unix_socket_is_not_limited(remote, local):
    """Failures over TCP do not lock the host's own command line out."""
    for _ in range(BURST + 2):
        async with remote.get("health"):
            pass
    async with local.get("health") as response:
        assert 200 == response.status


async def test_no_token_store(gateway, expect_problem):
    """With no store nobody gets in over TCP."""
    import aiohttp

    app = create_app(gateway, None, version="1")
    async with (
        serve(app, unix=None, tcp=("127.0.0.1", 0)) as where,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{where.tcp[1]}/api/v1/health") as response,
    ):
        await expect_problem(response, 401, "unauthorized")


class TestFailureLimiter:
    """The bucket by itself."""

    def test_refills(self):
        """One attempt comes back each six seconds, up to the burst."""
        now = [1000.0]
        limiter = FailureLimiter(clock=lambda: now[0])
        for _ in range(BURST):
            assert 0 == limiter.wait_s("10.0.0.1")
            limiter.fail("10.0.0.1")
        assert REFILL_S == pytest.approx(limiter.wait_s("10.0.0.1"))
        now[0] += REFILL_S
        assert 0 == limiter.wait_s("10.0.0.1")
        limiter.fail("10.0.0.1")
        assert limiter.wait_s("10.0.0.1") > 0
        assert 0 == limiter.wait_s("10.0.0.2")

    def test_ipv6_network(self):
        """A host's /64 is one peer."""
        limiter = FailureLimiter(clock=lambda: 0.0)
        for number in range(BURST):
            limiter.fail(f"2001:db8::{number:x}")

        assert limiter.wait_s("2001:db8::ffff") > 0
        assert 0 == limiter.wait_s("2001:db8:1::1")

    def test_bounded(self):
        """Many peers do not fill the memory."""
        limiter = FailureLimiter(clock=lambda: 0.0)
        for number in range(MAX_PEERS + 50):
            limiter.fail(f"peer-{number}")

        assert MAX_PEERS == len(limiter._peers)
