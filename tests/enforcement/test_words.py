"""The inspector's blocks on their way to the kernel."""

from __future__ import annotations

import time
from ctypes import c_uint64

from dlp.datapath import abi
from dlp.enforcement import words as module
from dlp.enforcement.words import BLOCK_S, Words, is_cookie

COOKIE = 4711
DATAGRAM = 1 << 63 | 5
KEY = abi.FlowKeyStruct(netns=7 << 16 | 1, source_port=40000, destination_port=53, protocol=17)


class Table:
    """A map of the kernel's, by the bytes of its keys."""

    def __init__(self, rows=()) -> None:
        self.rows = {bytes(key): (key, value) for key, value in rows}

    def keys(self):
        yield from [key for key, _ in list(self.rows.values())]

    def lookup(self, key):
        return self.rows.get(bytes(key), (None, None))[1]

    def delete(self, key) -> None:
        del self.rows[bytes(key)]


class Kernel:
    """What was asked of the datapath."""

    def __init__(self, **tables) -> None:
        self.asked: list[tuple] = []
        self.tables = {name: Table() for name in ("words", "blocked", "flows")} | tables

    def block(self, flow, signature) -> None:
        self.asked.append(("block", flow, signature))

    def block_key(self, key, signature, seconds) -> None:
        self.asked.append(("block_key", bytes(key), signature, seconds))

    def clear(self, flow, to, *, keep, question) -> None:
        self.asked.append(("clear", flow, to, keep, question))

    def forget_word(self, flow) -> None:
        self.asked.append(("forget", flow))


def test_socket():
    """A flow of a TCP socket is blocked by its cookie alone: ports come again, cookies do not."""
    kernel = Kernel()
    Words(kernel).block(COOKIE, 3, bytes(KEY))

    assert is_cookie(COOKIE)
    assert [("block", COOKIE, 3)] == kernel.asked


def test_datagrams():
    """A flow without a socket is blocked by its 5-tuple too: the kernel may forget its id."""
    kernel = Kernel()
    Words(kernel).block(DATAGRAM, 3, bytes(KEY))

    assert not is_cookie(DATAGRAM)
    assert [("block", DATAGRAM, 3), ("block_key", bytes(KEY), 3, BLOCK_S)] == kernel.asked


def test_key_that_is_not_known():
    """What is known is done."""
    kernel = Kernel()
    Words(kernel).block(DATAGRAM, 3, None)

    assert [("block", DATAGRAM, 3)] == kernel.asked


def flow(number: int, state: abi.FlowState = abi.FlowState.BLOCKED):
    return KEY, abi.FlowStruct(id=number, state=state)


def test_sweep():
    """A block is forgotten once the flow's own row says it."""
    kernel = Kernel(flows=Table([flow(1)]))
    words = Words(kernel)
    words.block(1, 0, bytes(KEY))
    words.sweep()
    words.sweep()

    assert [("forget", 1)] == kernel.asked[1:]


def test_block_of_a_flow_that_is_silent():
    """However long it sends nothing, the block waits for its next packet."""
    kernel, now = Kernel(flows=Table([flow(1, abi.FlowState.OPEN)])), [0.0]
    words = Words(kernel, lambda: now[0])
    words.block(1, 0, bytes(KEY))
    words.block(2, 0, bytes(KEY))  # the row under its key is another flow's
    words.block(3, 0, None)
    now[0] = 100_000.0
    words.sweep()

    assert ["block"] * 3 == [what for what, *_ in kernel.asked]


def test_blocks_are_bounded(monkeypatch):
    """The oldest go where the kernel's table would be full."""
    monkeypatch.setattr(module, "BLOCKS", 2)
    kernel = Kernel()
    words = Words(kernel)
    for number in (1, 2, 3):
        words.block(number, 0, None)

    assert [("block", 1, 0), ("block", 2, 0), ("forget", 1), ("block", 3, 0)] == kernel.asked


def test_words_of_an_earlier_process():
    """Its blocks stand, and what it cleared is forgotten in time."""
    kernel = Kernel(
        words=Table(
            [
                (c_uint64(1), abi.WordStruct(0, 3, 1)),
                (c_uint64(2), abi.WordStruct(100, 0, 0)),
            ]
        )
    )
    now = [0.0]
    words = Words(kernel, lambda: now[0])
    words.clear(1, 50, keep=False, question=0)
    now[0] = 31.0
    words.sweep()

    assert [("forget", 2)] == kernel.asked


def test_expire(monkeypatch):
    """Blocks by 5-tuple go when their time is over, however many there are; others stay."""
    monkeypatch.setattr(module, "_AT_ONCE", 3)
    past, future = time.monotonic_ns() - 1, time.monotonic_ns() + 10**12
    rows = [
        (
            abi.FlowKeyStruct(netns=1, source_port=port),
            abi.BlockStruct(future if port % 4 == 0 else past, 0, 0),
        )
        for port in range(10)
    ]
    table = Table(rows)
    words = Words(Kernel(blocked=table))
    for _ in range(12):
        words.expire()

    assert [0, 4, 8] == [key.source_port for key, _ in table.rows.values()]


def test_clear_is_forgotten_sooner():
    """A word on what is held is taken over within seconds; the newest counts."""
    kernel, now = Kernel(), [0.0]
    words = Words(kernel, lambda: now[0])
    words.clear(1, 100, keep=True, question=7)
    now[0] = 20.0
    words.clear(1, 200, keep=False, question=8)
    now[0] = 40.0
    words.sweep()
    early = kernel.asked[:]
    now[0] = 51.0
    words.sweep()
    words.sweep()

    assert [("clear", 1, 100, True, 7), ("clear", 1, 200, False, 8)] == early
    assert [("forget", 1)] == kernel.asked[2:]


def test_a_block_stands():
    """Neither a later word nor the end of an earlier one undoes a block."""
    kernel, now = Kernel(), [0.0]
    words = Words(kernel, lambda: now[0])
    words.clear(1, 100, keep=False, question=7)
    words.block(1, 3, None)
    words.clear(1, 200, keep=False, question=8)
    now[0] = 60.0
    words.sweep()

    assert [("clear", 1, 100, False, 7), ("block", 1, 3)] == kernel.asked
