"""The gateway under test: its process, its policy file, its API. Knows nothing of its inside."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from session import Session
from topology import LabError

POLICY = Path(__file__).parent / "policy.yaml"
DLP = str(Path(sys.executable).parent / "dlp")
API = "http://gateway/api/v1/"
WAIT_FOR_NAMESPACES = 10
READY_TIMEOUT = 60.0
STOP_TIMEOUT = 15.0
RELOAD_TIMEOUT = 15.0


class Gateway:
    """A gateway that guards the workloads of a lab."""

    def __init__(self, session: Session, *, attach: str = "auto") -> None:
        self._session = session
        self._attach = attach
        self._process: asyncio.subprocess.Process | None = None
        self._http: aiohttp.ClientSession | None = None
        directory = session.directory
        self.config = directory / "policy.yaml"
        self.socket = directory / "api.sock"
        self.log = directory / "gateway.log"
        self.state_dir = directory / "state"
        self.changed = False  # whether the policy file differs from the one at first
        self._original = self._policy()
        self.write_policy()

    def _policy(self) -> dict[str, Any]:
        layout = self._session.topology.layout
        policy: dict[str, Any] = yaml.safe_load(POLICY.read_text().replace("PREFIX", layout.prefix))
        policy["state_dir"] = str(self.state_dir)
        policy["api"] = {"unix": str(self.socket)}
        netns = [layout.workload(name).netns for name in layout.workloads]
        policy["workloads"] = {"netns": netns, "attach": self._attach}
        return policy

    def write_policy(self, changes: Mapping[str, Mapping[str, Any]] | str | None = None) -> None:
        """Write the policy file: as it was at first, with changes by policy, or any text."""
        self.changed = changes is not None
        if isinstance(changes, str):
            self.config.write_text(changes)
            return
        policy = copy.deepcopy(self._original)
        for entry in policy["policies"]:
            entry.update((changes or {}).get(entry["name"], {}))
        self.config.write_text(yaml.safe_dump(policy, sort_keys=False))

    async def start(self) -> float:
        """Start it and wait until it is ready; seconds that took.

        Raises:
            LabError: it is not there, or did not become ready.
        """
        argv = [DLP, "run", "--config", str(self.config), "--wait", str(WAIT_FOR_NAMESPACES)]
        began = time.monotonic()
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._session.in_own_mounts(argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(READY_TIMEOUT):
                await self._until_ready(self._process)
        except TimeoutError:
            raise LabError(f"the gateway was not ready in {READY_TIMEOUT:.0f} s") from None
        return time.monotonic() - began

    async def _until_ready(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101 - narrows for mypy
        async for line in process.stdout:
            if line.strip() == b"ready":
                return
        lines = self.log.read_text(errors="replace").strip().splitlines()
        raise LabError("the gateway ended instead of starting: " + " | ".join(lines[-3:]))

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def stop(self) -> int:
        """SIGTERM; its exit status.

        Raises:
            LabError: it did not end; then it was killed.
        """
        if self._process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT)
        except TimeoutError:
            await self.kill()
            raise LabError(f"the gateway did not end {STOP_TIMEOUT:.0f} s after SIGTERM") from None

    async def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def close(self) -> None:
        """End the process, remove what it made in the kernel, close the connection to it.

        Raises:
            LabError: it did not end, or detaching failed.
        """
        if self._http is not None:
            await self._http.close()
        if self._process is not None:
            await self.stop()
            await self._command(["detach"])

    async def reload(self) -> None:
        """SIGHUP, and wait until another release is live.

        Raises:
            LabError: none came.
        """
        before = (await self.get("health"))["release"]
        self.hang_up()
        end = time.monotonic() + RELOAD_TIMEOUT
        while (await self.get("health"))["release"] == before:
            if time.monotonic() > end:
                raise LabError("SIGHUP brought no new release")
            await asyncio.sleep(0.05)

    def hang_up(self) -> None:
        """SIGHUP."""
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    async def reload_refused(self) -> None:
        """Ask for a reload in both ways; both must leave the release as it is.

        Raises:
            LabError: the file was taken.
        """
        before = await self.get("health")
        status, _ = await self._ask("POST", "reload", {})
        self.hang_up()
        await asyncio.sleep(0.5)
        after = await self.get("health")
        if status < 400 or after["release"] != before["release"]:  # noqa: PLR2004 - HTTP's errors
            raise LabError(f"a bad policy file was taken (status {status})")

    async def get(self, path: str, **query: str) -> Any:
        """A document of the API.

        Raises:
            LabError: the gateway does not answer, or refuses.
        """
        status, document = await self._ask("GET", path, query)
        if status != 200:  # noqa: PLR2004 - HTTP's success
            raise LabError(f"GET {path}: status {status}")
        return document

    async def items(self, path: str, **query: str) -> list[dict[str, Any]]:
        """All items of a list, page by page."""
        found: list[dict[str, Any]] = []
        page: dict[str, Any] = {"next": None}
        while True:
            page = await self.get(path, limit="1000", **query)
            found += page["items"]
            if not page["next"]:
                return found
            query["cursor"] = page["next"]

    async def _ask(self, method: str, path: str, query: Mapping[str, str]) -> tuple[int, Any]:
        if self._http is None:
            timeout = aiohttp.ClientTimeout(total=10)
            connector = aiohttp.UnixConnector(str(self.socket))
            self._http = aiohttp.ClientSession(connector=connector, timeout=timeout)
        try:
            async with self._http.request(method, API + path, params=query) as answer:
                return answer.status, await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise LabError(f"the gateway's API does not answer: {type(error).__name__}") from error

    async def digest(self, value: bytes, signature: str) -> str:
        """The keyed digest of a value, by the command for that.

        Raises:
            LabError: the command failed.
        """
        argv = ["digest", "--signature", signature, "--config", str(self.config)]
        return (await self._command(argv, value)).strip()

    async def _command(self, argv: list[str], data: bytes = b"") -> str:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *self._session.in_own_mounts([DLP, *argv]),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,
        )
        out, errors = await process.communicate(data)
        if process.returncode:
            raise LabError(f"dlp {argv[0]} failed: {errors.decode(errors='replace').strip()}")
        return out.decode()
