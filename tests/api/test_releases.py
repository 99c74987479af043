"""The routes of signature releases."""

from __future__ import annotations

import asyncio
import io
import json
import os

import pytest

from dlp.api.releases import ARCHIVE, YAML
from dlp.errors import ConflictError, KernelError, PackError, ReleaseError, UsageError
from dlp.releases.canary import Canary

ME = f"local user {os.geteuid()}"
TYPE = {"Content-Type": ARCHIVE}
TEXT = {"Content-Type": YAML}


async def test_upload(local, gateway):
    """The body arrives whole, whichever way it is cut, and the answer is the release."""
    body = bytes(range(256)) * 300

    async def pieces():
        for at in range(0, len(body), 7777):
            yield body[at : at + 7777]

    for data in (body, pieces()):
        gateway.releases.received = b""
        async with local.post("releases", data=data, headers=TYPE) as response:
            answer = await response.json()
        assert (200, body) == (response.status, gateway.releases.received)
        assert (3, "compiled", ["own"]) == (
            answer["version"],
            answer["state"],
            [one["name"] for one in answer["packs"]],
        )
    assert ("upload", ME) == gateway.releases.asked[0]


async def test_too_large(local, gateway, expect_problem):
    """Too large by its header, it is not read; by what comes (100 MB), it is to the limit."""
    async with local.post("releases", data=bytes(100_001), headers=TYPE) as response:
        await expect_problem(response, 413, "body-too-large")
    assert b"" == gateway.releases.received

    async def endless():
        for _ in range(1600):
            yield bytes(1 << 16)

    try:
        async with local.post("releases", data=endless(), headers=TYPE) as response:
            await expect_problem(response, 413, "body-too-large")
    except ConnectionError:
        pass  # it closed while we were still sending
    assert len(gateway.releases.received) < 400_000
    assert [] == gateway.releases.asked


@pytest.mark.parametrize("media", ["application/json", "application/octet-stream", "text/plain"])
async def test_media(local, gateway, expect_problem, media):
    """Another content type, or a compressed body, is refused unread."""
    for headers in ({"Content-Type": media}, {**TYPE, "Content-Encoding": "gzip"}):
        async with local.post("releases", data=b"x", headers=headers) as response:
            await expect_problem(response, 415, "unsupported-media-type")
    async with local.put("packs/own", data=b"x", headers={"Content-Type": media}) as response:
        await expect_problem(response, 415, "unsupported-media-type")
    assert [] == gateway.releases.asked


@pytest.mark.parametrize("coding", ["Content-Length: 5000", "Transfer-Encoding: chunked"])
async def test_truncated(listening, gateway, local, coding):
    """A body that breaks off is no upload, and the gateway goes on."""
    _, writer = await asyncio.open_unix_connection(str(listening.unix))
    body = b"3e8\r\n" + bytes(1000) + b"\r\n" if "chunked" in coding else bytes(1000)
    head = f"POST /api/v1/releases HTTP/1.1\r\nHost: x\r\nContent-Type: {ARCHIVE}\r\n"
    writer.write(f"{head}{coding}\r\n\r\n".encode() + body)
    await writer.drain()
    async with asyncio.timeout(5):
        while gateway.releases.received != bytes(1000):  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.01)
    writer.close()
    async with asyncio.timeout(5):
        while gateway.releases.receiving:  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.01)

    assert [] == gateway.releases.asked
    async with local.get("health") as response:
        assert 200 == response.status


@pytest.mark.parametrize(
    ("failure", "status", "slug", "member"),
    [
        (
            ReleaseError("release 3 has expired", reason="expired"),
            422,
            "release-refused",
            ("reason", "expired"),
        ),
        (ConflictError("not now", state="shadow"), 409, "conflict", ("state", "shadow")),
        (PackError("bad pack", remedy="mend it"), 422, "refused", ("remedy", "mend it")),
        (KernelError("no room"), 409, "conflict", ("detail", "no room")),
        (UsageError("no such release"), 404, "not-found", ("status", 404)),
    ],
)
async def test_refused(local, gateway, expect_problem, failure, status, slug, member):
    """What is refused is told with its reason, by every route that changes something."""
    gateway.releases.failure = failure
    for path in ("releases/1/shadow", "releases/1/activate", "releases/1/rollback"):
        async with local.post(path) as response:
            problem = await expect_problem(response, status, slug)
            assert member[1] == problem[member[0]]
    async with local.post("releases", data=b"x", headers=TYPE) as response:
        await expect_problem(response, status, slug)


