"""A small client of the gateway's API, over its unix socket or TCP."""

from __future__ import annotations

import io
import json
import re
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from dlp.errors import ApiError, Place

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")

SOCKET = "/run/dlp/api.sock"
PREFIX = "/api/v1/"
TIMEOUT_S = 30.0
SILENCE_S = 90.0  # an event stream has a heartbeat every 15 s
PAGE = 1000
MAX_EVENT = 1 << 20

_START = "start it with `dlp run --config FILE`, or name its socket or URL with --api"
_STREAMS = {"verdicts": ("events", "verdict"), "incidents": ("incidents/events", "incident")}
_URL = re.compile(r"https?://[^\s/?#]+/?")

Api = Annotated[
    str,
    typer.Option(
        "--api",
        envvar="DLP_API",
        help=f"The gateway's socket or URL; {SOCKET} unless given.",
        metavar="PATH|URL",
    ),
]
Token = Annotated[
    str,
    typer.Option(
        "--token",
        envvar="DLP_TOKEN",
        help="For a URL; better in DLP_TOKEN, where other users do not see it.",
        metavar="TOKEN",
    ),
]


@dataclass(frozen=True, slots=True)
class Client:
    """Where the gateway answers. `api`: a path of a unix socket, or a URL; empty for the usual.

    Every method raises ApiError: nobody answers, the token is refused, or the request is.
    """

    api: str = ""
    token: str = field(default="", repr=False)

    async def ask(
        self,
        path: str,
        query: Mapping[str, object] | None = None,
        *,
        method: str = "GET",
        body: Mapping[str, object] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> dict[str, Any]:
        """The JSON object that a path below /api/v1/ answers with; `body` is sent as JSON."""
        async with self._request(method, path, query, timeout_s=timeout_s, body=body) as response:
            return _object((await response.read()).decode("utf-8", "replace"))

    async def send(
        self, path: str, data: bytes, *, media: str, method: str = "POST", timeout_s: float
    ) -> dict[str, Any]:
        """As `ask`, with bytes of a media type as the body."""
        async with self._request(
            method,
            path,
            None,
            timeout_s=timeout_s,
            headers={"Content-Type": media},
            data=io.BytesIO(data),
        ) as response:
            return _object((await response.read()).decode("utf-8", "replace"))

    async def pages(
        self, path: str, query: Mapping[str, object], limit: int
    ) -> list[dict[str, Any]]:
        """The first `limit` entries of a list, over as many pages as it takes."""
        found: list[dict[str, Any]] = []
        cursor: object = None
        while len(found) < limit:
            size = min(PAGE, limit - len(found))
            answer = await self.ask(path, {**query, "limit": size, "cursor": cursor})
            page = items(answer)
            found += page
            cursor = answer.get("next")
            if cursor is None or not page:
                break
        return found[:limit]

    async def events(
        self, of: str = "verdicts", *, after: int | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """`verdicts` as they are stored or `incidents` as they begin, first those after an id.

        Goes on by itself where the gateway cut off a reader that paused for long; ends with
        ApiError when the gateway does.
        """
        path, wanted = _STREAMS[of]
        while True:
            headers = {"Accept": "text/event-stream"}
            if after is not None:
                headers["Last-Event-ID"] = str(after)
            async with self._request("GET", path, None, headers=headers) as response:
                async for kind, event in _sse(response.content):
                    if kind == wanted:
                        yield event
                        after = event.get("id", after)
                    elif kind == "closed" and event.get("reason") == "slow":
                        after = event.get("last_id", after)
                        break
                    elif kind == "closed":
                        raise ApiError(
                            str(event.get("detail", "the gateway ended")), remedy="see `dlp status`"
                        )
                else:
                    raise ApiError("the gateway ended the stream", remedy="see `dlp status`")

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None,
        *,
        timeout_s: float | None = None,
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        data: io.BytesIO | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        import aiohttp  # noqa: PLC0415 - 0.2 s that other commands need not wait for

        api = self.api or SOCKET
        unix = "://" not in api
        if not unix and not _URL.fullmatch(api):
            raise ApiError(
                "--api is no URL of a gateway", remedy="write it as http://127.0.0.1:8470"
            )
        base = "http://gateway" if unix else api.rstrip("/")
        sent = dict(headers or {})
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        parameters = {
            name: str(value) for name, value in (query or {}).items() if value is not None
        }
        timeout = aiohttp.ClientTimeout(
            total=timeout_s, sock_connect=5, sock_read=max(SILENCE_S, timeout_s or 0)
        )
        connector = aiohttp.UnixConnector(path=api) if unix else None
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
                session.request(
                    method,
                    base + PREFIX + path,
                    params=parameters,
                    headers=sent,
                    json=body,
                    data=data,
                    # A token must not follow to where an answer points.
                    allow_redirects=False,
                ) as response,
            ):
                if response.status >= 300:  # noqa: PLR2004 - 2xx alone is success
                    raise await _refusal(response)
                yield response
        except TimeoutError as error:
            raise ApiError(
                f"the gateway at {api} does not answer in time", remedy=_START
            ) from error
        except aiohttp.ClientConnectorError as error:
            raise _unreachable(api, error.os_error) from error
        except (aiohttp.ClientError, ValueError) as error:
            raise ApiError(f"the gateway at {api} broke off", remedy="see `dlp status`") from error


def ask(
    api: str,
    token: str,
    path: str,
    query: Mapping[str, object] | None = None,
    *,
    method: str = "GET",
    body: Mapping[str, object] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> dict[str, Any]:
    """As Client.ask, for a command that asks once; the answer is an object.

    Raises:
        ApiError: as Client.
    """
    return wait_for(
        Client(api, token).ask(path, query, method=method, body=body, timeout_s=timeout_s)
    )


def wait_for(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end."""
    import asyncio  # noqa: PLC0415 - other commands need not wait for it

    return asyncio.run(coroutine)


def items(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entries of a list. Raises ApiError if it is none."""
    found = answer.get("items")
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise _unreadable()
    return found


async def _refusal(response: aiohttp.ClientResponse) -> ApiError:
    """The error that an answer tells of, by its problem details (RFC 9457)."""
    if response.status == 401:  # noqa: PLR2004 - the code's meaning is in the message
        return ApiError(
            "the gateway wants a token", remedy="`dlp token create` makes one; set DLP_TOKEN to it"
        )
    try:
        problem = json.loads(await response.read())
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    message = problem.get("detail") or problem.get("title") or f"status {response.status}"
    remedy = problem.get("remedy") or ""
    if response.status == 403 and not remedy:  # noqa: PLR2004
        remedy = f"this needs a token with the role {problem.get('needed') or 'operator'}"
    return ApiError(f"the gateway refused: {_place(problem)}{message}", remedy=str(remedy))


def _place(problem: Mapping[str, Any]) -> str:
    """`file:line: key: ` where a file is at fault, else empty."""
    place = problem.get("place")
    if not isinstance(place, dict):
        return ""
    return (
        f"{Place(Path(str(place.get('file'))), place.get('line'), str(place.get('key') or ''))}: "
    )


def _unreachable(api: str, error: OSError) -> ApiError:
    if isinstance(error, PermissionError):
        return ApiError(
            f"no permission to speak to the gateway at {api}",
            remedy="run as root or in the socket's group",
        )
    return ApiError(f"no gateway answers at {api}", remedy=_START)


def _unreadable() -> ApiError:
    return ApiError(
        "what answers is no gateway of this version", remedy="check --api and `dlp --version`"
    )


async def _sse(lines: aiohttp.StreamReader) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Kind and JSON object of each server-sent event (WHATWG HTML, 9.2.6)."""
    kind, data = "message", ""
    async for raw in lines:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data += value
            if len(data) > MAX_EVENT:
                raise _unreadable()
        elif not line:
            if data:
                yield kind, _object(data)
            kind, data = "message", ""


def _object(data: str) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError as error:
        raise _unreadable() from error
    if not isinstance(found, dict):
        raise _unreadable()
    return found
