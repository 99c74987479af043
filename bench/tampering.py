"""How long the running gateway takes to put back what somebody took away, and what passed.

Root outside the workload does here what a workload with CAP_NET_ADMIN, and more, could do.
Forbidden values are sent all the while: none may arrive.
"""

from __future__ import annotations

import ctypes
import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import datagrams, namespaces, startup
from bench.namespaces import BenchError
from bench.signatures import CARD
from dlp.datapath import libbpf, links
from dlp.datapath.links import Hook, InChain

_SYS_BPF, _LINK_GET_FD_BY_ID = 321, 30
_POLL_S = 0.0002
_PATIENCE_S = 5.0
_SENT = 2_000
_CONFIG = """\
version: 1
state_dir: {directory}/state
api: {{unix: {directory}/api.sock}}
signatures: [pci]
workloads: {{netns: [{netns}]}}
policies:
  - name: default
    match: {{}}
    rules:
      - {{signatures: ["*"], action: drop}}
"""
# Two instructions that return TCX_PASS.
_LETS_ALL_OUT = bytes.fromhex("b7000000000000009500000000000000")
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Tampered:
    """One way: milliseconds until the classifier was first again; `passed`: what arrived."""

    way: str
    milliseconds: float
    passed: int
    sent: int


def measure(directory: Path, rounds: int) -> list[Tampered]:
    """Each way, `rounds` times; `directory` is empty and the caller's.

    Raises:
        BenchError: the gateway did not put its classifier back.
    """
    if not links.supported():
        raise BenchError("re-attaching is measured on kernels with TCX (6.6 on)")
    with ExitStack() as stack:
        peer = stack.enter_context(namespaces.namespace("peer"))
        name = stack.enter_context(namespaces.namespace("w0"))
        link = namespaces.wire(name, peer, 90)
        config = directory / "dlp.yaml"
        config.write_text(_CONFIG.format(directory=directory, netns=name))
        home = stack.enter_context(startup.private_state())
        stack.enter_context(startup.daemon(home, config))
        with namespaces.inside(peer):
            sink = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sink.bind(("", datagrams.PORT))
        sink.settimeout(0)
        file = directory / "card"
        file.write_bytes(f"card={CARD};".encode())
        ways: dict[str, Callable[[ExitStack, int], int]] = {
            "another's program before ours": _precede,
            "our link cut off its device": _cut,
        }
        beside = stack.enter_context(ThreadPoolExecutor(1))
        found = []
        for _ in range(rounds):
            for way, tamper in ways.items():
                sending = beside.submit(
                    datagrams.send, name, link.receiver_address, file, _SENT, paced=True
                )
                time.sleep(0.3)  # the sender is on its way
                taken = _timed(name, link.device, tamper)
                sending.result()
                found.append(Tampered(way, taken * 1000, _arrived(sink), _SENT))
        return found


def _timed(name: str, device: str, tamper: Callable[[ExitStack, int], int]) -> float:
    """Seconds from the tampering to the moment in which a link of the gateway's is first."""
    with ExitStack() as stack, namespaces.inside(name):
        index = socket.if_nametoindex(device)
        begin = time.monotonic()
        spoiled = tamper(stack, index)
        while not _restored(_order(index), spoiled):
            if time.monotonic() > begin + _PATIENCE_S:
                raise BenchError("the gateway did not put its classifier back")
            time.sleep(_POLL_S)
        return time.monotonic() - begin


def _restored(order: tuple[InChain, ...], spoiled: int) -> bool:
    """Something is first, and it is not what the tampering left there."""
    return bool(order) and order[0].link != spoiled


def _order(index: int) -> tuple[InChain, ...]:
    return links.order(index, Hook.EGRESS)


def _precede(stack: ExitStack, index: int) -> int:
    """Put a program before all; the id of its link."""
    program = libbpf.load_program("foreign", _LETS_ALL_OUT)
    stack.callback(os.close, program)
    link = links.create(program, index, Hook.EGRESS)
    stack.callback(os.close, link)
    return links.info(link).id


def _cut(_: ExitStack, index: int) -> int:
    """Cut the first link off its device; its id."""
    number = _order(index)[0].link
    attributes = (ctypes.c_uint32 * 3)(number)
    fd = int(_libc.syscall(_SYS_BPF, _LINK_GET_FD_BY_ID, ctypes.byref(attributes), 12))
    if fd < 0:
        raise BenchError(f"opening our link: {os.strerror(ctypes.get_errno())}")
    try:
        links.detach(fd)
    finally:
        os.close(fd)
    return number


def _arrived(sink: socket.socket) -> int:
    count = 0
    while True:
        try:
            sink.recv(64)
        except BlockingIOError:
            return count
        count += 1
