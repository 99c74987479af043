"""Route netlink, as much of it as attaching needs: links, qdiscs, filters, namespace ids.

rtnetlink(7), linux/if_link.h, linux/pkt_cls.h, linux/net_namespace.h. Written out here because
notifications are read on the way to an attach: pyroute2 takes 0.3 ms for a link and four
descriptors for a socket, this 20 µs and one. Integers are in host order.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

REQUEST, ACK, EXCLUSIVE, CREATE, REPLACE, DUMP = 1, 4, 0x200, 0x400, 0x100, 0x300
NEWLINK, DELLINK, GETLINK, SETLINK = 16, 17, 18, 19
NEWQDISC, DELQDISC, GETQDISC = 36, 37, 38
NEWTFILTER, DELTFILTER, GETTFILTER = 44, 45, 46
NEWNSID, GETNSID = 88, 90
LINK_CHANGES, TC_CHANGES = 1 << 0, 1 << 3  # RTMGRP_LINK, RTMGRP_TC

_ERROR, _DONE, _OVERRUN = 2, 3, 4
_INTERRUPTED = 0x10  # NLM_F_DUMP_INTR: what was listed changed meanwhile
_SOL_NETLINK, _EXT_ACK, _STRICT = 270, 11, 12
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_LINK = struct.Struct("=BxHiII")  # family, hardware, index, flags, change
_TC = struct.Struct("=BxxxiIII")  # family, index, handle, parent, info
_ATTRIBUTE = struct.Struct("=HH")
_PART = 1 << 16
_TRIES = 5

_IFNAME, _LINKED, _LINKINFO, _STATS64, _LINK_NETNSID = 3, 5, 18, 23, 37
_NET_NS_FD = 28
_GSO_MAX_SIZE, _NEW_NETNSID, _NEW_IFINDEX, _GSO_IPV4_MAX_SIZE = 41, 45, 49, 63
_KIND, _OPTIONS, _CHAIN = 1, 2, 11
_NSID, _NS_FD = 1, 3
NO_NSID = -1


class NetlinkError(OSError):
    """The kernel's refusal; `strerror` holds its own words where it has some."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message; `port` is of the socket whose request caused it, 0 for the kernel's own."""

    kind: int
    flags: int
    port: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What the kernel tells of a device.

    Attributes:
        kind: None for hardware.
        family: AF_UNSPEC but for messages of a bridge about its ports.
        hardware: ARPHRD_ number.
        linked: index of the device it belongs to: of a veth its other end; 0 for none.
        nsid: of the namespace that device is in; NO_NSID for the same.
        gso_max_size, gso_ipv4_max_size: in bytes; the latter is 0 on kernels before 6.3.
        sent: packets that left by it.
        new_nsid, new_index: where it was moved to, in the message of its removal.
    """

    index: int
    name: str
    kind: str | None
    family: int
    hardware: int
    flags: int
    linked: int = 0
    nsid: int = NO_NSID
    gso_max_size: int = 0
    gso_ipv4_max_size: int = 0
    sent: int = 0
    new_nsid: int = NO_NSID
    new_index: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tc:
    """A qdisc or a filter. `options` are the attributes of its kind."""

    index: int
    handle: int
    parent: int
    info: int
    kind: str
    chain: int
    options: dict[int, bytes]


