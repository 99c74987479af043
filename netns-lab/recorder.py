"""What arrived at the sinks: one file a stream or datagram, and an index of them.

The sinks write (`Recorder`), the runner reads (`Arrivals`); the directory between them is private
to root. Bytes are kept whole, since leaks are looked for in them; they hold synthetic secrets only.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

INDEX = "index.jsonl"


class Recorder:
    """Appends to the index a line for whatever happens; keeps the bytes of each stream."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._index = (directory / INDEX).open("a", buffering=1)
        self._next = 0

    def open(self, sink: str, peer: tuple[str, int]) -> Stream:
        """A new stream, for a connection that was accepted."""
        stream = self._stream(sink, peer)
        self.note(stream, "open")
        return stream

    def datagram(self, sink: str, peer: tuple[str, int], data: bytes) -> None:
        """A message that is complete in itself."""
        stream = self._stream(sink, peer)
        stream.write(data)
        stream.file.close()
        self.note(stream, "datagram")

    def note(self, stream: Stream, event: str, **more: object) -> None:
        """A line of the index: `open`, `datagram`, `request` or `close`."""
        line = {
            "id": stream.id,
            "sink": stream.sink,
            "peer": stream.peer,
            "event": event,
            "bytes": stream.bytes,
            "time": time.time(),
        }
        self._index.write(json.dumps(line | more) + "\n")

    def close(self) -> None:
        """No more lines."""
        self._index.close()

    def _stream(self, sink: str, peer: tuple[str, int]) -> Stream:
        self._next += 1
        path = stream_path(self._directory, self._next)
        address = peer[0].removeprefix("::ffff:")
        return Stream(self, self._next, sink, (address, peer[1]), path.open("wb", buffering=0))


class Stream:
    """The bytes of one connection, in the order in which the program behind the sink got them."""

    def __init__(
        self, recorder: Recorder, number: int, sink: str, peer: tuple[str, int], file: io.FileIO
    ) -> None:
        self.recorder = recorder
        self.id = number
        self.sink = sink
        self.peer = peer
        self.file = file
        self.bytes = 0

    def write(self, data: bytes | memoryview) -> None:
        """Keep some more bytes."""
        self.file.write(data)
        self.bytes += len(data)

    def close(self, how: str) -> None:
        """The connection is over: `eof`, or what went wrong."""
        if not self.file.closed:
            self.file.close()
            self.recorder.note(self, "close", how=how)


@dataclass(slots=True, kw_only=True)
class Arrival:
    """A stream or datagram as the index tells of it up to now; `requests` of an HTTP sink."""

    id: int
    sink: str
    peer: tuple[str, int]
    path: Path
    datagram: bool
    opened: float
    closed: float | None = None
    how: str = ""
    requests: int = 0

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        return self.path.stat().st_size

    def read(self) -> bytes:
        """All bytes that have arrived."""
        return self.path.read_bytes()


class Arrivals:
    """The reader's side: follows the index as the sinks write it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._offset = 0
        self._all: dict[int, Arrival] = {}

    def of(self, sink: str) -> list[Arrival]:
        """Everything that arrived at a sink, in order."""
        return [arrival for arrival in self.all() if arrival.sink == sink]

    def all(self) -> list[Arrival]:
        """Everything that arrived anywhere, in order."""
        for line in self._new_lines():
            event = json.loads(line)
            number = event["id"]
            if event["event"] in {"open", "datagram"}:
                self._all[number] = Arrival(
                    id=number,
                    sink=event["sink"],
                    peer=(event["peer"][0], event["peer"][1]),
                    path=stream_path(self._directory, number),
                    datagram=event["event"] == "datagram",
                    opened=event["time"],
                )
            elif event["event"] == "request":
                self._all[number].requests += 1
            else:
                self._all[number].closed = event["time"]
                self._all[number].how = event["how"]
        return list(self._all.values())

    def _new_lines(self) -> Iterator[str]:
        index = self._directory / INDEX
        if not index.exists():
            return
        with index.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):  # still being written
                    return
                self._offset += len(line)
                yield line.decode()


def stream_path(directory: Path, number: int) -> Path:
    """Where the bytes of a stream lie."""
    return directory / f"{number:06d}.bin"
