"""One writer and one reader on an SQLite file, each with a thread of its own.

A long listing must not delay what is being recorded, and the event loop waits for neither.
Several stores may share them: each has tables of its own.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

from dlp.store.database import Schema, connect, connect_reader, explained

READ_S = 10.0

P = ParamSpec("P")
T = TypeVar("T")


class Connections:
    """Both connections to one file."""

    def __init__(self, path: Path, writer: sqlite3.Connection, reader: sqlite3.Connection) -> None:
        self.path = path
        self.writer = writer
        self.reader = reader
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="store-write")
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="store-read")

    @classmethod
    async def open(cls, path: Path, schema: Schema) -> Self:
        """Open or create the file, mode 0600, and bring it to the newest schema.

        Raises:
            StoreError: damaged, of a newer release, another program's, not writable.
        """

        def connections() -> tuple[sqlite3.Connection, sqlite3.Connection]:
            writer = connect(path, schema)
            try:
                return writer, connect_reader(path)
            except BaseException:
                writer.close()
                raise

        return cls(path, *await asyncio.to_thread(connections))

    async def write(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `call` in the writer's thread. Raises StoreError for what SQLite raises."""
        return await self._run(self._write_thread, call, *args, **kwargs)

    async def read(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `call` in the reader's thread. Raises StoreError for what SQLite raises."""
        return await self._run(self._read_thread, call, *args, **kwargs)

    async def close(self) -> None:
        """Finish what is under way and close; further calls raise RuntimeError."""

        def finish() -> None:
            self._read_thread.shutdown()
            self._write_thread.shutdown()
            self.reader.close()
            with explained(self.path):
                self.writer.close()

        await asyncio.to_thread(finish)

    async def _run(
        self, thread: ThreadPoolExecutor, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        def job() -> T:
            with explained(self.path):
                return call(*args, **kwargs)

        return await asyncio.get_running_loop().run_in_executor(thread, job)
