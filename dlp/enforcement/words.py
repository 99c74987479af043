"""The inspector's words to the kernel: which flows are blocked, and what of held ones may leave.

A flow of a TCP socket is named by the socket's cookie, which never comes again. A flow
without one has an id that the kernel may forget with its row, so it is blocked by its
5-tuple as well, for ten minutes. The kernel reads a word with the flow's next packet, which
may be long in coming: a block is kept until the flow's own state says so.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from ctypes import c_uint64
from itertools import islice
from typing import Any

from dlp.datapath import abi
from dlp.datapath.datapath import Datapath

BLOCK_S = 600.0
# With the words on held flows they fit the kernel's table of 65,536.
BLOCKS = 32768
# Longer than the kernel waits for a word; what is held is sent again meanwhile.
_CLEARED_KEPT_S = 30.0
_AT_ONCE = 2048  # looked at in a turn: some ten milliseconds
# bpf/owner.h: the ids that the kernel gives to flows without a socket.
_SOCKETLESS = 1 << 63


def is_cookie(flow: int) -> bool:
    """Whether a flow's id is the cookie of its TCP socket."""
    return not flow & _SOCKETLESS


class Words:
    """Words that were spoken, by this process or one before, until they are taken note of."""

    def __init__(self, datapath: Datapath, clock: Callable[[], float] = time.monotonic) -> None:
        self._datapath = datapath
        self._clock = clock
        self._spoken: OrderedDict[int, bytes | None] = OrderedDict()  # blocks, with keys of flows
        self._cleared: dict[int, float] = {}
        self._walk: Iterator[Any] = iter(())
        self._last: Any = None
        words = datapath.tables["words"]
        for flow in [key.value for key in words.keys()]:  # noqa: SIM118 - a map of the kernel's
            word = words.lookup(c_uint64(flow))
            if word is not None and word.block:
                self._spoken[flow] = None
            elif word is not None:
                self._cleared[flow] = clock()

    def block(self, flow: int, signature: int, key: bytes | None) -> None:
        """Block a flow from its next packet on.

        Args:
            key: of the flow, a struct dlp_flow_key; None where it is not known any more.
        """
        while len(self._spoken) >= BLOCKS:
            oldest, _ = self._spoken.popitem(last=False)
            self._datapath.forget_word(oldest)
        self._datapath.block(flow, signature)
        self._spoken[flow] = key
        self._cleared.pop(flow, None)
        if key and not is_cookie(flow):
            self._datapath.block_key(abi.FlowKeyStruct.from_buffer_copy(key), signature, BLOCK_S)

    def clear(self, flow: int, to: int, *, keep: bool, question: int) -> None:
        """Let segments of a held flow out that end at or before `to`; see Datapath.clear.

        Raises KernelError where the kernel has no room for words.
        """
        if flow in self._spoken:
            return  # blocked meanwhile
        self._datapath.clear(flow, to, keep=keep, question=question)
        self._cleared[flow] = self._clock()

    def sweep(self) -> None:
        """Forget words that the flow's own state has taken over."""
        now = self._clock()
        for flow, since in list(self._cleared.items()):
            if now - since > _CLEARED_KEPT_S:
                self._datapath.forget_word(flow)
                del self._cleared[flow]
        for _ in range(min(len(self._spoken), _AT_ONCE)):
            flow, key = self._spoken.popitem(last=False)
            if self._noted(flow, key):
                self._datapath.forget_word(flow)
            else:
                self._spoken[flow] = key

    def expire(self) -> None:
        """Go through a part of the blocks by 5-tuple, and remove those whose time is over.

        The kernel makes such blocks too, and looks at their time only.
        """
        table = self._datapath.tables["blocked"]
        now = time.monotonic_ns()
        batch = list(islice(self._walk, _AT_ONCE))
        if len(batch) < _AT_ONCE:
            self._walk = table.keys()
        # The walk goes on from the last key, so that one is removed a turn later.
        for key in [self._last, *batch[:-1]]:
            block = table.lookup(key) if key is not None else None
            if block is not None and block.until_ns < now:
                table.delete(key)
        self._last = batch[-1] if batch else None

    def _noted(self, flow: int, key: bytes | None) -> bool:
        """Whether the kernel's row of the flow says that it is blocked."""
        if key is None:
            return False
        row = self._datapath.tables["flows"].lookup(abi.FlowKeyStruct.from_buffer_copy(key))
        return row is not None and row.id == flow and row.state == abi.FlowState.BLOCKED
