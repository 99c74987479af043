"""What comes in with a request: query parameters, cursors, bodies, all checked.

What does not fit is a problem that names the parameter and what was expected; the value
given is not repeated.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import urllib.parse
from typing import Annotated, Any, Literal, Self, TypeVar

from aiohttp import hdrs, web
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from dlp.api.cursors import flow_cursor, incident_cursor, verdict_cursor
from dlp.api.problems import Problem
from dlp.releases.canary import GLOBS

MAX_ID = 2**63 - 1
MAX_FIELDS = 32
NAME_LENGTH = 64


def _time(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = _rfc3339(value)
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError("Expected a time after 1970")
    return seconds


def _rfc3339(value: str) -> float:
    try:
        moment = dt.datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("Expected seconds since 1970 or a time as 2026-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return moment.timestamp()


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("Expected text without control characters")
    return value


_CURSOR = WithJsonSchema(
    {"type": "string", "minLength": 1, "description": "`next` of the page before"}
)
Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_printable)]
Glob = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.*?\[\]!-]{1,128}$")]
Label = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")]
Time = Annotated[
    float,
    BeforeValidator(_time),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "description": "seconds since 1970"},
                {"type": "string", "format": "date-time"},
            ]
        }
    ),
]
Limit = Annotated[int, Field(ge=1, le=1000)]
VerdictId = Annotated[int, Field(ge=0, le=MAX_ID)]
FlowId = Annotated[int, Field(ge=0, le=2**64 - 1)]


class Parameters(BaseModel):
    """Base of all that is checked on its way in."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoParameters(Parameters):
    """A route that takes none."""


class FlowParameters(Parameters):
    """Of GET /flows."""

    workload: Name | None = None
    limit: Limit = 100
    cursor: Annotated[int | None, BeforeValidator(flow_cursor.decode), _CURSOR] = None


class _Span(Parameters):
    """A stretch of time, both ends included."""

    since: Time | None = None
    until: Time | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.since is not None and self.until is not None and self.since > self.until:
            raise ValueError("Expected since to be no later than until")
        return self


class VerdictParameters(_Span):
    """Of GET /verdicts."""

    workload: Name | None = None
    signature: Annotated[
        Name | None, Field(description="an id, or the beginning of ids followed by `*`")
    ] = None
    action: Literal["allow", "alert", "mirror", "hold", "drop"] | None = None
    severity: Label | None = None
    kind: Label | None = None
    flow: FlowId | None = None
    limit: Limit = 100
    cursor: Annotated[int | None, BeforeValidator(verdict_cursor.decode), _CURSOR] = None


class IncidentParameters(_Span):
    """Of GET /incidents."""

    workload: Name | None = None
    kind: (
        Literal["bypass", "tamper", "unguarded", "over_budget", "overload", "quarantine", "release"]
        | None
    ) = None
    limit: Limit = 100
    cursor: Annotated[int | None, BeforeValidator(incident_cursor.decode), _CURSOR] = None


class EventParameters(Parameters):
    """Of both event streams; the header Last-Event-ID, which a browser sends, prevails."""

    after: VerdictId | None = None


class QuarantineBody(Parameters):
    """Of POST /workloads/{name}/quarantine."""

    reason: Annotated[Name, Field(description="for those who ask later why")]


class ReleaseBody(Parameters):
    """Of POST /workloads/{name}/release: empty."""


class ShadowBody(Parameters):
    """Of POST /releases/{version}/shadow: empty."""


class CanaryBody(Parameters):
    """Workloads that a release acts for before it does for all; a glob or a number is needed."""

    netns: Annotated[
        list[Glob], Field(max_length=GLOBS, description="globs over names of workloads")
    ] = []
    percent: Annotated[int, Field(ge=0, le=99, description="of all, by a hash of the name")] = 0

    @model_validator(mode="after")
    def _chooses(self) -> Self:
        if not self.netns and not self.percent:
            raise ValueError("Expected netns or percent, or no canary")
        return self


class ActivateBody(Parameters):
    """Of POST /releases/{version}/activate; without `canary` for all workloads."""

    canary: CanaryBody | None = None


class RollbackBody(Parameters):
    """Of POST /releases/{version}/rollback."""

    reason: Annotated[Name | Literal[""], Field(description="for those who ask later why")] = ""


class ReloadBody(Parameters):
    """Of POST /reload: empty; what is reloaded is the file the gateway was started with."""


P = TypeVar("P", bound=Parameters)


def read_query(request: web.Request, model: type[P]) -> P:
    """The checked query of a request.

    Raises:
        Problem: 400.
    """
    fields = _query_fields(request)
    allowed = sorted(model.model_fields)
    values: dict[str, str] = {}
    for name, value in fields:
        if name not in model.model_fields:
            raise Problem(
                400,
                "invalid-parameter",
                f"Unknown parameter {_shown(name)}; {_listed(allowed)}.",
                parameter=name[:NAME_LENGTH],
                allowed=allowed,
            )
        if name in values:
            raise Problem(
                400, "invalid-parameter", f"Parameter {name} is given twice.", parameter=name
            )
        values[name] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _invalid("invalid-parameter", "parameter", error) from None


def read_number(name: str, text: str) -> int:
    """A verdict's id out of a path or header.

    Raises:
        Problem: 400.
    """
    if re.fullmatch(r"[0-9]{1,19}", text, re.ASCII) and int(text) <= MAX_ID:
        return int(text)
    detail = f"{name}: Expected a decimal number from 0 to {MAX_ID}."
    raise Problem(400, "invalid-parameter", detail, parameter=name)


async def read_body(request: web.Request, model: type[P]) -> P:
    """The checked JSON body of a request; no body reads as an empty object, if it may be one.

    Raises:
        Problem: 415 for another content type or a compressed body, 400 for what does not fit.
    """
    if hdrs.CONTENT_ENCODING in request.headers:
        raise Problem(415, "unsupported-media-type", "Expected a body without content encoding.")
    body = await request.read()
    if not body:
        body = b"{}"
    elif request.content_type != "application/json":
        raise Problem(
            415,
            "unsupported-media-type",
            "Expected a body of type application/json.",
            headers={"Accept": "application/json"},
        )
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _invalid("invalid-body", "field", error) from None


def _query_fields(request: web.Request) -> list[tuple[str, str]]:
    # Not request.query: it leaves percent escapes that are no UTF-8 as they stand.
    raw = request.raw_path.partition("#")[0].partition("?")[2]
    try:
        raw.encode("ascii")
        return urllib.parse.parse_qsl(
            raw, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except UnicodeError:
        detail = "The query is not percent-encoded UTF-8."
    except ValueError:
        detail = f"The query has more than {MAX_FIELDS} parameters."
    raise Problem(400, "malformed-query", detail)


def _invalid(slug: str, place: str, error: ValidationError) -> Problem:
    # `msg` says what was expected; `input` would repeat what was given.
    found = [
        {place: ".".join(map(str, item["loc"]))[:NAME_LENGTH], "expected": _expected(item)}
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    text = "; ".join(
        f"{item[place]}: {item['expected']}" if item[place] else item["expected"] for item in found
    )
    return Problem(400, slug, f"{text}.", errors=found)


def _expected(item: Any) -> str:
    if item["type"] == "json_invalid":
        return "Expected a JSON object"
    return str(item["msg"]).removeprefix("Value error, ")


def _shown(name: str) -> str:
    return ascii(name[:NAME_LENGTH])


def _listed(allowed: list[str]) -> str:
    return f"allowed are {', '.join(allowed)}" if allowed else "none is allowed here"
