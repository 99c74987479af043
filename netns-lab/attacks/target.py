"""What an attack script is given, and what it may answer.

A script is `netns-lab/attacks/NAME.py` with one function:

    def main(target: Target) -> None:

It is imported with every privilege (so imports work for everybody) and `main` runs without those
its row does not grant, in the attacker's namespace and cgroup. Returning means "tried". What the
network refuses (OSError of a send) is part of trying: wrap sends in `refused()`. `Impossible`
says that this kernel or machine lacks what the attack needs. Anything else is a fault of the lab.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DISCARD = 9
NEIGHBOUR_TIMEOUT = 2.0
SIOCGIFHWADDR = 0x8927
NO_MAC = "00:00:00:00:00:00"


class Impossible(Exception):
    """The attack cannot be tried here; the message says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where to send what.

    Attributes:
        family: IP version of the row, 4 or 6.
        port: of the row's sink, which nothing else uses.
        addresses: of the sink by IP version; `sources` the attacker's own, `gateways` its
            next hops, `siblings` those of a container on the same bridge.
        spare: an IPv4 address of the attacker's network that nobody has.
        device: the attacker's device to the outside.
        secrets: what must not arrive complete, as text, by name.
        flows: how many a flood of them makes; `flooded` is a network where packets get lost.
        args: of the row.
    """

    family: int
    port: int
    addresses: dict[int, str]
    sources: dict[int, str]
    gateways: dict[int, str]
    siblings: dict[int, str]
    spare: str
    device: str
    secrets: dict[str, str]
    flows: int
    flooded: str
    args: dict[str, Any]

    @classmethod
    def of(cls, document: dict[str, Any]) -> Target:
        """From the document on standard input, where JSON made the versions text."""
        by_version = ("addresses", "sources", "gateways", "siblings")
        changed = {
            key: {int(version): text for version, text in document[key].items()}
            for key in by_version
        }
        return cls(**(document | changed))

    @property
    def address(self) -> str:
        """The sink's, in the row's family."""
        return self.addresses[self.family]

    @property
    def source(self) -> str:
        """The attacker's, in the row's family."""
        return self.sources[self.family]

    @property
    def af(self) -> socket.AddressFamily:
        """The address family of sockets."""
        return socket.AF_INET if self.family == 4 else socket.AF_INET6  # noqa: PLR2004 - version

    @property
    def secret(self) -> bytes:
        """The row's first secret."""
        return next(iter(self.secrets.values())).encode()

    @property
    def payload(self) -> bytes:
        """The first secret with words around it, so that it is bounded on both sides."""
        return b"order 17, card " + self.secret + b", thanks\n"

    @property
    def mac(self) -> str:
        """Of the attacker's device; not from /sys, which shows another namespace's."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            request = struct.pack("=16s16x", self.device.encode())
            answer = fcntl.ioctl(asker, SIOCGIFHWADDR, request)
        return answer[18:24].hex(":")

    def tcp(self, *, family: int = 0, timeout: float = 2.0) -> socket.socket:
        """A connection to the sink that sends each part at once.

        Raises:
            OSError: the sink cannot be reached; in a lab that is a fault.
        """
        made = socket.create_connection((self.addresses[family or self.family], self.port), timeout)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def next_hop(self) -> str:
        """The MAC address of the way out (both IP versions have the same).

        Raises:
            RuntimeError: it does not answer.
        """
        gateway = self.gateways[4]
        end = time.monotonic() + NEIGHBOUR_TIMEOUT
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.sendto(b"", (gateway, DISCARD))
        while time.monotonic() < end:
            for line in Path("/proc/net/arp").read_text().splitlines()[1:]:
                address, _, _, mac, *_ = line.split()
                if address == gateway and mac != NO_MAC:
                    return mac
            time.sleep(0.01)
        raise RuntimeError(f"{gateway} does not answer to ARP")


@contextlib.contextmanager
def refused() -> Iterator[None]:
    """Go on where the network refuses to send: that is the gateway's answer."""
    with contextlib.suppress(OSError):
        yield
