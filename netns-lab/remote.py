"""The lab's sender as a process in a workload: orders in, answers out."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import sys
from typing import Any

from session import HERE, Session
from topology import LabError

ORDER_TIMEOUT = 60.0
END_TIMEOUT = 2.0


class Remote:
    """A sender of one scenario; `seconds` and `errors` of the network add up here."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._process: asyncio.subprocess.Process | None = None
        self.seconds = 0.0
        self.errors: list[str] = []

    @property
    def started(self) -> bool:
        """Whether it ever was."""
        return self._process is not None

    async def start(self, session: Session, workload: str) -> None:
        """Start it in a workload."""
        argv = [sys.executable, "-S", "-E", str(HERE / "sender.py")]
        self._process = await asyncio.create_subprocess_exec(
            *session.topology.command(workload, argv),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )

    async def order(self, order: dict[str, Any]) -> dict[str, Any]:
        """Have it do something.

        Raises:
            LabError: it does not answer.
        """
        process = self._process
        assert process is not None  # noqa: S101 - narrows for mypy
        assert process.stdin is not None  # noqa: S101
        assert process.stdout is not None  # noqa: S101
        process.stdin.write(json.dumps(order).encode() + b"\n")
        try:
            line = await asyncio.wait_for(process.stdout.readline(), ORDER_TIMEOUT)
            answer: dict[str, Any] = json.loads(line)
        except (TimeoutError, ValueError) as error:
            raise LabError(f"the sender of {self._name} failed at {order['do']}") from error
        self.seconds += answer["seconds"]
        if "error" in answer:
            self.errors.append(f"{order['do']}: {answer['error']}")
        return answer

    async def send(self, key: int, data: bytes) -> None:
        """Send some bytes on a connection."""
        await self.order({"do": "send", "key": key, "data": base64.b64encode(data).decode()})

    async def drain(self, patience: float) -> list[int]:
        """Wait until all is acknowledged, at most so long; bytes that are not, by connection."""
        answer = await self.order({"do": "drain", "timeout": patience})
        left: list[int] = answer.get("unacknowledged", [])
        return left

    async def close(self) -> None:
        """End it; what is not acknowledged is thrown away."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(LabError, ConnectionError):
            left = await self.drain(0)
            await self.order({"do": "close", "reset": bool(left)})
        assert process.stdin is not None  # noqa: S101 - narrows for mypy
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), END_TIMEOUT)
        except TimeoutError:
            process.kill()
            await process.wait()
