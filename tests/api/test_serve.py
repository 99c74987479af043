"""Sockets, and what is no HTTP."""

from __future__ import annotations

import asyncio
import socket
import stat

import aiohttp
import pytest

from dlp.api import serve as serving
from dlp.api.app import create_app
from dlp.api.serve import serve
from dlp.errors import ApiError


@pytest.fixture
def app(gateway):
    return create_app(gateway, None, version="1")


async def status_over(path):
    connector = aiohttp.UnixConnector(str(path))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get("http://dlp/api/v1/health") as response,
    ):
        return response.status


async def test_unix_socket(app, tmp_path):
    """Mode 0660 in a directory made for it; gone when the block ends."""
    path = tmp_path / "run" / "api.sock"
    async with serve(app, unix=path) as where:
        assert 0o660 == stat.S_IMODE(path.stat().st_mode)
        assert 200 == await status_over(path)
        assert (path, None) == (where.unix, where.tcp)
    assert not path.exists()


async def test_stale_socket(app, tmp_path):
    """A socket left behind by a gateway that was killed is replaced."""
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))

    async with serve(app, unix=path):
        assert 200 == await status_over(path)


async def test_live_socket(app, listening):
    """A socket that somebody answers at stays theirs."""
    with pytest.raises(ApiError, match="another gateway answers"):
        async with serve(app, unix=listening.unix):
            pass
    assert 200 == await status_over(listening.unix)


async def test_no_socket(app, tmp_path):
    """A file in its place is not removed."""
    path = tmp_path / "api.sock"
    path.write_text("precious")

    with pytest.raises(ApiError, match="is not a socket"):
        async with serve(app, unix=path):
            pass
    assert "precious" == path.read_text()


async def test_long_path(app, tmp_path):
    """A path longer than a socket's address is an error that says so."""
    with pytest.raises(ApiError, match=r"api\.unix"):
        async with serve(app, unix=tmp_path / ("x" * 120)):
            pass


async def test_taken_port(app, listening):
    """A port that is taken is named."""
    with pytest.raises(ApiError, match=r"cannot listen on 127\.0\.0\.1"):
        async with serve(app, unix=None, tcp=listening.tcp):
            pass


async def test_shutdown_ends_streams(gateway, tmp_path):
    """The end of serving tells open streams at once instead of waiting for them."""
    path = tmp_path / "api.sock"
    app = create_app(gateway, None, version="1")
    connector = aiohttp.UnixConnector(str(path))
    async with aiohttp.ClientSession(connector=connector) as session:
        async with serve(app, unix=path):
            response = await session.get("http://dlp/api/v1/events")
        async with asyncio.timeout(2):
            text = await response.text()
    assert "event: closed" in text
    assert '"reason": "shutdown"' in text


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: dlp\r\n4111111111111111\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: dlp\r\nX: 4111111111111111\0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: dlp\r\nX: " + b"4" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"4" * 20_000 + b" HTTP/1.1\r\nHost: dlp\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: dlp\r\n" + b"X: 4111111111111111\r\n" * 100 + b"\r\n",
        b"POST /api/v1/reload HTTP/1.1\r\nHost: dlp\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/reload HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_no_http(raw, gateway, caplog, data):
    """What is no HTTP or breaks a limit: a problem, the connection closed, nothing repeated."""
    answer = await raw(data)

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ", b"HTTP/1.1 431 "))
    assert b"Server: dlp\r\n" in head + b"\r\n"
    assert b"application/problem+json" in head
    assert b"urn:dlp:problem:malformed-request" in body
    assert b"411111" not in answer
    assert "411111" not in caplog.text
    assert 0 == gateway.reloads


async def test_no_request(app, tmp_path, monkeypatch):
    """A connection that sends no request is closed."""
    monkeypatch.setattr(serving, "HEADER_S", 0.1)
    async with serve(app, unix=tmp_path / "api.sock"):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "api.sock"))
        writer.write(b"GET /api/v1/health HTTP/1.1\r\nX: ")
        async with asyncio.timeout(5):
            assert b"" == await reader.read()
        writer.close()


async def test_crowd(app, tmp_path, monkeypatch):
    """Connections over TCP are bounded, and do not crowd out the unix socket."""
    monkeypatch.setattr(serving, "TCP_CONNECTIONS", 2)
    path = tmp_path / "api.sock"
    async with serve(app, unix=path, tcp=("127.0.0.1", 0)) as where:
        writers = [(await asyncio.open_connection(*where.tcp))[1] for _ in range(2)]
        reader, writer = await asyncio.open_connection(*where.tcp)
        async with asyncio.timeout(5):
            assert b"" == await reader.read()
        assert 200 == await status_over(path)
        for each in (*writers, writer):
            each.close()
