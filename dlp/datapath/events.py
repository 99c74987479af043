"""What the kernel tells: events and mirrored payload, read from its ring buffers.

Decoding only. An event carries no matched bytes but the few at either end that masking
may show; payload goes to the inspector and nowhere else.
"""

from __future__ import annotations

import ipaddress
from ctypes import c_int64
from dataclasses import dataclass, field, replace
from typing import Any

from dlp.datapath import abi

_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6", 132: "sctp", 47: "gre", 136: "udplite"}
_MAPPED = bytes(10) + b"\xff\xff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """Who spoke to whom. Ports are 0 where the protocol has none."""

    netns: int
    family: int
    protocol: str
    source: str
    destination: str
    source_port: int
    destination_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One struct dlp_event. Times in nanoseconds of CLOCK_MONOTONIC, lengths in bytes."""

    kind: abi.EventKind
    time_ns: int
    flow: int
    cgroup: int
    packet: Packet
    offset: int
    length: int
    sent_before: int
    let_out: int
    count: int
    release: int
    signature: int
    policy: int
    rule: int
    action: int
    flags: abi.EventFlag
    reason: int
    digest: bytes
    head: bytes = field(repr=False)
    tail: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """A piece of a mirrored flow: `data` begins at stream offset `offset`.

    Attributes:
        held: the flow waits for a word; `again`: it was sent again meanwhile, so that
            nothing follows before the word.
        before: first bytes of `data` that are not held, or for shadow rules not of the packet:
            the stream's tail, which has left.
        question: number that the word about it must name.
        key: of the flow, a struct dlp_flow_key as it is.
    """

    time_ns: int
    flow: int
    packet: Packet
    offset: int
    release: int
    policy: int
    final: bool
    held: bool = False
    again: bool = False
    before: int = 0
    question: int = 0
    key: bytes = field(default=b"", repr=False)
    data: bytes = field(repr=False)


def protocol_name(family: int, number: int) -> str:
    """`tcp`, `udp`, …; `ip-253` for others; `ether-0x88cc` where it is not IP."""
    if family == 0:
        return f"ether-{number:#06x}"
    return _PROTOCOLS.get(number, f"ip-{number}")


def packet_of(key: Any) -> Packet:
    """From a struct dlp_flow_key."""
    return Packet(
        netns=key.netns,
        family=key.family,
        protocol=protocol_name(key.family, key.protocol),
        source=_address(key.family, bytes(key.source)),
        destination=_address(key.family, bytes(key.destination)),
        source_port=key.source_port,
        destination_port=key.destination_port,
    )


def _address(family: int, raw: bytes) -> str:
    if family == 0:
        return ""
    if raw.startswith(_MAPPED):
        return str(ipaddress.IPv4Address(raw[len(_MAPPED) :]))
    return str(ipaddress.IPv6Address(raw))


def decode_event(record: bytes) -> Event:
    """Raises ValueError for a record that is too short."""
    raw = abi.EventStruct.from_buffer_copy(record)
    return Event(
        kind=abi.EventKind(raw.kind),
        time_ns=raw.time_ns,
        flow=raw.flow,
        cgroup=raw.cgroup,
        packet=packet_of(raw.key),
        offset=raw.offset,
        length=raw.length,
        sent_before=raw.sent_before,
        let_out=raw.let_out,
        count=raw.count,
        release=raw.release,
        signature=raw.signature,
        policy=raw.policy,
        rule=raw.rule,
        action=raw.action,
        flags=abi.EventFlag(raw.flags),
        reason=raw.reason,
        digest=bytes(raw.digest),
        head=bytes(raw.head),
        tail=bytes(raw.tail),
    )


def decode_payload(record: bytes) -> Payload:
    """Raises ValueError for a record that is too short."""
    raw = abi.PayloadStruct.from_buffer_copy(record)
    start = abi.PAYLOAD_HEADER
    if len(record) < start + raw.length:
        raise ValueError(f"a payload record with {len(record) - start} bytes of {raw.length}")
    return Payload(
        time_ns=raw.time_ns,
        flow=raw.flow,
        packet=packet_of(raw.key),
        offset=raw.offset,
        release=raw.release,
        policy=raw.policy,
        final=bool(raw.final),
        held=bool(raw.held),
        again=bool(raw.again),
        before=raw.before,
        question=raw.question,
        key=bytes(raw.key),
        data=record[start : start + raw.length],
    )


def decode_shadow_payload(record: bytes) -> Payload:
    """The same for shadow rules: all of the tail is there, also where the stream has only begun.

    What stands before the stream's first byte is left out, and never a byte of the packet: one
    that is sent again in front of what a flow was first seen with has an offset below 0 too.
    """
    payload = decode_payload(record)
    none = min(payload.before, -min(0, c_int64(payload.offset).value))
    return replace(
        payload,
        offset=(payload.offset + none) % (1 << 64),
        before=payload.before - none,
        data=payload.data[none:],
    )
