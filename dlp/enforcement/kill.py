"""Destroy a blocked flow's socket, so that its program sees an error at once.

SOCK_DESTROY (sock_diag(7), linux/inet_diag.h): the kernel ends the connection, sends a
reset, and the program's next call fails with ECONNABORTED. The socket is named by its
5-tuple and its cookie, so that no later socket of the same ports is met. Needs
CONFIG_INET_DIAG_DESTROY; without it the flow stays blocked as any other.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import structlog

from dlp.datapath import abi
from dlp.datapath.events import Event, Packet
from dlp.enforcement.words import is_cookie
from dlp.errors import DlpError, KernelError
from dlp.model import Action

_SOCK_DIAG = 4  # NETLINK_SOCK_DIAG
_SOCK_DIAG_BY_FAMILY = 20
_SOCK_DESTROY = 21
_REQUEST_ACK = 0x1 | 0x4  # NLM_F_REQUEST, NLM_F_ACK
_REQUEST_DUMP = 0x1 | 0x300  # NLM_F_REQUEST, NLM_F_DUMP
_NLMSG_ERROR = 2
_ALL_STATES = 0xFFFFFFFF
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
# inet_diag_req_v2: family, protocol, extensions, pad, states; then inet_diag_sockid: ports and
# addresses in network order, device, cookie.
_REQUEST = struct.Struct("=BBBBI2s2s16s16sIII")
_ERROR = struct.Struct("=i")
_ANSWER = 8192
_ANSWER_S = 1.0
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_PENDING = 1024
# These leave the flow blocked, or nothing of it ever passes: the program waits in vain.
_ENDS = frozenset(
    {
        abi.EventKind.MATCH,
        abi.EventKind.OPAQUE,
        abi.EventKind.DENIED,
        abi.EventKind.HOLD_TIMEOUT,
    }
)


class Target(NamedTuple):
    """A TCP socket in a namespace.

    Attributes:
        netns: key of the namespace.
        cookie: of the socket; the flow's id.
    """

    netns: int
    family: int
    source: str
    source_port: int
    destination: str
    destination_port: int
    cookie: int


def target_of(event: Event) -> Target | None:
    """The socket to destroy after an event; None where it ends no flow of a socket."""
    # Below a threshold or excepted, the action is allow.
    enforced = event.action == Action.DROP and abi.EventFlag.MONITOR not in event.flags
    if event.kind not in _ENDS or abi.EventFlag.OWNED not in event.flags or not enforced:
        return None
    return target_of_flow(event.packet, event.flow)


def target_of_flow(packet: Packet, flow: int) -> Target | None:
    """The socket behind a flow, one packet of which is known; None where it has none."""
    if packet.protocol != "tcp" or packet.family not in _FAMILY or not is_cookie(flow):
        return None
    return Target(
        netns=packet.netns,
        family=packet.family,
        source=packet.source,
        source_port=packet.source_port,
        destination=packet.destination,
        destination_port=packet.destination_port,
        cookie=flow,
    )


def destroy(target: Target) -> bool:
    """Destroy the socket in the calling thread's network namespace. Blocking.

    Returns whether it was there.

    Raises:
        NotSupported: the kernel cannot destroy sockets.
        KernelError: it refuses.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as netlink:
        netlink.settimeout(_ANSWER_S)
        code = _ask(netlink, target, device=0)
        if code == errno.ENOENT:
            # A socket bound to a device is found by that device only.
            for device, _ in socket.if_nameindex():
                code = _ask(netlink, target, device)
                if code != errno.ENOENT:
                    break
        if code == errno.ENOENT and not _knows_tcp(netlink):
            code = errno.EOPNOTSUPP
    if code in {0, errno.ENOENT, errno.ESTALE}:
        return code == 0
    if code in {errno.EOPNOTSUPP, errno.EINVAL}:
        raise NotSupported(
            "this kernel cannot destroy sockets",
            remedy="CONFIG_INET_DIAG_DESTROY is missing; blocked flows stay blocked all the same",
        )
    raise KernelError(
        f"destroying a socket: {os.strerror(code)}", remedy="the flow stays blocked all the same"
    )


class NotSupported(KernelError):
    """The kernel was built without CONFIG_INET_DIAG_DESTROY."""


def _ask(netlink: socket.socket, target: Target, device: int) -> int:
    """Send the request; 0 or the errno that the kernel answers with."""
    body = _REQUEST.pack(
        _FAMILY[target.family],
        socket.IPPROTO_TCP,
        0,
        0,
        _ALL_STATES,
        target.source_port.to_bytes(2, "big"),
        target.destination_port.to_bytes(2, "big"),
        _packed(target.family, target.source),
        _packed(target.family, target.destination),
        device,
        target.cookie & 0xFFFFFFFF,
        target.cookie >> 32,
    )
    return _answer(netlink, _SOCK_DESTROY, _REQUEST_ACK, body)


def _knows_tcp(netlink: socket.socket) -> bool:
    """Whether the kernel lists TCP sockets: without tcp_diag it finds none of them."""
    none = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0, b"", b"", b"", b"", 0, 0, 0)
    return _answer(netlink, _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, none) == 0


def _answer(netlink: socket.socket, kind: int, flags: int, body: bytes) -> int:
    """Send a request; the errno of the answer, 0 where it holds none."""
    netlink.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)
    answer = netlink.recv(_ANSWER)
    if _HEADER.unpack_from(answer)[1] != _NLMSG_ERROR:
        return 0
    code: int = _ERROR.unpack_from(answer, _HEADER.size)[0]
    return -code


def _packed(family: int, address: str) -> bytes:
    return socket.inet_pton(_FAMILY[family], address)


class Killer:
    """Destroys sockets one after the other, without delaying who asks.

    Args:
        within: runs a call in the network namespace of a key, in the thread that may enter
            namespaces; raises DlpError where the namespace is gone.
    """

    def __init__(
        self,
        within: Callable[[int, Callable[[Target], bool], Target], Awaitable[bool]],
        log: Any = None,
    ) -> None:
        self._within = within
        self._log = log if log is not None else structlog.get_logger()
        self._queue: asyncio.Queue[Target] = asyncio.Queue(_PENDING)
        self._supported = True
        self.killed = 0
        self.missed = 0

    def add(self, target: Target) -> None:
        """Destroy it soon; past 1,024 that wait it is left blocked, and counted as missed."""
        if not self._supported:
            return
        try:
            self._queue.put_nowait(target)
        except asyncio.QueueFull:
            self.missed += 1

    async def run(self) -> None:
        """Destroy what comes, until cancelled."""
        while True:
            target = await self._queue.get()
            await self._kill(target)
            self._queue.task_done()

    async def _kill(self, target: Target) -> None:
        if not self._supported:
            return
        try:
            self.killed += await self._within(target.netns, destroy, target)
        except NotSupported as error:
            self._supported = False
            self._log.warning("blocked flows cannot be killed", reason=str(error))
        except (DlpError, OSError) as error:
            self.missed += 1
            self._log.warning("socket not destroyed", flow=target.cookie, reason=str(error))
