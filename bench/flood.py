"""Whether a blocked connection is still blocked after a flood of other flows."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import datagrams, namespaces
from bench.namespaces import BenchError
from bench.protected import Protected
from dlp.datapath.abi import Reason

BLOCKED = 8
_PORT = 7200
_PORTS = 50_000
_PROCESSES = 2
_WAIT_S = 0.5
_ALIVE_MS = 600_000


@dataclass(frozen=True, slots=True)
class Flooded:
    """`forgotten` of BLOCKED connections let something out behind a flood of `flows`."""

    flows: int
    forgotten: int
    seconds: float


def measure(protected: Protected, forbidden: bytes, flows: int, scratch: Path) -> Flooded:
    """Block connections, send to `flows` other targets, and send on the blocked ones again.

    `forbidden`: what the policy drops.
    """
    link = protected.link
    nowhere = _nowhere(protected)
    with ExitStack() as stack:
        with namespaces.inside(link.receiver):
            server = stack.enter_context(socket.create_server(("", _PORT), backlog=BLOCKED))
        peers = [_connected(stack, link.sender, link.receiver_address) for _ in range(BLOCKED)]
        ends = [stack.enter_context(server.accept()[0]) for _ in range(BLOCKED)]
        by_port = {end.getpeername()[1]: end for end in ends}
        before = protected.count(Reason.MATCH_DROPPED)
        for peer in peers:
            peer.sendall(forbidden)
        if protected.count(Reason.MATCH_DROPPED) - before != BLOCKED:
            raise BenchError("a forbidden value was not dropped")
        file = scratch / "flood"
        file.write_bytes(b"x" * 32)
        sockets = max(1, flows // _PORTS // _PROCESSES)
        each = _PORTS * sockets
        seconds = datagrams.send(
            link.sender, nowhere, file, each, ports=_PORTS, sockets=sockets, processes=_PROCESSES
        )
        for peer in peers:
            peer.sendall(b"and on" * 10)
        got = 0
        for peer in peers:
            end = by_port[peer.getsockname()[1]]
            end.settimeout(_WAIT_S / BLOCKED)
            try:
                got += bool(end.recv(1))
            except TimeoutError:
                continue
    return Flooded(each * _PROCESSES, got, seconds)


def _connected(stack: ExitStack, namespace: str, address: str) -> socket.socket:
    with namespaces.inside(namespace):
        peer = stack.enter_context(socket.create_connection((address, _PORT)))
    # What is dropped on the way out TCP takes for a full queue: it gives up in ten seconds.
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _ALIVE_MS)
    return peer


def _nowhere(protected: Protected) -> str:
    """An address that the receiver's device takes and nobody answers for."""
    link = protected.link
    address = link.receiver_address.rpartition(".")[0] + ".9"
    shown = namespaces.run("ip", "-j", "link", "show", "eth0", namespace=link.receiver)
    namespaces.run(
        *("ip", "neigh", "replace", address, "dev", link.device),
        *("lladdr", json.loads(shown)[0]["address"]),
        namespace=link.sender,
    )
    return address
