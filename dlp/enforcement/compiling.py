"""Compiling a set in a process of its own: seconds of work that the event loop must not feel.

A thread would share the interpreter's lock with the loop, which answers held flows within
milliseconds. The process ends with its work: it holds some 100 MB meanwhile. One that does
not end, as where a pattern backtracks for ever on its own sample, is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import multiprocessing
import signal
from collections.abc import Collection, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from dlp.errors import DlpError, KernelError, PackError
from dlp.signatures.cache import Cache
from dlp.signatures.image import KernelImage
from dlp.signatures.pack import Pack

TIMEOUT_S: Final = 120.0
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


async def compiled(
    packs: Sequence[Pack],
    held: Collection[str],
    *,
    cache: Path | None = None,
    timeout_s: float = TIMEOUT_S,
) -> KernelImage:
    """As `compile_packs`; what `cache` has is taken from there, and needs no process.

    Raises:
        PackError: as there; or it took longer than `timeout_s`.
        KernelError: the process was killed, for want of memory as a rule.
    """
    known = await asyncio.to_thread(partial(Cache(cache).found, packs, held=held))
    if known is not None:
        return known
    # Not forked: this process has threads.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    worker = context.Process(target=_compile, args=(theirs, tuple(packs), tuple(held), cache))
    try:
        await asyncio.to_thread(worker.start)
        theirs.close()  # its end is then the end of the pipe
        answer = await asyncio.to_thread(partial(_answer, ours, timeout_s))
    finally:
        if worker.pid is not None:
            worker.kill()
            await asyncio.to_thread(worker.join)
        ours.close()
        theirs.close()
    if isinstance(answer, DlpError):
        raise answer
    return answer


def _answer(pipe: Connection, timeout_s: float) -> KernelImage | DlpError:
    if not pipe.poll(timeout_s):
        return PackError(
            f"compiling took longer than {timeout_s:.0f} s and was ended",
            remedy="look for a pattern that backtracks: `dlp signatures check` names it",
        )
    try:
        answer: KernelImage | DlpError = pipe.recv()
    except EOFError:
        return KernelError(
            "the process that compiles signatures was killed", remedy="see that it has 500 MB"
        )
    return answer


def _compile(
    pipe: Connection, packs: tuple[Pack, ...], held: tuple[str, ...], cache: Path | None
) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    answer: KernelImage | DlpError
    try:
        answer = Cache(cache).image(packs, held=held)
    except DlpError as error:
        answer = error
    with contextlib.suppress(BrokenPipeError):  # nobody waits any more
        pipe.send(answer)
