"""Listening: the unix socket for this host, TCP on request.

The limits of a connection are set here, and the answer to what is no HTTP, which no
application sees.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import http
import logging
import socket
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestHandler

from dlp.api.app import SERVER
from dlp.api.problems import Problem, render
from dlp.errors import ApiError

SOCKET_MODE = 0o660
PROBE_S = 1.0
SHUTDOWN_S = 5.0
HEADER_S = 30.0
TCP_CONNECTIONS = 256
LIMITS: dict[str, Any] = {
    "max_line_size": 8190,
    "max_field_size": 8190,
    "max_headers": 64,
    "keepalive_timeout": 75.0,
    # A compressed body is refused, not unpacked.
    "auto_decompress": False,
    # aiohttp's own lines quote paths and broken headers.
    "access_log": None,
    "logger": logging.getLogger("dlp.api.protocol"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where the API is reached; the TCP port is the one the kernel gave."""

    unix: Path | None
    tcp: tuple[str, int] | None


@contextlib.asynccontextmanager
async def serve(
    app: web.Application, *, unix: Path | None, tcp: tuple[str, int] | None = None
) -> AsyncIterator[Listening]:
    """Serve until the block ends; event streams are told, then all is closed.

    Raises:
        ApiError: an address is taken or cannot be used.
    """
    runner = _Runner(app, shutdown_timeout=SHUTDOWN_S, **LIMITS)
    await runner.setup()
    bound: Path | None = None
    try:
        if unix is not None:
            await web.SockSite(runner, await asyncio.to_thread(_bind_unix, unix)).start()
            bound = unix
        address = await _listen_tcp(runner, *tcp) if tcp else None
        yield Listening(unix=unix, tcp=address)
    finally:
        if bound is not None:
            # First: who comes now learns at once that there is nobody.
            bound.unlink(missing_ok=True)
        await runner.cleanup()


class _Connection(RequestHandler):
    """aiohttp's connection with bounds on waiting, and without its talkative errors."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        # Of TCP alone: no crowd out there locks the unix socket.
        others = self._manager.connections if self._manager else []
        crowd = sum(isinstance(other.peername, tuple) for other in others)
        if isinstance(self.peername, tuple) and crowd > TCP_CONNECTIONS:
            self.force_close()
            return
        asyncio.get_running_loop().call_later(HEADER_S, self._expect_request)

    def _expect_request(self) -> None:
        if self._request_count == 0:
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002 - its text quotes the request
        message: str | None = None,  # noqa: ARG002 - as above
    ) -> web.StreamResponse:
        """The answer to what is no HTTP or breaks a limit."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        detail = f"{http.HTTPStatus(status).description or 'The request is not valid HTTP'}."
        response = render(Problem(status, "malformed-request", detail), "")
        response.headers[hdrs.SERVER] = SERVER
        response.force_close()
        return response


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Runner(web.AppRunner):
    """A runner whose connections are _Connection.

    aiohttp has no public way to choose the class of a connection; a test pins what is
    relied on here.
    """

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        settings = made._kwargs  # noqa: SLF001 - see above
        return _Server(made.request_handler, request_factory=made.request_factory, **settings)


async def _listen_tcp(runner: web.AppRunner, host: str, port: int) -> tuple[str, int]:
    try:
        site = web.TCPSite(runner, host, port, reuse_address=True)
        await site.start()
    except OSError as error:
        raise ApiError(
            f"cannot listen on {host}:{port}: {error.strerror}",
            remedy="choose another address at api.tcp",
        ) from error
    taken: tuple[str, int] = runner.addresses[-1][:2]
    return taken


def _bind_unix(path: Path) -> socket.socket:
    """A bound socket of mode 0660, not yet listening.

    Until it listens nobody can connect, so that its mode is never too wide.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _remove_stale(path)
        listener.bind(str(path))
        path.chmod(SOCKET_MODE)
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise ApiError(
            f"cannot listen on {path}: {reason}", remedy="choose another path at api.unix"
        ) from error
    except ApiError:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody answers at; anything else stays."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ApiError(f"{path} is not a socket", remedy="choose another path at api.unix")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_S)
        found = probe.connect_ex(str(path))
    if found != errno.ECONNREFUSED:
        raise ApiError(f"another gateway answers at {path}", remedy="stop it first")
    path.unlink()
