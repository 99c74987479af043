"""One life of a matcher process: started, fed, watched, ended.

Whatever the process does, a session ends by telling why, which record was being searched, and
which were not answered. It restarts nothing: that is the client's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import re
import signal
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import dlp
from dlp.inspector import messages
from dlp.inspector.messages import (
    MAX_FRAME,
    Begin,
    Done,
    Finding,
    FrameError,
    Key,
    Live,
    Message,
    Ping,
    Ready,
    Record,
    Refused,
    Settling,
    Stop,
    Word,
)
from dlp.inspector.outbox import Outbox, Release

_BUFFER = 512 * 1024
_LINE = 240
# The worker's own complaints. Anything else could be payload once it has seen any.
_COMPLAINT = re.compile(rb"inspector: (?:crashed \w{1,40} line \d{1,6}|protocol [\w -]{1,60})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on a matcher process.

    Attributes:
        cpu_s: CPU seconds for one record.
        hang_s: seconds for one record by the clock, for what uses no CPU.
        start_s: seconds to start, and to take over a release.
        ping_s: how long it may be idle before it is asked whether it lives.
        stop_s: seconds to finish the queue when it is to stop.
        queue: bytes of records that may wait.
        backoff_s, backoff_max_s: pause before a restart, doubled each time up to the second.
        steady_s: after so long a life the pause begins anew.
        in_flight: records sent and not answered: few, so that a death has few suspects.
        nice: added to the process's niceness, for what nobody waits for.
    """

    cpu_s: float = 1.0
    hang_s: float = 10.0
    start_s: float = 20.0
    ping_s: float = 1.0
    stop_s: float = 5.0
    queue: int = 16 * 1024 * 1024
    backoff_s: float = 0.05
    backoff_max_s: float = 5.0
    steady_s: float = 30.0
    in_flight: int = 16
    nice: int = 0


class Ending(enum.StrEnum):
    """Why a process ended."""

    STOPPED = "stopped"
    REFUSED = "refused"  # it would not take its first release
    CPU = "cpu"
    HANG = "hang"
    CRASH = "crash"


class Listener(Protocol):
    """What a session tells while it lives."""

    def ready(self, ready: Ready) -> None: ...

    def live(self, release: int) -> None: ...

    def refused(self, refused: Refused) -> None: ...

    def found(self, finding: Finding) -> None: ...

    def word(self, record: Record, word: Word) -> None: ...

    def done(self, record: Record | None, done: Done) -> None: ...


