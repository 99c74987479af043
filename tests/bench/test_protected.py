"""The stand-in for the inspector: its word comes after the time asked for, once a record."""

import os
import time
from types import SimpleNamespace

from bench.protected import Word


class Ring:
    """Readable while records wait."""

    def __init__(self, take):
        self.take, self.waiting = take, []
        self.reading, self.writing = os.pipe()

    def fileno(self):
        return self.reading

    def consume(self):
        os.read(self.reading, 1)
        self.take(self.waiting.pop(0))

    def put(self, record):
        self.waiting.append(record)
        os.write(self.writing, b"x")


class FakeDatapath:
    def __init__(self):
        self.cleared, self.beats = [], 0

    def on_held(self, take):
        self.ring = Ring(take)
        return self.ring

    def beat(self):
        self.beats += 1

    def clear(self, flow, to):
        self.cleared.append((time.monotonic(), flow, to))


def record(flow, offset, data, *, again=False):
    return SimpleNamespace(flow=flow, offset=offset, data=data, again=again)


def test_the_word_clears_to_the_end_of_each_record_after_the_delay():
    """A decision within 5 ms is one that takes 5 ms; what comes again is answered already."""
    datapath = FakeDatapath()
    with Word(datapath, 0.02) as word:
        sent = time.monotonic()
        datapath.ring.put(record(7, 100, b"x" * 50))
        datapath.ring.put(record(7, 100, b"x" * 50, again=True))
        datapath.ring.put(record(8, 0, b"y" * 5))
        deadline = sent + 5
        while len(datapath.cleared) < 2 and time.monotonic() < deadline:
            time.sleep(0.005)

    assert [(7, 150), (8, 5)] == [(flow, to) for _, flow, to in datapath.cleared]
    assert all(at - sent >= 0.02 for at, _, _ in datapath.cleared)
    assert 3 == word.records
    assert datapath.beats
