"""Who may ask what: the unix socket's file mode, or a bearer token with a role.

A connection over the unix socket was let in by the file's owner and group and may do
everything. Any other connection shows a token with each request.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import socket
import struct
import time
from collections import OrderedDict
from collections.abc import Callable

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from dlp.api.context import BY, ROLES, TOKENS
from dlp.api.problems import Handler, Problem
from dlp.store.tokens import Role, Token, TokenStore

BURST = 10
REFILL_S = 6.0
MAX_PEERS = 4096
TOKEN_LENGTH = 128
_CREDENTIALS = struct.Struct("=iII")  # struct ucred: pid, uid, gid
READING = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})


class FailureLimiter:
    """A token bucket of failed attempts for each peer; the oldest peers are forgotten.

    An IPv6 peer is its /64: one host may use all of it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._peers: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, peer: str) -> float:
        """Seconds until the peer may try again; 0 if it may now."""
        return max(0.0, (1.0 - self._level(_network(peer))) * REFILL_S)

    def fail(self, peer: str) -> None:
        """Count a failed attempt."""
        network = _network(peer)
        self._peers[network] = (max(0.0, self._level(network) - 1.0), self._clock())
        self._peers.move_to_end(network)
        if len(self._peers) > MAX_PEERS:
            self._peers.popitem(last=False)

    def _level(self, network: str) -> float:
        level, at = self._peers.get(network, (float(BURST), 0.0))
        return min(float(BURST), level + (self._clock() - at) / REFILL_S)


def make_auth_middleware(limiter: FailureLimiter) -> Middleware:
    """The middleware that lets in only who may."""

    @web.middleware
    async def auth_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        local = _local_user(request)
        if local is not None:
            BY.set(f"local user {local}")
            return await handler(request)
        token = await _token(request, limiter)
        needed = _needed(request)
        if not token.role.covers(needed):
            raise Problem(403, "forbidden", f"This needs the role {needed}.", needed=needed)
        BY.set(f"token {token.name}")
        return await handler(request)

    return auth_middleware


def _needed(request: web.Request) -> Role:
    """What a token needs: by the route, else by whether it reads or changes."""
    resource = request.match_info.route.resource
    path = resource.canonical if resource else ""
    usual = Role.VIEWER if request.method in READING else Role.OPERATOR
    return request.app[ROLES].get((request.method, path), usual)


def _local_user(request: web.Request) -> int | None:
    """User id at the other end of the unix socket; None over TCP."""
    transport = request.transport
    connection = transport.get_extra_info("socket") if transport else None
    if connection is None or connection.family != socket.AF_UNIX:
        return None
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(raw)[1]
    return uid


async def _token(request: web.Request, limiter: FailureLimiter) -> Token:
    peer = request.remote or ""
    wait_s = limiter.wait_s(peer)
    if wait_s > 0:
        raise Problem(
            429,
            "too-many-failures",
            "Too many requests without a valid token.",
            headers={"Retry-After": str(math.ceil(wait_s))},
        )
    token = await _shown_token(request, request.app[TOKENS])
    if token is None:
        limiter.fail(peer)
        raise Problem(
            401,
            "unauthorized",
            "This needs a valid token in the header `Authorization: Bearer …`.",
            headers={"WWW-Authenticate": 'Bearer realm="dlp"'},
            remedy="dlp token create makes one",
        )
    return token


async def _shown_token(request: web.Request, tokens: TokenStore | None) -> Token | None:
    shown = request.headers.getall(hdrs.AUTHORIZATION, [])
    if tokens is None or len(shown) != 1:
        return None
    scheme, _, token = shown[0].partition(" ")
    if scheme.lower() != "bearer" or len(token) > TOKEN_LENGTH:
        return None
    return await asyncio.to_thread(tokens.verify, token.strip())


def _network(peer: str) -> str:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer
    if address.version == 4:  # noqa: PLR2004 - the protocol's version
        return peer
    return str(ipaddress.ip_network((address, 64), strict=False))
