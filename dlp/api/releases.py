"""The routes of signature releases: uploads as streams, changes, what is there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

from aiohttp import ClientPayloadError, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from dlp.api import views
from dlp.api.context import BY, GATEWAY
from dlp.api.parameters import (
    ActivateBody,
    NoParameters,
    RollbackBody,
    ShadowBody,
    read_body,
    read_number,
)
from dlp.api.problems import Problem, json_response, refusal
from dlp.errors import ConflictError, DlpError, ReleaseError, UsageError
from dlp.releases.canary import Canary
from dlp.releases.metadata import VERSION
from dlp.service import Release

ARCHIVE = "application/vnd.dlp.release"
YAML = "application/yaml"
PACK_LIMIT = 4 << 20

T = TypeVar("T")


async def upload(request: web.Request, _: NoParameters) -> web.Response:
    """The archive is the body; its bytes are counted as they come."""
    releases = request.app[GATEWAY].releases
    most = releases.max_size
    _check_media(request, ARCHIVE)
    if (request.content_length or 0) > most:
        raise _too_large(most)
    return _release(await _done(releases.upload(_chunks(request), by=BY.get()), most))


async def listing(request: web.Request, _: NoParameters) -> web.Response:
    """All of them: an organisation makes a few a week."""
    items = await request.app[GATEWAY].releases.all()
    return json_response(views.ReleaseList.model_validate({"items": items}))


async def show(request: web.Request, _: NoParameters) -> web.Response:
    """One of them, with its steps."""
    return _release(await _done(request.app[GATEWAY].releases.get(_version(request))))


async def shadow(request: web.Request, _: NoParameters) -> web.Response:
    """Beside the live set, only counted."""
    await read_body(request, ShadowBody)
    releases = request.app[GATEWAY].releases
    return _release(await _done(releases.shadow(_version(request), by=BY.get())))


async def activate(request: web.Request, _: NoParameters) -> web.Response:
    """For chosen workloads, or for all where the body chooses none."""
    body = await read_body(request, ActivateBody)
    chosen = body.canary
    canary = Canary(netns=tuple(chosen.netns), percent=chosen.percent) if chosen else None
    releases = request.app[GATEWAY].releases
    return _release(await _done(releases.activate(_version(request), canary=canary, by=BY.get())))


async def rollback(request: web.Request, _: NoParameters) -> web.Response:
    """Out of force: what was live before is live again."""
    body = await read_body(request, RollbackBody)
    releases = request.app[GATEWAY].releases
    return _release(
        await _done(releases.rollback(_version(request), reason=body.reason, by=BY.get()))
    )


async def diff(request: web.Request, _: NoParameters) -> web.Response:
    """What it would do otherwise than the live set."""
    found = await _done(request.app[GATEWAY].releases.diff(_version(request)))
    return json_response(views.ReleaseDiff.model_validate(found))


async def put_pack(request: web.Request, _: NoParameters) -> web.Response:
    """Development mode: a pack, as it stands in its file."""
    text = await _yaml(request)
    releases = request.app[GATEWAY].releases
    made = await _done(releases.put_pack(request.match_info["name"], text, by=BY.get()))
    return json_response(views.Override.model_validate(made))


async def put_signature(request: web.Request, _: NoParameters) -> web.Response:
    """Development mode: the mapping of a signature, as it stands in its pack."""
    text = await _yaml(request)
    releases = request.app[GATEWAY].releases
    made = await _done(releases.put_signature(request.match_info["id"], text, by=BY.get()))
    return json_response(views.Override.model_validate(made))


async def _done(call: Awaitable[T], most: int = 0) -> T:
    """What a change or a question gives; its errors as problems."""
    try:
        return await call
    except ReleaseError as error:
        if error.reason == "too_large" and most:
            raise _too_large(most) from error
        raise _refused(error) from error
    except ConflictError as error:
        told = f"{_sentence(error)}."
        raise Problem(409, "conflict", told, remedy=error.remedy, state=error.state) from error
    except UsageError as error:
        detail = "There is no such release, pack or signature; /api/v1/releases lists releases."
        raise Problem(404, "not-found", detail) from error
    except DlpError as error:
        raise refusal(error) from error


def _refused(error: ReleaseError) -> Problem:
    members: dict[str, Any] = {"reason": error.reason, "remedy": error.remedy}
    return Problem(422, "release-refused", f"{_sentence(error)}.", **members)


def _sentence(error: DlpError) -> str:
    return f"{error.message[:1].upper()}{error.message[1:]}"


def _too_large(most: int) -> Problem:
    return Problem(
        413,
        "body-too-large",
        f"The archive is larger than {most >> 10} KiB.",
        remedy="split it, or raise releases.max_size",
    )


def _release(release: Release) -> web.Response:
    return json_response(views.Release.model_validate(release))


def _version(request: web.Request) -> int:
    version = read_number("version", request.match_info["version"])
    if not 1 <= version <= VERSION:
        raise Problem(404, "not-found", f"There is no release {version}.")
    return version


def _check_media(request: web.Request, media: str) -> None:
    if hdrs.CONTENT_ENCODING in request.headers:
        raise Problem(415, "unsupported-media-type", "Expected a body without content encoding.")
    if request.content_type != media:
        raise Problem(
            415,
            "unsupported-media-type",
            f"Expected a body of type {media}.",
            headers={"Accept": media},
        )


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    """The body as it comes. Raises Problem where it ends before its end."""
    seen = 0
    try:
        async for chunk in request.content.iter_any():
            seen += len(chunk)
            yield chunk
    except (ClientPayloadError, HttpProcessingError, ConnectionError) as error:
        raise _cut() from error
    if request.content_length is not None and seen < request.content_length:
        raise _cut()


def _cut() -> Problem:
    return Problem(400, "malformed-request", "The body ended before its end; nothing was kept.")


async def _yaml(request: web.Request) -> bytes:
    _check_media(request, YAML)
    if (request.content_length or 0) > PACK_LIMIT:
        raise _text_too_large()
    text = b""
    async for chunk in _chunks(request):
        text += chunk
        if len(text) > PACK_LIMIT:
            raise _text_too_large()
    return text


def _text_too_large() -> Problem:
    return Problem(413, "body-too-large", f"The pack is larger than {PACK_LIMIT >> 20} MiB.")
