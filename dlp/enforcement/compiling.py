"""Compiling a set in a process of its own: seconds of work that the event loop must not feel.

A thread would share the interpreter's lock with the loop, which answers held flows within
milliseconds. The process ends with its work: it holds some 100 MB meanwhile. One that does
not end, as where a pattern backtracks for ever on its own sample, is killed. What was
compiled before is taken from the cache, and needs no process.

    gateway ──packs, directory of the cache──► process ──True, it has started──► gateway
    gateway ──None, or ids that are held──► process ──subjects, or the image──► gateway
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import pickle
import signal
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

from dlp.errors import DlpError, KernelError, PackError
from dlp.model import Subject
from dlp.signatures import collector
from dlp.signatures.cache import Cache
from dlp.signatures.image import KernelImage
from dlp.signatures.pack import Pack

TIMEOUT_S: Final = 120.0
_START_S: Final = 60.0
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_LENGTH: Final = struct.Struct("=Q")


class Compiling:
    """The compilation of one set. Each answer waits at most `timeout_s`.

    Raises:
        PackError: as `compile_packs`; or it took longer.
        KernelError: the process was killed, for want of memory as a rule.
    """

    def __init__(self, packs: Sequence[Pack], cache: Path | None, timeout_s: float) -> None:
        self._packs = tuple(packs)
        self._cache = cache
        self._timeout_s = timeout_s
        self._process: Process | None = None
        self._started = False

    async def subjects(self) -> tuple[Subject, ...]:
        """What policies know of the set."""
        known = await asyncio.to_thread(Cache(self._cache).found_subjects, self._packs)
        return known if known is not None else await self._asked(None)

    async def image(self, held: Collection[str]) -> KernelImage:
        """The image, with triggers for the signatures that are held."""
        find = partial(Cache(self._cache).found, self._packs, held=held)
        known = await asyncio.to_thread(find)
        return known if known is not None else await self._asked(tuple(held))

    async def end(self) -> None:
        """End the process, whatever it does."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.communicate()

    async def _asked(self, question: tuple[str, ...] | None) -> Any:
        try:
            source, sink = await self._pipes()
            async with asyncio.timeout(self._timeout_s):
                sink.write(_frame(question))
                answer = await _taken(source)
        except TimeoutError:
            raise PackError(
                f"compiling took longer than {self._timeout_s:.0f} s and was ended",
                remedy="look for a pattern that backtracks: `dlp signatures check` names it",
            ) from None
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise KernelError(
                "the process that compiles signatures was killed", remedy="see that it has 500 MB"
            ) from error
        if isinstance(answer, DlpError):
            raise answer
        return answer

    async def _pipes(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Those of the process; that it starts is not in the time that an answer has."""
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-sPB", "-m", __name__), stdin=PIPE, stdout=PIPE
            )
        source, sink = self._process.stdout, self._process.stdin
        if source is None or sink is None:
            raise KernelError("the process that compiles signatures has no pipes")
        if not self._started:
            async with asyncio.timeout(_START_S):
                sink.write(await asyncio.to_thread(_frame, (self._packs, self._cache)))
                await sink.drain()
                await _taken(source)
            self._started = True
        return source, sink


@contextlib.asynccontextmanager
async def compiling(
    packs: Sequence[Pack], *, cache: Path | None = None, timeout_s: float = TIMEOUT_S
) -> AsyncIterator[Compiling]:
    """The compilation of a set; its process, if it needed one, is gone at the end."""
    work = Compiling(packs, cache, timeout_s)
    try:
        yield work
    finally:
        await work.end()


async def compiled(
    packs: Sequence[Pack],
    held: Collection[str],
    *,
    cache: Path | None = None,
    timeout_s: float = TIMEOUT_S,
) -> KernelImage:
    """As `compile_packs`. Raises as Compiling."""
    async with compiling(packs, cache=cache, timeout_s=timeout_s) as work:
        return await work.image(held)


def _frame(value: object) -> bytes:
    body = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


async def _taken(source: asyncio.StreamReader) -> Any:
    (length,) = _LENGTH.unpack(await source.readexactly(_LENGTH.size))
    raw = await source.readexactly(length)
    return await asyncio.to_thread(_unpacked, raw)


def _unpacked(raw: bytes) -> Any:
    with collector.paused():
        return pickle.loads(raw)  # noqa: S301 - of a process of ours


def _read(source: BinaryIO) -> Any:
    """The next frame. Raises EOFError where nobody asks any more."""
    head = source.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    return pickle.loads(source.read(_LENGTH.unpack(head)[0]))  # noqa: S301 - of the gateway's own


def _worked(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer questions about one set until there is none."""
    packs, directory = _read(source)
    cache = Cache(directory)
    sink.write(_frame(True))  # noqa: FBT003 - it has started
    sink.flush()
    while True:
        held = _read(source)
        answer: object
        try:
            answer = cache.subjects(packs) if held is None else cache.image(packs, held=held)
        except DlpError as error:
            answer = error
        sink.write(_frame(answer))
        sink.flush()


def main() -> None:
    """The process; it ends with the gateway."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # What it makes stays to its end.
    with collector.paused(), contextlib.suppress(EOFError, BrokenPipeError):  # nobody waits
        _worked(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
