"""Errors as the API tells them: problem details (RFC 9457).

Nothing of a request's body or of an unexpected exception's text goes into a response
or a log: both might quote payload.
"""

from __future__ import annotations

import http
import json
import secrets
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from aiohttp import web
from pydantic import BaseModel

from dlp.errors import ConfigError, ConflictError, DlpError, PackError, UsageError

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:dlp:problem:"
INSTANCE_LENGTH = 200

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = structlog.get_logger("dlp.api")

_SLUGS = {
    400: "malformed-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    415: "unsupported-media-type",
    503: "unavailable",
}


class Problem(Exception):
    """An answer other than success.

    Args:
        status: HTTP status code.
        slug: last part of the problem's type, for programs to branch on.
        detail: one sentence for people.
        headers: of the response.
        members: further members of the JSON object.
    """

    def __init__(
        self,
        status: int,
        slug: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members


def render(problem: Problem, instance: str) -> web.Response:
    """The response that tells a problem; `instance` is the path asked for."""
    body = {
        "type": TYPE + problem.slug,
        "title": http.HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "instance": instance[:INSTANCE_LENGTH],
        **problem.members,
    }
    return web.Response(
        status=problem.status,
        body=json.dumps(body).encode(),
        headers={**problem.headers, "Content-Type": MEDIA_TYPE},
    )


def json_response(view: BaseModel) -> web.Response:
    """A successful answer."""
    return web.Response(body=view.model_dump_json().encode(), content_type="application/json")


@web.middleware
async def problem_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into problem details."""
    try:
        return await handler(request)
    except Problem as error:
        problem = error
    except web.HTTPException as error:
        problem = _from_http(error)
    except DlpError as error:
        problem = _from_dlp(error)
    except Exception as error:  # noqa: BLE001 - the last resort, logged as an incident
        problem = Problem(
            500,
            "internal",
            "The gateway failed to answer; its log holds the incident.",
            incident=record_incident(request, error),
        )
    return render(problem, request.rel_url.raw_path)


def record_incident(request: web.Request, error: Exception) -> str:
    """Log an unexpected exception under a random id, and return the id.

    The route, the exception's class and the places in the code: no message, no values.
    """
    incident = secrets.token_hex(8)
    resource = request.match_info.route.resource
    frames = traceback.extract_tb(error.__traceback__)
    log.error(
        "api.incident",
        incident=incident,
        method=request.method,
        route=resource.canonical if resource else None,
        error=type(error).__name__,
        frames=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    )
    return incident


def refusal(error: DlpError) -> Problem:
    """A change that the gateway refused: 422 where what was asked is at fault, else 409."""
    if isinstance(error, ConflictError):
        return Problem(409, "conflict", error.message, remedy=error.remedy, state=error.state)
    faulty = isinstance(error, ConfigError | PackError | UsageError)
    if faulty:
        return Problem(422, "refused", error.message, **_members(error))
    return Problem(409, "conflict", error.message, **_members(error))


def _from_dlp(error: DlpError) -> Problem:
    if isinstance(error, UsageError):
        return Problem(400, "invalid-parameter", error.message, **_members(error))
    return Problem(503, "unavailable", error.message, **_members(error))


def _members(error: DlpError) -> dict[str, Any]:
    members: dict[str, Any] = {"remedy": error.remedy}
    if error.place:
        place = error.place
        members["place"] = {"file": str(place.file), "line": place.line, "key": place.key}
    return members


def _from_http(error: web.HTTPException) -> Problem:
    slug = _SLUGS.get(error.status, "http")
    match error:
        case web.HTTPNotFound():
            return Problem(404, slug, "No such resource; /api/v1/openapi.json lists all.")
        case web.HTTPMethodNotAllowed():
            allowed = sorted(error.allowed_methods)
            return Problem(
                405,
                slug,
                f"{error.method[:16]} is not allowed here.",
                headers={"Allow": ", ".join(allowed)},
                allowed=allowed,
            )
        case web.HTTPRequestEntityTooLarge():
            return Problem(413, slug, "The body is larger than 1 MiB.")
        case _:
            return Problem(error.status, slug, http.HTTPStatus(error.status).description)