async def test_listing(local, expect_problem):
    """All releases, newest first; one with its steps; none under a number that is none."""
    async with local.get("releases") as response:
        found = await response.json()
    assert [2, 1] == [one["version"] for one in found["items"]]
    async with local.get("releases/2") as response:
        assert ["upload"] == [one["what"] for one in (await response.json())["steps"]]
    for version, status in (("9", 404), ("0", 404), ("x", 400), ("-1", 400), (str(2**62), 404)):
        async with local.get(f"releases/{version}") as response:
            await expect_problem(
                response, status, "not-found" if status == 404 else "invalid-parameter"
            )


async def test_changes(local, gateway):
    """Shadow, canary, activation and rollback reach the gateway with who asked."""
    for path, body, state in (
        ("shadow", None, "shadow"),
        ("activate", {"canary": {"netns": ["web-*"], "percent": 5}}, "canary"),
        ("activate", {}, "live"),
        ("rollback", {"reason": "false alarms"}, "superseded"),
    ):
        async with local.post(f"releases/2/{path}", json=body) as response:
            assert (200, state) == (response.status, (await response.json())["state"])
    assert [
        ("shadow", 2, ME),
        ("activate", 2, Canary(netns=("web-*",), percent=5), ME),
        ("activate", 2, None, ME),
        ("rollback", 2, "false alarms", ME),
    ] == gateway.releases.asked


@pytest.mark.parametrize(
    "body",
    [
        {"canary": {}},
        {"canary": {"percent": 100}},
        {"canary": {"percent": -1}},
        {"canary": {"netns": ["a b"]}},
        {"canary": {"netns": ["x"] * 65}},
        {"canary": {"cgroup": ["x"]}},
        {"netns": ["web"]},
        [],
    ],
)
async def test_bad_canary(local, gateway, expect_problem, body):
    """A canary that chooses nothing, all, or in words that are none is refused."""
    async with local.post("releases/2/activate", json=body) as response:
        await expect_problem(response, 400, "invalid-body")
    assert [] == gateway.releases.asked


async def test_diff(local):
    """The difference with its masked examples."""
    async with local.get("releases/1/diff") as response:
        found = await response.json()

    assert (["own.key.long"], 4, 2) == (
        found["added"],
        found["same"],
        found["entries"][0]["would_newly_drop"],
    )
    assert "4111********1111" in json.dumps(found)


async def test_development(local, gateway, expect_problem):
    """Packs and signatures are YAML, and bounded."""
    async with local.put("packs/own", data=b"pack: own", headers=TEXT) as response:
        assert {"name": "own", "signatures": ["own.key.long"]} == await response.json()
    async with local.put("signatures/a.b.c", data=b"id: a.b.c", headers=TEXT) as response:
        assert 200 == response.status
    assert [("pack", "own", b"pack: own", ME), ("signature", "a.b.c", b"id: a.b.c", ME)] == (
        gateway.releases.asked
    )
    async with local.put(
        "packs/own", data=io.BytesIO(bytes((4 << 20) + 1)), headers=TEXT
    ) as response:
        await expect_problem(response, 413, "body-too-large")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "releases"),
        ("POST", "releases/1/shadow"),
        ("POST", "releases/1/activate"),
        ("POST", "releases/1/rollback"),
        ("PUT", "packs/own"),
        ("PUT", "signatures/a.b.c"),
    ],
)
async def test_roles(remote, viewer, operator, admin, expect_problem, gateway, method, path):
    """Only an administrator releases; an operator and a viewer read what is there."""
    media = TEXT if method == "PUT" else TYPE if path == "releases" else {}
    data = b"x" if media else None
    for headers in (viewer, operator):
        async with remote.request(method, path, headers={**headers, **media}, data=data) as answer:
            problem = await expect_problem(answer, 403, "forbidden")
            assert "admin" == problem["needed"]
        async with remote.get("releases", headers=headers) as answer:
            assert 200 == answer.status
    assert [] == gateway.releases.asked
    async with remote.request(method, path, headers={**admin, **media}, data=data) as answer:
        assert 200 == answer.status
    assert "token admin" == gateway.releases.asked[0][-1]