class Netlink:
    """A socket in the namespace that the calling thread is in; it stays there."""

    def __init__(self) -> None:
        self._socket = _open(0, blocking=True)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    @property
    def port(self) -> int:
        """By which the kernel names this socket in what it tells others."""
        return int(self._socket.getsockname()[0])

    def ask(self, kind: int, flags: int, body: bytes) -> list[bytes]:
        """Send a request; the bodies of the answers.

        Raises:
            NetlinkError: refused.
            OSError: the socket's own failures.
        """
        for _ in range(_TRIES - 1):
            found, whole = self._ask(kind, flags, body)
            if whole:
                return found
        return self._ask(kind, flags, body)[0]

    def _ask(self, kind: int, flags: int, body: bytes) -> tuple[list[bytes], bool]:
        self._sequence += 1
        header = _HEADER.pack(_HEADER.size + len(body), kind, REQUEST | flags, self._sequence, 0)
        self._socket.send(header + body)
        found: list[bytes] = []
        whole = True
        while True:
            for sequence, message in _messages(self._socket.recv(_PART)):
                if sequence != self._sequence:
                    continue  # of a request that was given up
                whole &= not message.flags & _INTERRUPTED
                if message.kind == _DONE:
                    return found, whole
                if message.kind == _ERROR:
                    _raise(message)
                    return found, whole
                found.append(message.body)
                if not flags & (DUMP | ACK):
                    return found, whole

    # -- links -------------------------------------------------------------------

    def links(self) -> list[Link]:
        """All devices, in order of their index."""
        found = self.ask(GETLINK, DUMP, _LINK.pack(0, 0, 0, 0, 0))
        return sorted((link_of(body) for body in found), key=lambda link: link.index)

    def link(self, index: int) -> Link | None:
        """One device; None where it is gone."""
        try:
            (body,) = self.ask(GETLINK, 0, _LINK.pack(0, 0, index, 0, 0))
        except NetlinkError as error:
            if error.errno == errno.ENODEV:
                return None
            raise
        return link_of(body)

    def set_link(self, index: int, attributes: bytes) -> None:
        self.ask(SETLINK, ACK, _LINK.pack(0, 0, index, 0, 0) + attributes)

    def set_gso(self, index: int, size: int, ipv4: int = 0) -> None:
        """Bound what the device takes at once, in bytes; `ipv4` 0 leaves that one alone."""
        attributes = _attribute(_GSO_MAX_SIZE, size.to_bytes(4, "little"))
        if ipv4:
            attributes += _attribute(_GSO_IPV4_MAX_SIZE, ipv4.to_bytes(4, "little"))
        self.set_link(index, attributes)

    def nsid_of(self, fd: int) -> int:
        """The number by which this socket's namespace knows another; NO_NSID for none.

        A namespace does not know itself by a number as long as nothing asks for one.
        """
        body = b"\0\0\0\0" + _attribute(_NS_FD, fd.to_bytes(4, "little"))
        (answer,) = self.ask(GETNSID, 0, body)
        found = dict(_attributes(answer, 4)).get(_NSID)
        return int.from_bytes(found, "little", signed=True) if found else NO_NSID

    # -- traffic control ---------------------------------------------------------

    def add_qdisc(self, index: int, handle: int, parent: int, kind: str) -> bool:
        """Whether it was not there before."""
        body = _TC.pack(0, index, handle, parent, 0) + _attribute(_KIND, kind.encode() + b"\0")
        try:
            self.ask(NEWQDISC, ACK | CREATE | EXCLUSIVE, body)
        except NetlinkError as error:
            if error.errno == errno.EEXIST:
                return False
            raise
        return True

    def delete_qdisc(self, index: int, handle: int, parent: int) -> None:
        self.ask(DELQDISC, ACK, _TC.pack(0, index, handle, parent, 0))

    def qdiscs(self, index: int) -> list[Tc]:
        """Of a device."""
        found = map(tc_of, self.ask(GETQDISC, DUMP, _TC.pack(0, index, 0, 0, 0)))
        return [one for one in found if one.index == index]

    def filters(self, index: int, parent: int) -> list[Tc]:
        """Those of a hook, of all chains, each chain in the order in which they are asked."""
        found = self.ask(GETTFILTER, DUMP, _TC.pack(0, index, 0, parent, 0))
        return [one for one in map(tc_of, found) if one.handle]

    def replace_filter(
        self, index: int, parent: int, *, info: int, handle: int, kind: str, options: bytes
    ) -> None:
        """Put a filter in the place of the one with that priority and handle, or there anew."""
        body = _TC.pack(0, index, handle, parent, info)
        body += _attribute(_KIND, kind.encode() + b"\0") + _attribute(_OPTIONS, options)
        self.ask(NEWTFILTER, ACK | CREATE | REPLACE, body)

    def delete_filter(self, index: int, parent: int, *, info: int, handle: int, kind: str) -> None:
        body = _TC.pack(0, index, handle, parent, info)
        self.ask(DELTFILTER, ACK, body + _attribute(_KIND, kind.encode() + b"\0"))


