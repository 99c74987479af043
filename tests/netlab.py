"""Network namespaces for tests: a workload, a sink behind a veth pair, and traffic between them.

All names begin with `dlptest-` and the process's id. The network of the machine's own namespace is
not touched. What passed is told without waiting where that is possible: a datagram is followed by a
marker, and a veth pair keeps their order where one processor sends both.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from dlp.datapath import links
from dlp.datapath.attach import NamespaceLink, Way
from dlp.datapath.links import Hook
from dlp.workloads.netns import entered, open_netns

CARD = b"4111 1111 1111 1111"
WORKLOAD4, SINK4 = "192.0.2.1", "192.0.2.2"
WORKLOAD6, SINK6 = "fd00:2::1", "fd00:2::2"
PORT = 9000
DEVICE = "eth0"

GUEST = bool(os.environ.get("DLP_GUEST"))  # emulated: some 20 times slower
PATIENCE = 60.0 if GUEST else 10.0

_NUMBERS = itertools.count()
_LINGER = struct.pack("ii", 1, 0)


def scaled(count: int) -> int:
    """Fewer turns where each takes long."""
    return max(count // 20, 3) if GUEST else count


def require_root() -> None:
    """A failure and not a skip: without root nothing of this tier is tested."""
    if os.geteuid() != 0:
        pytest.fail("this tier makes network namespaces: run it as root", pytrace=False)


def sh(command: str) -> str:
    """Run a command; its standard output."""
    done = subprocess.run(command.split(), check=False, capture_output=True, text=True)
    assert not done.returncode, f"{command}: {done.stderr.strip()}"
    return done.stdout


def until(holds: Callable[[], object], *, patience: float = PATIENCE) -> float:
    """Wait until something holds; seconds that it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < patience, "it did not come to be in time"
        time.sleep(0.005)
    return time.monotonic() - began


class Lab:
    """Namespaces of one test; all are removed at its end."""

    def __init__(self) -> None:
        require_root()
        self._made: list[str] = []
        self._stack = contextlib.ExitStack()

    def name(self, role: str) -> str:
        """A name that no other test has; its namespace, if made, is removed."""
        made = f"dlptest-{os.getpid()}-{next(_NUMBERS)}-{role}"
        self._made.append(made)
        return made

    def namespace(self, role: str) -> str:
        """Make a namespace."""
        name = self.name(role)
        self.add(name)
        return name

    def add(self, name: str) -> None:
        """Make a namespace of that name, which `name` gave."""
        sh(f"ip netns add {name}")
        quiet = "net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0"
        # No router solicitations, and the reports of multicast groups (RFC 3810) at once and not
        # over seconds: the only packets are those that a test sends.
        quiet += " net.ipv6.conf.default.router_solicitations=0"
        quiet += " net.ipv6.conf.default.mldv2_unsolicited_report_interval=1"
        sh(f"nsenter --net=/run/netns/{name} sysctl -qw {quiet}")

    def remove(self, name: str) -> None:
        """Remove a namespace."""
        sh(f"ip netns del {name}")

    def pair(self, role: str = "web") -> Pair:
        """A workload and its sink."""
        inner, outer = self.namespace(role), self.namespace("sink")
        return self._stack.enter_context(Pair(inner, outer))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        for name in self._made:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


