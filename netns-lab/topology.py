"""A container host and an internet in network namespaces: who is there, and building it.

    web, billing, batch, audit ... ─veth─ bridge br0 (host) ─veth─ net (the internet)

Each workload has its own namespace and cgroup. Everything made carries the layout's prefix, so
that `Topology.down` finds it again by name alone, also what a crashed process left. The network
of the calling process's own namespace is never touched.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

NETNS_DIR = Path("/run/netns")
CLONE_NEWNET = 0x40000000
CONTAINER_DEVICE = "eth0"
BRIDGE = "br0"
SIDE, SIDE_ADDRESSES = "side0", ("10.78.0.1", "10.78.0.2")  # between two workloads
UPLINK4, UPLINK6 = "203.0.113.1", "2001:db8:113::1"
GATEWAY4, GATEWAY6 = "10.77.0.1", "fd77::1"
# Where floods go: reserved for such (RFC 2544), and the host throws it away without a word.
FLOODED = "198.18.0.0/15"
DEVICE_NAME = 16  # IFNAMSIZ, with its NUL
MOST_WORKLOADS = 120

# Duplicate address detection would keep IPv6 addresses unusable for two seconds.
SYSCTLS_ALL = {
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv6/conf/default/accept_ra": "0",
    # Without cookies, so that the first SYN of a client may carry data (RFC 7413; kernel's
    # ip-sysctl: 1 client, 2 server, 4 and 0x200 neither asks for a cookie).
    "net/ipv4/tcp_fastopen": str(0x1 | 0x2 | 0x4 | 0x200),
}
SYSCTLS_ROUTER = {"net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1"}


WORKLOADS = ("web", "billing", "batch", "audit")


class LabError(Exception):
    """The lab cannot be built or used; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A workload or a server: its namespace and its addresses (without prefix lengths).

    `port` is the host's end of a workload's device; `spare` an IPv4 address that nobody has.
    """

    netns: str
    ipv4: str
    ipv6: str
    port: str = ""
    spare: str = ""

    def address(self, family: int) -> str:
        """The address of IP version 4 or 6."""
        return {4: self.ipv4, 6: self.ipv6}[family]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a lab consists of. Names derive from `prefix`; addresses are the same in each lab."""

    prefix: str = "dlplab"
    workloads: tuple[str, ...] = WORKLOADS
    # Addresses of the internet: the first takes what leaks, the others have destination rules.
    servers: tuple[str, ...] = ("sink", "partner", "blocked")

    @property
    def host(self) -> str:
        """Namespace of the bridge and the router."""
        return f"{self.prefix}-host"

    @property
    def internet(self) -> str:
        """Namespace of the servers."""
        return f"{self.prefix}-net"

    @property
    def namespaces(self) -> tuple[str, ...]:
        """All of them, in the order they are made."""
        return (self.host, self.internet, *(f"{self.prefix}-{name}" for name in self.workloads))

    def with_workloads(self, names: Iterable[str]) -> Layout:
        """The same with further workloads.

        Raises:
            LabError: more than the network has addresses for.
        """
        every = (*self.workloads, *names)
        if len(every) > MOST_WORKLOADS:
            raise LabError(f"{len(every)} workloads; the lab's network holds {MOST_WORKLOADS}")
        return replace(self, workloads=every)

    def workload(self, name: str) -> Machine:
        """A workload by its short name."""
        if name not in self.workloads:
            raise LabError(f"no workload {name!r}; there are {', '.join(self.workloads)}")
        number = 10 + self.workloads.index(name)
        return Machine(
            netns=f"{self.prefix}-{name}",
            ipv4=f"10.77.0.{number}",
            ipv6=f"fd77::{number}",
            port=name if len(name) < DEVICE_NAME else f"port{number}",
            spare=f"10.77.0.{number + MOST_WORKLOADS}",
        )

    def server(self, name: str) -> Machine:
        """A server of the internet by its short name."""
        if name not in self.servers:
            raise LabError(f"no server {name!r}; there are {', '.join(self.servers)}")
        number = 10 * (1 + self.servers.index(name))
        return Machine(
            netns=self.internet, ipv4=f"203.0.113.{number}", ipv6=f"2001:db8:113::{number}"
        )