def watch(groups: int) -> socket.socket:
    """A socket on which changes in the calling thread's namespace can be read, not blocking."""
    return _open(groups, blocking=False)


def read(changes: socket.socket) -> tuple[list[Message], bool]:
    """The changes that are there, and whether none was lost for want of room."""
    found: list[Message] = []
    sure = True
    while True:
        try:
            data = changes.recv(_PART)
        except BlockingIOError:
            return found, sure
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            sure = False
            continue
        for _, message in _messages(data):
            sure &= message.kind != _OVERRUN
            found.append(message)


def link_of(body: bytes) -> Link:
    """The device that a link message is about."""
    family, hardware, index, flags, _ = _LINK.unpack_from(body)
    found = dict(_attributes(body, _LINK.size))
    info = found.get(_LINKINFO)
    kind = dict(_attributes(info, 0)).get(_KIND) if info else None
    stats = found.get(_STATS64, b"")
    return Link(
        index=index,
        name=_text(found.get(_IFNAME, b"")),
        kind=_text(kind) if kind else None,
        family=family,
        hardware=hardware,
        flags=flags,
        linked=_number(found, _LINKED),
        nsid=_number(found, _LINK_NETNSID, NO_NSID),
        gso_max_size=_number(found, _GSO_MAX_SIZE),
        gso_ipv4_max_size=_number(found, _GSO_IPV4_MAX_SIZE),
        sent=int.from_bytes(stats[8:16], "little"),
        new_nsid=_number(found, _NEW_NETNSID, NO_NSID),
        new_index=_number(found, _NEW_IFINDEX),
    )


def index_of(body: bytes) -> int:
    """The device that a message about a link, a qdisc or a filter is about."""
    return int.from_bytes(body[4:8], "little", signed=True)


def tc_of(body: bytes) -> Tc:
    """The qdisc or filter that a message is about."""
    _, index, handle, parent, info = _TC.unpack_from(body)
    found = dict(_attributes(body, _TC.size))
    return Tc(
        index=index,
        handle=handle,
        parent=parent,
        info=info,
        kind=_text(found.get(_KIND, b"")),
        chain=_number(found, _CHAIN),
        options=dict(_attributes(found.get(_OPTIONS, b""), 0)),
    )


def attribute(kind: int, data: bytes) -> bytes:
    """An attribute, padded to a multiple of four bytes (netlink(7))."""
    return _attribute(kind, data)


def _attribute(kind: int, data: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(data)
    return _ATTRIBUTE.pack(length, kind) + data + bytes(-length % 4)


def _attributes(data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind & 0x3FFF, data[at + _ATTRIBUTE.size : at + length]
        at += length + 3 & ~3


def _messages(data: bytes) -> Iterator[tuple[int, Message]]:
    """Messages of a datagram, each with its sequence number."""
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, flags, sequence, port = _HEADER.unpack_from(data, at)
        if length < _HEADER.size:
            return
        body = data[at + _HEADER.size : at + length]
        yield sequence, Message(kind, flags, port, body)
        at += length + 3 & ~3


def _raise(message: Message) -> None:
    """For an error message (nlmsgerr): nothing where it only says that all is well."""
    code = -int.from_bytes(message.body[:4], "little", signed=True)
    if not code:
        return
    said = ""
    if message.flags & 0x200:  # NLM_F_ACK_TLVS: words of the kernel follow the request's header
        at = 4 + _HEADER.size
        if not message.flags & 0x100:  # NLM_F_CAPPED
            (size,) = struct.unpack_from("=I", message.body, 4)
            at = 4 + (size + 3 & ~3)
        said = _text(dict(_attributes(message.body, at)).get(1, b""))
    raise NetlinkError(code, said or os.strerror(code))


def _number(found: dict[int, bytes], kind: int, default: int = 0) -> int:
    data = found.get(kind)
    return int.from_bytes(data, "little", signed=True) if data else default


def _text(data: bytes) -> str:
    return os.fsdecode(data.rstrip(b"\0"))


def _open(groups: int, *, blocking: bool) -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    made = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
    made.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
    made.setsockopt(_SOL_NETLINK, _STRICT, 1)
    made.setblocking(blocking)
    made.bind((0, groups))
    return made