class Pair:
    """Two namespaces and the veth pair between them; the sink listens on PORT."""

    def __init__(self, inner: str, outer: str) -> None:
        self.inner, self.outer = inner, outer
        connect(inner, outer)
        self._markers = itertools.count()
        self._stack = contextlib.ExitStack()
        self.tcp = self._stack.enter_context(TcpSink(outer))
        self._datagrams = self._stack.enter_context(
            socket_in(outer, socket.AF_INET6, socket.SOCK_DGRAM)
        )
        self._datagrams.bind(("::", PORT))
        self._datagrams.settimeout(PATIENCE)
        self._sender = self._stack.enter_context(
            socket_in(inner, socket.AF_INET, socket.SOCK_DGRAM)
        )

    def datagram(self, payload: bytes) -> bool:
        """Send a datagram from a port of its own; whether it arrived."""
        marker = f"marker {next(self._markers)}".encode()
        with on_one_processor():
            with (
                socket_in(self.inner, socket.AF_INET, socket.SOCK_DGRAM) as sender,
                contextlib.suppress(OSError),  # dropped, and the sender was told
            ):
                sender.sendto(payload, (SINK4, PORT))
            self._sender.sendto(marker, (SINK4, PORT))
        arrived = False
        while (data := self._datagrams.recv(65536)) != marker:
            arrived |= data == payload
        return arrived

    def received(self) -> int:
        """Packets that came out of the sink's end of the pair."""
        (device,) = json.loads(sh(f"ip -n {self.outer} -j -s link show {DEVICE}"))
        return int(device["stats64"]["rx"]["packets"])

    def leaks(self, text: bytes = CARD) -> bool:
        """Whether a text leaves in a datagram."""
        return self.datagram(b"number " + text + b".")

    def connect(self, family: int = 4) -> socket.socket:
        """A TCP connection to the sink; closing it sends a reset and leaves nothing behind."""
        kind = socket.AF_INET if family == 4 else socket.AF_INET6
        made = socket_in(self.inner, kind, socket.SOCK_STREAM)
        made.settimeout(PATIENCE)
        made.connect((SINK4 if family == 4 else SINK6, PORT))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def tc(self, command: str) -> str:
        """`tc` inside the workload; not `tc -n`, which mounts /sys anew and hides the pins."""
        return sh(f"nsenter --net=/run/netns/{self.inner} tc {command}")

    def filters(self, device: str = DEVICE) -> list[str]:
        """Lines of `tc` that name a filter on the workload's egress."""
        text = self.tc(f"filter show dev {device} egress")
        return [line for line in text.splitlines() if " handle " in line]

    def qdiscs(self, device: str = DEVICE) -> str:
        """What `tc` tells of the device's queueing disciplines."""
        return self.tc(f"qdisc show dev {device}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class TcpSink:
    """Takes connections in a namespace and keeps all that arrives, by connection."""

    def __init__(self, netns: str) -> None:
        self.streams: list[bytearray] = []
        self._unclaimed: dict[int, bytearray] = {}  # by the sender's port
        self._socket = socket_in(netns, socket.AF_INET6, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("::", PORT))
        self._socket.listen(64)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def data(self) -> bytes:
        """All that arrived so far, connections one behind the other."""
        return b"".join(bytes(stream) for stream in self.streams)

    def claim(self, sender: socket.socket) -> bytearray:
        """The stream of a new connection, once it is accepted. To be called once."""
        port = sender.getsockname()[1]
        until(lambda: port in self._unclaimed)
        return self._unclaimed.pop(port)

    def _accept(self) -> None:
        while True:
            try:
                connection, peer = self._socket.accept()
            except OSError:
                return
            stream = bytearray()
            self.streams.append(stream)
            self._unclaimed[peer[1]] = stream
            threading.Thread(target=self._read, args=(connection, stream), daemon=True).start()

    @staticmethod
    def _read(connection: socket.socket, stream: bytearray) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(1 << 20):
                stream += data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(PATIENCE)


@contextlib.contextmanager
def on_one_processor() -> Iterator[None]:
    """The calling thread on one processor: a veth pair keeps the order of what one of them sends.

    Each has a queue of its own for what has arrived.
    """
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@contextlib.contextmanager
def inside(netns: str) -> Iterator[None]:
    """The calling thread in a namespace; sockets made there stay there."""
    with open_netns(netns) as handle, entered(handle.fd):
        yield


def socket_in(netns: str, family: int, kind: int) -> socket.socket:
    """A socket of a namespace."""
    with inside(netns):
        return socket.socket(family, kind)


def connect(inner: str, outer: str) -> None:
    """A veth pair between two namespaces, with addresses and neighbours that need no asking."""
    sh(
        f"ip link add {DEVICE} netns {inner} address 02:00:00:00:00:01"
        f" type veth peer name {DEVICE} netns {outer} address 02:00:00:00:00:02"
    )
    ends = ((inner, WORKLOAD4, WORKLOAD6), (outer, SINK4, SINK6))
    for number, (name, four, six) in enumerate(ends):
        peer4, peer6 = ends[1 - number][1:]
        link = f"02:00:00:00:00:0{2 - number}"
        sh(f"ip -n {name} addr add {four}/24 dev {DEVICE}")
        sh(f"ip -n {name} addr add {six}/64 dev {DEVICE} nodad")
        sh(f"ip -n {name} link set {DEVICE} up")
        sh(f"ip -n {name} neigh replace {peer4} lladdr {link} dev {DEVICE}")
        sh(f"ip -n {name} neigh replace {peer6} lladdr {link} dev {DEVICE}")


def programs(netns: str, device: str = DEVICE, hook: Hook = Hook.EGRESS) -> list[str]:
    """Programs on a device in the order in which they are asked, as `tcx:dlp_entry`."""
    with open_netns(netns) as handle:
        link = NamespaceLink(handle.fd)
    try:
        index = next(each.index for each in link.devices() if each.name == device)
        linked = link.order(index, hook) if links.supported() else ()
        found = [f"{Way.TCX}:{links.program_name(one.program)}" for one in linked]
        parent = 0xFFFFFFF3 if hook is Hook.EGRESS else 0xFFFFFFF2
        filters = link.netlink.filters(index, parent)
        names = (one.options.get(7, one.kind.encode()).rstrip(b"\0").decode() for one in filters)
        return [*found, *(f"{Way.CLSACT}:{name}" for name in names)]
    finally:
        link.close()


def make_cgroup(name: str) -> Path:
    """A cgroup below the root of version 2; the caller removes it."""
    from dlp.workloads.cgroup import find_cgroup2

    path = find_cgroup2() / name
    path.mkdir()
    return path
