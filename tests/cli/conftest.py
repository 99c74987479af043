"""The command line in this process, and a real API behind it."""

import asyncio
import io
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dlp.api.app import create_app
from dlp.api.context import StreamSettings
from dlp.api.serve import serve
from dlp.cli.main import main
from dlp.signatures import cache
from dlp.store.tokens import TokenStore
from tests.api.fake import FakeGateway

PACK = r"""
pack: own
version: 1
description: For tests.
signatures:
  - id: own.key.alpha
    name: Alpha key
    severity: high
    description: A key that is made up.
    category: secret
    regex: 'ALPHAKEY-[0-9]{6}'
    mask: {head: 4}
    must_match: ["ALPHAKEY-123456"]
    must_not_match: ["ALPHAKEY-12345"]
"""
POLICY = """
version: 1
state_dir: STATE
signatures: [./own.yaml]
policies:
  - name: default
    rules: [{signatures: ["own.*"], action: drop}]
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    """Where compiled sets are kept meanwhile."""
    return tmp_path_factory.mktemp("images")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch, images):
    monkeypatch.setattr(cache, "SYSTEM", images)
    monkeypatch.setenv("XDG_CACHE_HOME", str(images))
    for name in ("DLP_API", "DLP_TOKEN", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def dlp(capsys, monkeypatch) -> Callable[..., Result]:
    """Run a command; `stdin` is what it reads."""

    def run(*arguments: object, stdin: bytes = b"") -> Result:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as raised:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        code = raised.value.code
        return Result(code if isinstance(code, int) else 0, captured.out, captured.err)

    return run


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Holds a policy file, a pack and a state directory."""
    (tmp_path / "own.yaml").write_text(PACK.lstrip())
    state = tmp_path / "state"
    (tmp_path / "dlp.yaml").write_text(POLICY.lstrip().replace("STATE", str(state)))
    return tmp_path


class Api:
    """The real API over a fake gateway, in a thread of its own."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "api.sock"
        self.tokens = TokenStore(directory / "tokens.db")
        self.url = ""
        self.gateway: FakeGateway
        self._loop: asyncio.AbstractEventLoop
        self._ready = threading.Event()
        self._stop: asyncio.Event
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def call(self, coroutine: Any) -> Future[Any]:
        """Run a coroutine beside the server."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def once_followed(self, *news: Any, listed: Iterable[Any] = ()) -> Future[Any]:
        """End the stream once a command follows it.

        Args:
            news: what is stored and streamed before that.
            listed: what is stored sooner, when the command has read the stored ones.
        """

        async def publish() -> None:
            if listed:
                await self.gateway.listed.wait()
                await self.gateway.publish(*listed)
            await self.gateway.followed.wait()
            await self.gateway.publish(*news)
            await self.gateway.end()

        return self.call(publish())

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.gateway = FakeGateway()
        settings = StreamSettings(
            heartbeat_s=1.0, backlog=64, stall_s=1.0, farewell_s=2.0, streams=3
        )
        app = create_app(self.gateway, self.tokens, version="1", streams=settings)
        async with serve(app, unix=self.socket, tcp=("127.0.0.1", 0)) as where:
            assert where.tcp
            self.url = f"http://{where.tcp[0]}:{where.tcp[1]}"
            self._ready.set()
            await self._stop.wait()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    server = Api(tmp_path)
    server.start()
    yield server
    server.stop()