class Topology:
    """The namespaces and cgroups of a layout: `up`, `down`, and ways to run things inside."""

    def __init__(self, layout: Layout | None = None) -> None:
        self.layout = layout or Layout()
        self.cgroup = cgroup_mount() / self.layout.prefix

    def exists(self) -> bool:
        """Whether anything of this layout's prefix is on the machine."""
        return bool(self._found()) or self.cgroup.exists()

    def up(self) -> None:
        """Build everything; some hundred milliseconds.

        Raises:
            LabError: no permission, or `ip` refused; what was made until then is removed.
        """
        if os.geteuid() != 0:
            raise LabError("the lab makes network namespaces: run it as root")
        try:
            self._build()
        except BaseException:
            self.down()
            raise

    def _build(self) -> None:
        layout = self.layout
        _ip([f"netns add {name}" for name in layout.namespaces])
        for name in layout.namespaces:
            write_sysctls(name, SYSCTLS_ALL | (SYSCTLS_ROUTER if name == layout.host else {}))
        _ip(list(_links(layout)))
        _ip(list(_host(layout)), netns=layout.host)
        _ip(list(_internet(layout)), netns=layout.internet)
        for name in layout.workloads:
            _ip(list(_workload(layout.workload(name))), netns=layout.workload(name).netns)
        for name in layout.workloads:
            self.cgroup_of(name).mkdir(parents=True)

    def renew_device(self, workload: str) -> None:
        """Give a workload that has lost its device a new one, down and without addresses.

        Raises:
            LabError: it still has one.
        """
        port = self.layout.workload(workload).port
        _ip([_link(self.layout, workload)])
        _ip([f"link set {port} master {BRIDGE} up"], netns=self.layout.host)

    def has_device(self, workload: str) -> bool:
        """Whether its device still has an end on the host."""
        with inside(self.layout.host):
            return any(
                self.layout.workload(workload).port == name for _, name in socket.if_nameindex()
            )

    def join(self, workload: str, sibling: str) -> None:
        """Lay a veth between two workloads; the sibling forwards what comes by it.

        Raises:
            LabError: they are joined already.
        """
        one, other = (self.layout.workload(name).netns for name in (workload, sibling))
        _ip([f"link add {SIDE} netns {one} type veth peer name {SIDE} netns {other}"])
        for netns, address in zip((one, other), SIDE_ADDRESSES, strict=True):
            _ip([f"addr add {address}/24 dev {SIDE}", f"link set {SIDE} up"], netns=netns)
        write_sysctls(other, SYSCTLS_ROUTER)

    def down(self) -> None:
        """Remove all of the layout's prefix and end the processes in its cgroups; never raises."""
        self._end_processes()
        for path in sorted(self.cgroup.glob("**/"), reverse=True):
            with contextlib.suppress(OSError):
                path.rmdir()
        found = self._found()
        if found:
            with contextlib.suppress(LabError):
                _ip([f"netns del {name}" for name in found], keep_going=True)

    def _end_processes(self) -> None:
        """Kill what runs in the lab's cgroups: only what the lab started ever gets there."""
        if not self.cgroup.is_dir():
            return
        with contextlib.suppress(OSError):
            (self.cgroup / "cgroup.kill").write_text("1")
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            events = (self.cgroup / "cgroup.events").read_text()
            if "populated 0" in events:
                return
            time.sleep(0.01)

    def _found(self) -> list[str]:
        """Namespaces of this layout, and of older layouts with the same prefix."""
        if not NETNS_DIR.is_dir():
            return []
        prefix = self.layout.prefix + "-"
        return sorted(path.name for path in NETNS_DIR.iterdir() if path.name.startswith(prefix))

    def cgroup_of(self, workload: str) -> Path:
        """Directory of a workload's cgroup; `web/sandbox` names one below it."""
        return self.cgroup / workload

    def command(self, workload: str, argv: Iterable[str]) -> list[str]:
        """`argv` so that it runs in a workload's namespace and cgroup (`web`, `web/sandbox`)."""
        name = workload.split("/", 1)[0]
        cgroup = self.cgroup_of(workload)
        cgroup.mkdir(parents=True, exist_ok=True)
        return enter(self.layout.workload(name).netns, cgroup, argv)

    def service_command(self, name: str, argv: Iterable[str], *, netns: str = "") -> list[str]:
        """`argv` so that it runs in a cgroup of the lab that is no workload's (`.sinks`)."""
        cgroup = self.cgroup / f".{name}"
        cgroup.mkdir(parents=True, exist_ok=True)
        return enter(netns, cgroup, argv)


