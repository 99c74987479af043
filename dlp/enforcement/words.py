"""The inspector's words to the kernel: which flows are blocked, and what of held ones may leave.

A flow of a TCP socket is named by the socket's cookie, which never comes again. A flow
without one has an id that the kernel may forget with its row, so it is blocked by its
5-tuple as well, for ten minutes.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from dlp.datapath import abi
from dlp.datapath.datapath import Datapath

BLOCK_S = 600.0
_KEPT_S = 300.0
# Longer than the kernel waits for a word; what is held is sent again meanwhile.
_CLEARED_KEPT_S = 30.0
# bpf/owner.h: the ids that the kernel gives to flows without a socket.
_SOCKETLESS = 1 << 63


def is_cookie(flow: int) -> bool:
    """Whether a flow's id is the cookie of its TCP socket."""
    return not flow & _SOCKETLESS


class Words:
    """Words that were spoken, until the kernel has long taken note of them."""

    def __init__(self, datapath: Datapath, clock: Callable[[], float] = time.monotonic) -> None:
        self._datapath = datapath
        self._clock = clock
        self._spoken: dict[int, float] = {}
        self._cleared: dict[int, float] = {}

    def block(self, flow: int, signature: int, key: bytes | None) -> None:
        """Block a flow from its next packet on.

        Args:
            key: of the flow, a struct dlp_flow_key; None where it is not known any more.
        """
        self._datapath.block(flow, signature)
        self._spoken[flow] = self._clock()
        self._cleared.pop(flow, None)
        if key and not is_cookie(flow):
            self._datapath.block_key(abi.FlowKeyStruct.from_buffer_copy(key), signature, BLOCK_S)

    def clear(self, flow: int, to: int, *, keep: bool) -> None:
        """Let segments of a held flow out that end at or before `to`; see Datapath.clear.

        Raises KernelError where the kernel has no room for words.
        """
        if flow in self._spoken:
            return  # blocked meanwhile
        self._datapath.clear(flow, to, keep=keep)
        self._cleared[flow] = self._clock()

    def sweep(self) -> None:
        """Forget words that the flow's own state has long taken over."""
        now = self._clock()
        for flow, since in list(self._cleared.items()):
            if now - since > _CLEARED_KEPT_S:
                self._datapath.forget_word(flow)
                del self._cleared[flow]
        for flow, since in list(self._spoken.items()):
            if now - since > _KEPT_S:
                self._datapath.forget_word(flow)
                del self._spoken[flow]
