"""One function for each route: translate, ask the gateway, translate back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable

from aiohttp import web
from pydantic import TypeAdapter

from dlp.api import metrics as prometheus
from dlp.api import views
from dlp.api.context import BY, COUNTING, GATEWAY, RELOADING
from dlp.api.cursors import flow_cursor, incident_cursor, verdict_cursor
from dlp.api.parameters import (
    MAX_ID,
    FlowParameters,
    IncidentParameters,
    NoParameters,
    QuarantineBody,
    ReleaseBody,
    ReloadBody,
    VerdictParameters,
    read_body,
    read_number,
)
from dlp.api.problems import Problem, json_response, refusal
from dlp.errors import DlpError, UsageError
from dlp.model import IncidentKind, Stats
from dlp.model import Workload as WorkloadValue
from dlp.service import IncidentQuery, VerdictQuery

# More than the kernel's flow map holds.
ALL_FLOWS = 1 << 20
_STATS = TypeAdapter(Stats)


@contextlib.asynccontextmanager
async def _turn(request: web.Request) -> AsyncIterator[None]:
    """One answer of all counters a turn of the loop: what the kernel tells is not kept waiting."""
    async with request.app[COUNTING]:
        yield
        await asyncio.sleep(0)


async def health(request: web.Request, _: NoParameters) -> web.Response:
    """Degraded is an answer, not an error: 200."""
    return json_response(views.Health.model_validate(await request.app[GATEWAY].health()))


async def workloads(request: web.Request, _: NoParameters) -> web.Response:
    """All of them."""
    items = await request.app[GATEWAY].workloads()
    return json_response(views.WorkloadList.model_validate({"items": items}))


async def flows(request: web.Request, parameters: FlowParameters) -> web.Response:
    """Pages by id: flows come and go between two pages, ids keep their order."""
    found = await request.app[GATEWAY].flows(workload=parameters.workload, limit=ALL_FLOWS)
    after = -1 if parameters.cursor is None else parameters.cursor
    rest = sorted((flow for flow in found if flow.id > after), key=lambda flow: flow.id)
    items = rest[: parameters.limit]
    cursor = flow_cursor.encode(items[-1].id) if len(rest) > len(items) else None
    return json_response(views.FlowList.model_validate({"items": items, "next": cursor}))


async def verdicts(request: web.Request, parameters: VerdictParameters) -> web.Response:
    """A page of the stored verdicts."""
    query = VerdictQuery(**parameters.model_dump(exclude={"cursor"}), before_id=parameters.cursor)
    items = await request.app[GATEWAY].verdicts(query)
    # A full page may be the last: then the next one is empty.
    full = len(items) >= parameters.limit
    cursor = verdict_cursor.encode(items[-1].id) if full else None
    return json_response(views.VerdictList.model_validate({"items": items, "next": cursor}))


async def verdict(request: web.Request, _: NoParameters) -> web.Response:
    """One verdict by its id."""
    wanted = read_number("id", request.match_info["id"])
    if wanted < MAX_ID:
        query = VerdictQuery(before_id=wanted + 1, limit=1)
        for found in await request.app[GATEWAY].verdicts(query):
            if found.id == wanted:
                return json_response(views.Verdict.model_validate(found))
    raise Problem(404, "not-found", f"There is no verdict {wanted}.")


async def incidents(request: web.Request, parameters: IncidentParameters) -> web.Response:
    """A page of the stored incidents."""
    query = IncidentQuery(
        **parameters.model_dump(exclude={"cursor", "kind"}),
        kind=IncidentKind(parameters.kind) if parameters.kind else None,
        before_id=parameters.cursor,
    )
    items = await request.app[GATEWAY].incidents(query)
    full = len(items) >= parameters.limit
    cursor = incident_cursor.encode(items[-1].id) if full else None
    return json_response(views.IncidentList.model_validate({"items": items, "next": cursor}))


async def quarantine(request: web.Request, _: NoParameters) -> web.Response:
    """Cut a workload's egress; one that is cut stays so, with its first reason."""
    body = await read_body(request, QuarantineBody)
    name = request.match_info["name"]
    gateway = request.app[GATEWAY]
    return await _workload(gateway.quarantine(name, reason=body.reason, by=BY.get()))


async def release(request: web.Request, _: NoParameters) -> web.Response:
    """Undo it; one that is not cut stays so."""
    await read_body(request, ReleaseBody)
    name = request.match_info["name"]
    return await _workload(request.app[GATEWAY].release(name, by=BY.get()))


async def _workload(change: Awaitable[WorkloadValue]) -> web.Response:
    try:
        return json_response(views.Workload.model_validate(await change))
    except UsageError as error:
        detail = "There is no such workload; /api/v1/workloads lists all."
        raise Problem(404, "not-found", detail) from error


async def signatures(request: web.Request, _: NoParameters) -> web.Response:
    """All of them."""
    items = await request.app[GATEWAY].signatures()
    return json_response(views.SignatureList.model_validate({"items": items}))


async def signature(request: web.Request, _: NoParameters) -> web.Response:
    """One signature by its id."""
    for found in await request.app[GATEWAY].signatures():
        if found.id == request.match_info["id"]:
            return json_response(views.Signature.model_validate(found))
    raise Problem(404, "not-found", "There is no such signature; /api/v1/signatures lists all.")


async def stats(request: web.Request, _: NoParameters) -> web.Response:
    """Counters by reason."""
    async with _turn(request):
        found = await request.app[GATEWAY].stats()
        # As views.Stats would be; of hundreds of workloads that takes five times as long.
        body = _STATS.dump_json(found)
    return web.Response(body=body, content_type="application/json")


async def metrics(request: web.Request, _: NoParameters) -> web.Response:
    """The same counters for Prometheus."""
    gateway = request.app[GATEWAY]
    async with _turn(request):
        text = prometheus.exposition(await gateway.health(), await gateway.stats())
    return web.Response(body=text.encode(), headers={"Content-Type": prometheus.MEDIA_TYPE})


async def reload(request: web.Request, _: NoParameters) -> web.Response:
    """One at a time; a refusal changes nothing."""
    await read_body(request, ReloadBody)
    reloading = request.app[RELOADING]
    if reloading.locked():
        raise Problem(409, "conflict", "A reload is under way.", remedy="try again when it ended")
    async with reloading:
        try:
            result = await request.app[GATEWAY].reload()
        except DlpError as error:
            raise refusal(error) from error
    return json_response(views.ReloadResult.model_validate(result))