def enter(netns: str, cgroup: Path, argv: Iterable[str]) -> list[str]:
    """A command line that joins cgroup and namespace, then becomes `argv`.

    A socket belongs to the cgroup its maker was in, so that is joined first. Not `ip netns exec`:
    it mounts /sys anew, and with it the view on cgroups.
    """
    inside = [f"--net={NETNS_DIR / netns}"] if netns else []
    script = 'echo 0 > "$0" && exec "$@"'
    command = ["nsenter", *inside, "--", *argv] if inside else list(argv)
    return ["sh", "-c", script, str(cgroup / "cgroup.procs"), *command]


def cgroup_mount() -> Path:
    """Where cgroup v2 is mounted: /sys/fs/cgroup, or beside version 1.

    Raises:
        LabError: it is not mounted.
    """
    for line in Path("/proc/mounts").read_text().splitlines():
        _, target, kind, *_ = line.split(" ")
        if kind == "cgroup2":
            return Path(target)
    raise LabError("cgroup v2 is not mounted: mount -t cgroup2 none /sys/fs/cgroup")


@contextlib.contextmanager
def inside(netns: str) -> Iterator[None]:
    """The calling thread in another network namespace; sockets made there stay there.

    Raises:
        LabError: no such namespace, or no permission.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        there = (NETNS_DIR / netns).open("rb")
    except OSError as error:
        raise LabError(f"no namespace {netns}: {error.strerror}") from error
    with there, Path("/proc/thread-self/ns/net").open("rb") as home:
        if libc.setns(there.fileno(), CLONE_NEWNET):
            raise LabError(f"cannot enter namespace {netns}: {os.strerror(ctypes.get_errno())}")
        try:
            yield
        finally:
            if libc.setns(home.fileno(), CLONE_NEWNET):
                os._exit(70)  # going on in a strange namespace would be worse


def write_sysctls(netns: str, values: dict[str, str]) -> None:
    """Set sysctls of a namespace; one that this kernel lacks is left out."""
    with inside(netns):
        for key, value in values.items():
            with contextlib.suppress(FileNotFoundError):
                (Path("/proc/sys") / key).write_text(value)


def _ip(lines: list[str], *, netns: str = "", keep_going: bool = False) -> None:
    command = ["ip", *(["-n", netns] if netns else []), *(["-force"] if keep_going else [])]
    done = subprocess.run(
        [*command, "-batch", "-"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LabError(f"ip refused to build the lab: {done.stderr.strip()}")


def _link(layout: Layout, workload: str) -> str:
    machine = layout.workload(workload)
    return (
        f"link add name {CONTAINER_DEVICE} netns {machine.netns} type veth"
        f" peer name {machine.port} netns {layout.host}"
    )


def _links(layout: Layout) -> Iterator[str]:
    for name in layout.workloads:
        yield _link(layout, name)
    yield (
        f"link add name {CONTAINER_DEVICE} netns {layout.internet} type veth"
        f" peer name uplink netns {layout.host}"
    )


def _host(layout: Layout) -> Iterator[str]:
    yield "link set lo up"
    yield f"link add {BRIDGE} type bridge mcast_snooping 0"
    for name in layout.workloads:
        yield f"link set {layout.workload(name).port} master {BRIDGE} up"
    yield f"link set {BRIDGE} up"
    yield "link set uplink up"
    for device, *addresses in ((BRIDGE, GATEWAY4, GATEWAY6), ("uplink", UPLINK4, UPLINK6)):
        yield from _addresses(device, *addresses)
    yield f"route add blackhole {FLOODED}"


def _internet(layout: Layout) -> Iterator[str]:
    yield "link set lo up"
    yield f"link set {CONTAINER_DEVICE} up"
    for name in layout.servers:
        server = layout.server(name)
        yield from _addresses(CONTAINER_DEVICE, server.ipv4, server.ipv6)
    yield f"route add default via {UPLINK4}"
    yield f"route add ::/0 via {UPLINK6}"


def _workload(machine: Machine) -> Iterator[str]:
    yield "link set lo up"
    yield f"link set {CONTAINER_DEVICE} up"
    yield from _addresses(CONTAINER_DEVICE, machine.ipv4, machine.ipv6)
    yield f"route add default via {GATEWAY4}"
    yield f"route add ::/0 via {GATEWAY6}"


def _addresses(device: str, ipv4: str, ipv6: str) -> Iterator[str]:
    yield f"addr add {ipv4}/24 dev {device}"
    yield f"addr add {ipv6}/64 dev {device} nodad"
