"""Records what reaches the internet without TCP: ICMP, unknown protocols, fragments.

A packet socket on the internet's device. It sees packets as they come off the wire, whoever they
are for, so that nothing gets past the sinks by having no socket there.
"""

from __future__ import annotations

import asyncio
import ctypes
import ipaddress
import socket
import struct

from recorder import Recorder

ETH_P_ALL, ETH_P_IP, ETH_P_ARP, ETH_P_IP6 = 0x0003, 0x0800, 0x0806, 0x86DD
SO_ATTACH_FILTER = 26
PACKET_OUTGOING = 4
IP4_HEADER, IP6_HEADER = 20, 40
IP6_FRAGMENT = 44
IP6_EXTENSIONS = {0, 43, 60}  # hop-by-hop, routing, destination options (RFC 8200, 4.1)
ICMP6 = 58
ICMP6_NEIGHBOUR = range(130, 138)  # router and neighbour discovery, multicast listeners
ICMP6_LISTENER_V2 = 143
NAMES = {1: "icmp", 17: "udp", ICMP6: "icmp6"}
HEADERS = {1: 8, 17: 8, ICMP6: 8}

# Classic BPF: (code, jump if true, jump if false, k). Offsets count from the network header.
NOT_TCP_NOR_ARP = [
    (0x28, 0, 0, 0xFFFFF000),  # 0: ldh  ethertype (SKF_AD_PROTOCOL)
    (0x15, 6, 0, ETH_P_ARP),  #  1: jeq  -> 8 ignore
    (0x15, 0, 2, ETH_P_IP),  #   2: jeq  -> 3, else 5
    (0x30, 0, 0, 9),  #          3: ldb  protocol
    (0x15, 3, 4, 6),  #          4: jeq  TCP -> 8, else 9
    (0x15, 0, 3, ETH_P_IP6),  #  5: jeq  -> 6, else 9
    (0x30, 0, 0, 6),  #          6: ldb  next header
    (0x15, 0, 1, 6),  #          7: jeq  TCP -> 8, else 9
    (0x06, 0, 0, 0),  #          8: ret  ignore
    (0x06, 0, 0, 0x40000),  #    9: ret  take
]


class Tap:
    """Reads the packets of a device in the current namespace and records their payload."""

    def __init__(self, device: str, recorder: Recorder) -> None:
        self._recorder = recorder
        # Protocol 0 takes nothing: the filter must be in place before the first packet.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self._socket.settimeout(0)
        attach_filter(self._socket, NOT_TCP_NOR_ARP)
        self._socket.bind((device, ETH_P_ALL))

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Record from now on, while the loop runs."""
        loop.add_reader(self._socket.fileno(), self._read)

    def _read(self) -> None:
        while True:
            try:
                packet, (_, ethertype, kind, *_) = self._socket.recvfrom(0x20000)
            except BlockingIOError:
                return
            if kind != PACKET_OUTGOING:
                self._record(packet, ethertype)

    def _record(self, packet: bytes, ethertype: int) -> None:
        seen = payload_of(packet, ethertype)
        if seen is not None:
            name, source, payload = seen
            self._recorder.datagram(f"tap:{name}", (source, 0), payload)


def payload_of(packet: bytes, ethertype: int) -> tuple[str, str, bytes] | None:
    """What a packet is, where it is from, and the bytes behind its headers; None: of no interest.

    What is past the length in the IP header counts as payload too: it travelled.
    """
    if ethertype == ETH_P_IP and len(packet) >= IP4_HEADER:
        start = (packet[0] & 0xF) * 4
        source = str(ipaddress.IPv4Address(packet[12:16]))
        fragment = struct.unpack_from("!H", packet, 6)[0] & 0x3FFF  # more fragments, or an offset
        return _transport(packet, start, packet[9], source, fragment=bool(fragment))
    if ethertype == ETH_P_IP6 and len(packet) >= IP6_HEADER:
        start, protocol = IP6_HEADER, packet[6]
        source = str(ipaddress.IPv6Address(packet[8:24]))
        while protocol in IP6_EXTENSIONS and start + 8 <= len(packet):
            protocol, length = packet[start], packet[start + 1]
            start += 8 * (length + 1)
        if protocol == IP6_FRAGMENT:
            return _transport(packet, start + 8, protocol, source, fragment=True)
        return _transport(packet, start, protocol, source, fragment=False)
    return f"ether-{ethertype:04x}", "", packet


def _transport(
    packet: bytes, start: int, protocol: int, source: str, *, fragment: bool
) -> tuple[str, str, bytes] | None:
    if fragment:
        return "fragment", source, packet[start:]
    if protocol == ICMP6 and start < len(packet):
        kind = packet[start]
        if kind in ICMP6_NEIGHBOUR or kind == ICMP6_LISTENER_V2:
            return None
    start += HEADERS.get(protocol, 0)
    return NAMES.get(protocol, f"proto-{protocol}"), source, packet[start:]


def attach_filter(taker: socket.socket, program: list[tuple[int, int, int, int]]) -> None:
    """Let a socket see only what a classic BPF program takes."""
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code)
    # struct sock_fprog: a length, padding, a pointer
    taker.setsockopt(
        socket.SOL_SOCKET,
        SO_ATTACH_FILTER,
        struct.pack("HL", len(program), ctypes.addressof(buffer)),
    )
