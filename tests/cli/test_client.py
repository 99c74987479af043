"""The API client against the real API, and against what is none."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dlp.cli.client import Client, ask, items
from dlp.errors import ApiError, ConfigError, Place
from dlp.store.tokens import Role
from tests.api.fake import make_flow, make_verdict


def test_unix(api):
    """Over the socket no token is needed."""

    assert 4 == ask(str(api.socket), "", "health")["release"]


def test_tcp_needs_a_token(api):
    """Without a token TCP is refused, with the way to one; with it, it answers."""
    with pytest.raises(ApiError, match=r"wants a token.*dlp token create"):
        ask(api.url, "", "health")
    with pytest.raises(ApiError, match="wants a token"):
        ask(api.url, "dlp_wrong", "health")

    token = api.tokens.create("t", Role.VIEWER)
    assert 4 == ask(api.url, token, "health")["release"]
    assert 4 == ask(api.url + "/", token, "health")["release"]


def test_a_viewer_may_not_reload(api):
    """What a role lacks is said."""
    token = api.tokens.create("t", Role.VIEWER)

    with pytest.raises(ApiError, match=r"refused.*operator"):
        ask(api.url, token, "reload", method="POST")


def test_refusal(api):
    """Problem details become message and remedy, with the place of a bad file."""
    place = Place(Path("/etc/dlp.yaml"), 3, "api.unix")
    api.gateway.failure = ConfigError("found nothing", remedy="write it", place=place)

    with pytest.raises(ApiError) as raised:
        ask(str(api.socket), "", "reload", method="POST")

    assert "the gateway refused: /etc/dlp.yaml:3: api.unix: found nothing" == raised.value.message
    assert "write it" == raised.value.remedy


def test_pages(api):
    """A list longer than a page is fetched page by page, up to what was asked for."""
    api.gateway.flow_list = [make_flow(number) for number in range(2500)]
    client = Client(str(api.socket))

    found = asyncio.run(client.pages("flows", {"workload": None}, 2300))
    assert [str(number) for number in range(2300)] == [entry["id"] for entry in found]
    assert 2500 == len(asyncio.run(client.pages("flows", {}, 9999)))


def test_events(api):
    """Events begin after the id given and come as they are stored; the end is an error."""

    async def collect(seen: list[int]) -> None:
        async for event in Client(str(api.socket)).events(after=3):
            seen.append(event["id"])
            if event["id"] == 5:
                api.call(api.gateway.publish(make_verdict(6)))
            if event["id"] == 6:
                api.call(api.gateway.end())

    seen: list[int] = []
    with pytest.raises(ApiError, match="ends or restarts"):
        asyncio.run(collect(seen))
    assert [4, 5, 6] == seen


@contextlib.contextmanager
def answering(path: Path, *answers: bytes) -> Iterator[list[bytes]]:
    """A server that gives one answer to each connection, the last one to all that follow."""
    requests: list[bytes] = []
    left = list(answers)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    requests.append(connection.recv(65536))
                    connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield requests
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def http(body: bytes, status: str = "200 OK") -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


@pytest.mark.parametrize(
    ("answer", "part"),
    [
        (http(b"hello"), "no gateway of this version"),
        (http(b"[1]"), "no gateway of this version"),
        (http(b"\xff"), "no gateway of this version"),
        (http(b"nope", "500 Internal Server Error"), "refused: status 500"),
        (http(b'["x"]', "404 Not Found"), "refused: status 404"),
        (http(b"", "302 Found\r\nLocation: http://127.0.0.1:1/"), "refused: status 302"),
        (b"SSH-2.0-OpenSSH\r\n", "broke off"),
        (b"", "broke off"),
        (http(b"{}")[:-1], "broke off"),
    ],
)
def test_strangers(tmp_path: Path, answer, part):
    """Whatever answers instead of a gateway, the error says so in one sentence."""
    with (
        answering(tmp_path / "s", answer),
        pytest.raises(ApiError, match=part),
    ):
        ask(str(tmp_path / "s"), "", "health")


def test_items():
    """A list must hold objects."""

    assert [{"a": 1}] == items({"items": [{"a": 1}]})
    for answer in ({}, {"items": {}}, {"items": [1]}):
        with pytest.raises(ApiError):
            items(answer)


def test_a_slow_reader_goes_on(tmp_path: Path):
    """Cut off as too slow, the client goes on behind the last event it was sent."""
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/event-stream\r\n\r\n"
    first = head + (
        b': ping\r\n\r\nevent: verdict\r\nid: 7\r\ndata: {"id": 7}\r\n\r\n'
        b'event: closed\r\ndata: {"reason": "slow", "last_id": 8}\r\n\r\n'
    )
    second = head + b'event: verdict\ndata: {"id":\ndata: 9}\n\n'

    async def collect(seen: list[int]) -> None:
        async for event in Client(str(tmp_path / "s")).events(after=6):
            seen.append(event["id"])  # noqa: PERF401 - what came before the error counts

    seen: list[int] = []
    with (
        answering(tmp_path / "s", first, second) as requests,
        pytest.raises(ApiError, match="ended the stream"),
    ):
        asyncio.run(collect(seen))
    assert [7, 9] == seen
    assert b"Last-Event-ID: 6\r\n" in requests[0]
    assert b"Last-Event-ID: 8\r\n" in requests[1]


@pytest.mark.parametrize("data", ["{", "[1]", '"x"'])
def test_broken_events(tmp_path: Path, data):
    """An event that is no object is an error, not a crash."""
    answer = (
        f"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nevent: verdict\ndata: {data}\n\n".encode()
    )

    async def collect() -> None:
        async for _ in Client(str(tmp_path / "s")).events():
            pass

    with answering(tmp_path / "s", answer), pytest.raises(ApiError, match="no gateway of this"):
        asyncio.run(collect())


@pytest.mark.parametrize("target", ["http://", "http://h/x?y", "ftp://h", "http://a b"])
def test_bad_urls(target):
    """What is no URL is said before anything is sent."""

    with pytest.raises(ApiError, match="no URL"):
        ask(target, "", "health")


def test_nobody_there(tmp_path: Path):
    """No socket, a dead socket and a refused port all name the way to start the gateway."""
    dead = tmp_path / "dead"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(dead))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        targets = (str(tmp_path / "none"), str(dead), f"http://127.0.0.1:{taken.getsockname()[1]}")
        for target in targets:
            with pytest.raises(ApiError, match=r"no gateway answers at .*dlp run"):
                ask(target, "", "health")


def test_the_token_is_not_shown():
    """A client's repr, as a traceback prints it, hides the token."""

    assert "dlp_x" not in repr(Client("", "dlp_x"))
