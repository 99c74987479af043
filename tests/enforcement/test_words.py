"""The inspector's blocks on their way to the kernel."""

from __future__ import annotations

from dlp.datapath import abi
from dlp.enforcement.words import BLOCK_S, Words, is_cookie

COOKIE = 4711
DATAGRAM = 1 << 63 | 5
KEY = abi.FlowKeyStruct(netns=7 << 16 | 1, source_port=40000, destination_port=53, protocol=17)


class Kernel:
    """What was asked of the datapath."""

    def __init__(self) -> None:
        self.asked: list[tuple] = []

    def block(self, flow, signature) -> None:
        self.asked.append(("block", flow, signature))

    def block_key(self, key, signature, seconds) -> None:
        self.asked.append(("block_key", bytes(key), signature, seconds))

    def clear(self, flow, to, *, keep) -> None:
        self.asked.append(("clear", flow, to, keep))

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


def test_sweep():
    """Words are forgotten when the kernel has long taken note, and not before."""
    kernel, now = Kernel(), [0.0]
    words = Words(kernel, lambda: now[0])
    words.block(1, 0, None)
    now[0] = 200.0
    words.block(2, 0, None)
    words.sweep()
    early = len(kernel.asked)
    now[0] = 301.0
    words.sweep()
    words.sweep()

    assert 2 == early
    assert [("forget", 1)] == kernel.asked[2:]


def test_clear_is_forgotten_sooner():
    """A word on what is held is taken over within seconds; the newest counts."""
    kernel, now = Kernel(), [0.0]
    words = Words(kernel, lambda: now[0])
    words.clear(1, 100, keep=True)
    now[0] = 20.0
    words.clear(1, 200, keep=False)
    now[0] = 40.0
    words.sweep()
    early = kernel.asked[:]
    now[0] = 51.0
    words.sweep()
    words.sweep()

    assert [("clear", 1, 100, True), ("clear", 1, 200, False)] == early
    assert [("forget", 1)] == kernel.asked[2:]


def test_a_block_stands():
    """Neither a later word nor the end of an earlier one undoes a block."""
    kernel, now = Kernel(), [0.0]
    words = Words(kernel, lambda: now[0])
    words.clear(1, 100, keep=False)
    words.block(1, 3, None)
    words.clear(1, 200, keep=False)
    now[0] = 60.0
    words.sweep()

    assert [("clear", 1, 100, False), ("block", 1, 3)] == kernel.asked