class Session:
    """Starts a worker with a first release and serves it from an outbox until it ends.

    Attributes:
        unanswered: records sent and not answered, the oldest first.
        pid: of the process; None before it is started.
        settling: flow whose open matches the worker was deciding, if any.
    """

    def __init__(
        self,
        *,
        key: bytes,
        release: Release,
        outbox: Outbox,
        listener: Listener,
        limits: Limits,
        log: Any,
    ) -> None:
        self.unanswered: dict[int, Record | Ping] = {}
        self.pid: int | None = None
        self.settling: int | None = None
        self._key = key
        self._release = release
        self._outbox = outbox
        self._listener = listener
        self._limits = limits
        self._log = log
        self._sequence = 0
        self._first_since = time.monotonic()  # when the oldest unanswered began to count
        self._answered = asyncio.Event()
        self._ready = asyncio.Event()
        self._taken_over = asyncio.Event()
        self._live = False
        self._waits_for_release = True
        self._stopping = False
        self._refused = False
        self._hung = False
        self._broken = False
        self._seen_payload = False

    @property
    def alive(self) -> bool:
        """It has its rules, and answers in time."""
        waits = bool(self.unanswered) and time.monotonic() - self._first_since > (
            self._limits.ping_s + self._limits.cpu_s
        )
        return self._live and not waits

    def records(self) -> list[Record]:
        """Records sent and not answered, in order."""
        return [item for item in self.unanswered.values() if isinstance(item, Record)]

    async def run(self) -> Ending:
        """Live once. Never leaves the process behind."""
        async with self._worker() as (process, link):
            async with asyncio.TaskGroup() as group:
                listener = group.create_task(self._listen(process))
                others = [
                    group.create_task(self._write(link)),
                    group.create_task(self._watch(process)),
                ]
                await self._read(link)
                self._live = False
                if self._broken:
                    process.kill()
                for task in others:
                    task.cancel()
                # What it said last, it said just before its end.
                await asyncio.wait({listener}, timeout=1)
                listener.cancel()
            return await self._ending(process)

    @asynccontextmanager
    async def _worker(self) -> AsyncIterator[tuple[Process, socket.socket]]:
        link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with link, theirs:
            link.setblocking(False)  # noqa: FBT003
            link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-sPB", "-m", "dlp.inspector.worker"),
                str(theirs.fileno()),
                str(self._limits.cpu_s),
                stdin=DEVNULL,
                stdout=DEVNULL,
                stderr=PIPE,
                pass_fds=[theirs.fileno()],
                cwd="/",
                # Nothing of the daemon's environment: it may hold tokens.
                env={"PYTHONPATH": str(Path(dlp.__file__).parent.parent), "LANG": "C.UTF-8"},
            )
            theirs.close()
            self.pid = process.pid
            if self._limits.nice:
                niceness = os.getpriority(os.PRIO_PROCESS, 0) + self._limits.nice
                with contextlib.suppress(OSError):  # it has ended, or the host does not allow it
                    os.setpriority(os.PRIO_PROCESS, process.pid, niceness)
            try:
                yield process, link
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    async def _ending(self, process: Process) -> Ending:
        try:
            async with asyncio.timeout(1):
                await process.wait()
        except TimeoutError:
            # It closed its socket, or lied on it, and runs on.
            process.kill()
            await process.wait()
        if self._refused:
            return Ending.REFUSED
        if process.returncode == 0 and self._stopping:
            return Ending.STOPPED
        if self._hung:
            return Ending.HANG
        return Ending.CPU if process.returncode == -signal.SIGPROF else Ending.CRASH

    # ---------------------------------------------------------------------------- to the worker

    async def _write(self, link: socket.socket) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            await self._ready.wait()
            await self._send(link, Key(self._key))
            await self._hand_over(link, self._release)
            while not self._stopping:
                while len(self.unanswered) >= self._limits.in_flight:
                    self._answered.clear()
                    await self._answered.wait()
                await self._pass_on(link)

    async def _pass_on(self, link: socket.socket) -> None:
        match await self._outbox.take(self._limits.ping_s):
            case Record() as record:
                await self._ask(link, replace(record, sequence=self._next()))
            case Release() as release:
                await self._hand_over(link, release)
            case Stop():
                self._stopping = True
                await self._send(link, Stop())
            case None:
                await self._ask(link, Ping(self._next()))

    async def _ask(self, link: socket.socket, message: Record | Ping) -> None:
        if not self.unanswered:
            self._first_since = time.monotonic()
        self._seen_payload = self._seen_payload or isinstance(message, Record)
        self.unanswered[message.sequence] = message
        await self._send(link, message)

    async def _hand_over(self, link: socket.socket, release: Release) -> None:
        """Send a release and wait until it is taken or refused: no record runs ahead of it."""
        self._taken_over.clear()
        self._waits_for_release = True
        for rule in release.rules:
            await self._send(link, rule)
        await self._send(link, Begin(release.number, len(release.rules)))
        await self._taken_over.wait()

    @staticmethod
    async def _send(link: socket.socket, message: Message) -> None:
        await asyncio.get_running_loop().sock_sendall(link, messages.encode(message))

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    # -------------------------------------------------------------------------- from the worker

    async def _read(self, link: socket.socket) -> None:
        """Until the worker closes its end or breaks the protocol."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionResetError):
            while frame := await loop.sock_recv(link, MAX_FRAME + 1):
                try:
                    self._handle(messages.decode(frame))
                except FrameError as error:
                    # Its text is one of a few constants.
                    self._log.error("inspector_protocol", problem=str(error))
                    self._broken = True
                    return

    def _handle(self, message: Message) -> None:
        match message:
            case Done():
                self._done(message)
            case Finding():
                self._listener.found(message)
            case Word():
                self._word(message)
            case Settling():
                self.settling = None if message.ended else message.flow
            case Ready():
                self._ready.set()
                self._listener.ready(message)
            case Live():
                self._took_over()
                self._live = True
                self._listener.live(message.release)
            case Refused():
                self._took_over()
                self._refused = self._refused or not self._live
                self._listener.refused(message)
                if self._refused:
                    raise FrameError("first release refused")
            case _:
                raise FrameError("message that only a gateway sends")

    def _done(self, done: Done) -> None:
        if next(iter(self.unanswered), None) != done.sequence:
            raise FrameError("answer to nothing that was asked")
        asked = self.unanswered.pop(done.sequence)
        self._first_since = time.monotonic()
        self._answered.set()
        self._listener.done(asked if isinstance(asked, Record) else None, done)

    def _word(self, word: Word) -> None:
        asked = next(iter(self.unanswered.values()), None)
        if not isinstance(asked, Record) or not asked.held or asked.flow != word.flow:
            raise FrameError("word on nothing that waits for one")
        self._listener.word(asked, word)

    def _took_over(self) -> None:
        self._waits_for_release = False
        self._taken_over.set()

    # ---------------------------------------------------------------------------- beside the two

    async def _watch(self, process: Process) -> None:
        """Kill a worker that neither answers nor uses the CPU time that would end it."""
        began = time.monotonic()
        while True:
            await asyncio.sleep(min(0.5, self._limits.hang_s / 4))
            now = time.monotonic()
            if not self._waits_for_release:
                began = now
            late = bool(self.unanswered) and now - self._first_since > self._limits.hang_s
            if late or now - began > self._limits.start_s:
                self._hung = True
                process.kill()
                return

    async def _listen(self, process: Process) -> None:
        """Log what the worker says on standard error, unless it could be payload."""
        assert process.stderr is not None  # noqa: S101 - asked for above
        while chunk := await process.stderr.read(_LINE * 16):
            for line in chunk.splitlines():
                # Without payload there is none to hide, and why it cannot start is worth reading.
                if not self._seen_payload or _COMPLAINT.fullmatch(line):
                    text = line[:_LINE].decode("ascii", "replace")
                    self._log.warning("inspector_said", line=text)
                else:
                    self._log.warning("inspector_said", hidden_bytes=len(line))
