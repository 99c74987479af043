"""The API over a real unix socket and over TCP."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from dlp.api.app import create_app
from dlp.api.context import StreamSettings
from dlp.api.serve import serve
from dlp.store.tokens import Role, TokenStore
from tests.api.fake import FakeGateway

SETTINGS = StreamSettings(heartbeat_s=0.1, backlog=64, stall_s=0.3, farewell_s=5.0, streams=3)


@pytest.fixture
async def gateway():
    return FakeGateway()


@pytest.fixture
def tokens(tmp_path):
    return TokenStore(tmp_path / "tokens.db")


@pytest.fixture
def operator(tokens):
    return {"Authorization": f"Bearer {tokens.create('operator', Role.OPERATOR)}"}


@pytest.fixture
def admin(tokens):
    return {"Authorization": f"Bearer {tokens.create('admin', Role.ADMIN)}"}


@pytest.fixture
def viewer(tokens):
    return {"Authorization": f"Bearer {tokens.create('viewer', Role.VIEWER)}"}


@pytest.fixture
async def listening(gateway, tokens, tmp_path):
    app = create_app(gateway, tokens, version="1.2.3", streams=SETTINGS)
    async with serve(app, unix=tmp_path / "api.sock", tcp=("127.0.0.1", 0)) as where:
        yield where


@pytest.fixture
async def local(listening):
    """A session over the unix socket, as the command line has it."""
    connector = aiohttp.UnixConnector(str(listening.unix))
    async with aiohttp.ClientSession("http://dlp/api/v1/", connector=connector) as session:
        yield session


@pytest.fixture
async def remote(listening):
    """A session over TCP that shows no token by itself."""
    host, port = listening.tcp
    async with aiohttp.ClientSession(f"http://{host}:{port}/api/v1/") as session:
        yield session


@pytest.fixture
def raw(listening):
    """Send bytes over the unix socket and read all that comes back."""

    async def exchange(data: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(str(listening.unix))
        writer.write(data)
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
        return answer

    return exchange


@pytest.fixture
def expect_problem():
    """Check a response for a problem of a kind and return its JSON object."""

    async def check(response, status, slug):
        found = await response.json(content_type="application/problem+json")
        assert (status, f"urn:dlp:problem:{slug}") == (response.status, found["type"])
        assert {"type", "title", "status", "detail", "instance"} <= set(found)
        assert status == found["status"]
        return found

    return check
