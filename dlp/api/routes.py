"""The table of routes: what the router serves and the OpenAPI document describes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from pydantic import BaseModel

from dlp.api import handlers, metrics, releases, views
from dlp.api.context import ROLES
from dlp.api.events import events, incident_events
from dlp.api.parameters import (
    ActivateBody,
    EventParameters,
    FlowParameters,
    IncidentParameters,
    NoParameters,
    Parameters,
    QuarantineBody,
    ReleaseBody,
    ReloadBody,
    RollbackBody,
    ShadowBody,
    VerdictParameters,
    read_query,
)
from dlp.api.problems import Handler
from dlp.store.tokens import Role

BASE = "/api/v1"
OPENAPI = "/openapi.json"
EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one path.

    Attributes:
        path: below BASE; `{id}`, `{name}` and `{version}` are path parameters.
        handler: takes the request and its checked query.
        view: of a successful answer; None where it is no JSON object of ours.
        media: type of a successful answer.
        needs_body: an empty body does not fit.
        takes: type of a body that is no JSON; then `body` is None.
        numbered: `{id}` is a number, else a name.
        role: what a token needs; None is viewer to read and operator to change.
        problems: statuses of its own, apart from those that every route may have.
    """

    path: str
    handler: Callable[[web.Request, Any], Awaitable[web.StreamResponse]]
    summary: str
    view: type[BaseModel] | None = None
    method: str = "GET"
    media: str = "application/json"
    parameters: type[Parameters] = NoParameters
    body: type[Parameters] | None = None
    needs_body: bool = False
    takes: str = ""
    role: Role | None = None
    numbered: bool = False
    problems: tuple[int, ...] = ()


ROUTES = (
    Route(path="/health", handler=handlers.health, summary="How the gateway is", view=views.Health),
    Route(
        path="/workloads",
        handler=handlers.workloads,
        summary="Workloads and the state of their enforcement",
        view=views.WorkloadList,
    ),
    Route(
        path="/workloads/{name}/quarantine",
        handler=handlers.quarantine,
        summary="Cut a workload's egress until it is released",
        view=views.Workload,
        method="POST",
        body=QuarantineBody,
        needs_body=True,
        problems=(404, 413, 415),
    ),
    Route(
        path="/workloads/{name}/release",
        handler=handlers.release,
        summary="Let a quarantined workload send again",
        view=views.Workload,
        method="POST",
        body=ReleaseBody,
        problems=(404, 413, 415),
    ),
    Route(
        path="/flows",
        handler=handlers.flows,
        summary="Flows that the kernel has state of",
        view=views.FlowList,
        parameters=FlowParameters,
    ),
    Route(
        path="/verdicts",
        handler=handlers.verdicts,
        summary="Stored verdicts, newest first",
        view=views.VerdictList,
        parameters=VerdictParameters,
    ),
    Route(
        path="/verdicts/{id}",
        handler=handlers.verdict,
        summary="One verdict",
        view=views.Verdict,
        numbered=True,
        problems=(404,),
    ),
    Route(
        path="/incidents",
        handler=handlers.incidents,
        summary="Stored incidents, newest first",
        view=views.IncidentList,
        parameters=IncidentParameters,
    ),
    Route(
        path="/incidents/events",
        handler=incident_events,
        summary="Incidents as they begin, as server-sent events",
        media=EVENT_STREAM,
        parameters=EventParameters,
    ),
    Route(
        path="/events",
        handler=events,
        summary="Verdicts as they happen, as server-sent events",
        media=EVENT_STREAM,
        parameters=EventParameters,
    ),
    Route(
        path="/signatures",
        handler=handlers.signatures,
        summary="Signatures in force",
        view=views.SignatureList,
    ),
    Route(
        path="/signatures/{id}",
        handler=handlers.signature,
        summary="One signature",
        view=views.Signature,
        problems=(404,),
    ),
    Route(
        path="/signatures/{id}",
        handler=releases.put_signature,
        summary="Development mode: put a signature in place of the one of that id",
        view=views.Override,
        method="PUT",
        takes=releases.YAML,
        role=Role.ADMIN,
        problems=(404, 409, 413, 415, 422),
    ),
    Route(
        path="/packs/{name}",
        handler=releases.put_pack,
        summary="Development mode: put a pack in place of the one of that name",
        view=views.Override,
        method="PUT",
        takes=releases.YAML,
        role=Role.ADMIN,
        problems=(404, 409, 413, 415, 422),
    ),
    Route(
        path="/releases",
        handler=releases.listing,
        summary="Signature releases, newest version first",
        view=views.ReleaseList,
    ),
    Route(
        path="/releases",
        handler=releases.upload,
        summary="Upload a signed release: it is verified and compiled",
        view=views.Release,
        method="POST",
        takes=releases.ARCHIVE,
        role=Role.ADMIN,
        problems=(409, 413, 415, 422),
    ),
    Route(
        path="/releases/{version}",
        handler=releases.show,
        summary="One release with its steps",
        view=views.Release,
        problems=(404,),
    ),
    Route(
        path="/releases/{version}/shadow",
        handler=releases.shadow,
        summary="Run a release beside the live set, only counted",
        view=views.Release,
        method="POST",
        body=ShadowBody,
        role=Role.ADMIN,
        problems=(404, 409, 413, 415, 422),
    ),
    Route(
        path="/releases/{version}/activate",
        handler=releases.activate,
        summary="Make a release live, for some workloads or for all",
        view=views.Release,
        method="POST",
        body=ActivateBody,
        role=Role.ADMIN,
        problems=(404, 409, 413, 415, 422),
    ),
    Route(
        path="/releases/{version}/rollback",
        handler=releases.rollback,
        summary="Take a release out of force: what was live before is live again",
        view=views.Release,
        method="POST",
        body=RollbackBody,
        role=Role.ADMIN,
        problems=(404, 409, 413, 415, 422),
    ),
    Route(
        path="/releases/{version}/diff",
        handler=releases.diff,
        summary="What a release would do otherwise than the live set",
        view=views.ReleaseDiff,
        problems=(404, 409, 422),
    ),
    Route(
        path="/stats",
        handler=handlers.stats,
        summary="Packets and bytes by reason",
        view=views.Stats,
    ),
    Route(
        path="/metrics",
        handler=handlers.metrics,
        summary="Health and counters in Prometheus' text format",
        media=metrics.MEDIA_TYPE,
    ),
    Route(
        path="/reload",
        handler=handlers.reload,
        summary="Read configuration and packs again and make them live",
        view=views.ReloadResult,
        method="POST",
        body=ReloadBody,
        problems=(409, 413, 415, 422),
    ),
)


def add_routes(app: web.Application, routes: tuple[Route, ...]) -> None:
    """Serve the routes, each behind the check of its query."""
    app[ROLES] = {(route.method, BASE + route.path): route.role for route in routes if route.role}
    for route in routes:
        if route.method == "GET":
            # A stream has no head to speak of.
            allow_head = route.media != EVENT_STREAM
            app.router.add_get(BASE + route.path, _checked(route), allow_head=allow_head)
        else:
            app.router.add_route(route.method, BASE + route.path, _checked(route))


def _checked(route: Route) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await route.handler(request, read_query(request, route.parameters))

    return handle
