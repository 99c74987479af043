"""What a request handler finds in its application, and the settings of event streams."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass

from aiohttp import web

from dlp.service import Gateway
from dlp.store.tokens import Role, TokenStore


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """Bounds of an event stream.

    Attributes:
        heartbeat_s: between comments that keep proxies and clients awake.
        backlog: verdicts held for a client that does not read.
        stall_s: how long a full backlog may take to become half empty.
        farewell_s: how long the last event may take to leave.
        streams: open at one time.
    """

    heartbeat_s: float = 15.0
    backlog: int = 1024
    stall_s: float = 5.0
    farewell_s: float = 10.0
    streams: int = 64


@dataclass(slots=True)
class Streams:
    """Event streams of one application: how many are open, and whether it is closing."""

    settings: StreamSettings
    closing: asyncio.Event
    open: int = 0


GATEWAY: web.AppKey[Gateway] = web.AppKey("gateway", Gateway)
TOKENS: web.AppKey[TokenStore | None] = web.AppKey("tokens", TokenStore)
STREAMS = web.AppKey("streams", Streams)
# What a token needs for a method of a path, where it is more than to read or to change.
ROLES: web.AppKey[dict[tuple[str, str], Role]] = web.AppKey("roles", dict)
RELOADING = web.AppKey("reloading", asyncio.Lock)
COUNTING = web.AppKey("counting", asyncio.Lock)
# Who asks, as the log tells it; set for each request that is let in, in its own task.
BY: ContextVar[str] = ContextVar("by")
