"""The application: routes, middlewares and what every response carries."""

from __future__ import annotations

import asyncio
import json

from aiohttp import hdrs, web

from dlp.api.auth import FailureLimiter, make_auth_middleware
from dlp.api.context import (
    COUNTING,
    GATEWAY,
    RELOADING,
    STREAMS,
    TOKENS,
    Streams,
    StreamSettings,
)
from dlp.api.openapi import document
from dlp.api.parameters import NoParameters
from dlp.api.problems import problem_middleware
from dlp.api.routes import OPENAPI, ROUTES, Route, add_routes
from dlp.service import Gateway
from dlp.store.tokens import TokenStore

BODY_LIMIT = 1 << 20
# Says nothing of the libraries and their versions.
SERVER = "dlp"


def create_app(
    gateway: Gateway,
    tokens: TokenStore | None,
    *,
    version: str,
    streams: StreamSettings | None = None,
) -> web.Application:
    """The API of a gateway.

    Args:
        gateway: what is asked.
        tokens: who may ask over TCP; None lets nobody. The unix socket needs none.
        version: of the product, shown in the OpenAPI document.
        streams: bounds of the event streams.
    """
    app = web.Application(
        middlewares=[problem_middleware, make_auth_middleware(FailureLimiter())],
        client_max_size=BODY_LIMIT,
    )
    app[GATEWAY] = gateway
    app[TOKENS] = tokens
    app[RELOADING] = asyncio.Lock()
    app[COUNTING] = asyncio.Lock()
    app[STREAMS] = Streams(settings=streams or StreamSettings(), closing=asyncio.Event())
    app.on_response_prepare.append(_common_headers)
    app.on_shutdown.append(_end_streams)
    add_routes(app, all_routes(version))
    return app


def all_routes(version: str) -> tuple[Route, ...]:
    """Every route, the description of all of them included."""

    async def openapi(_: web.Request, __: NoParameters) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    own = Route(path=OPENAPI, handler=openapi, summary="This document")
    routes = (*ROUTES, own)
    body = json.dumps(document(routes, version)).encode()
    return routes


async def _common_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers[hdrs.SERVER] = SERVER
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")


async def _end_streams(app: web.Application) -> None:
    app[STREAMS].closing.set()
