"""Sockets of blocked flows are destroyed, and no others."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import socket

import pytest

from dlp.datapath.abi import EventFlag, EventKind
from dlp.enforcement import kill
from dlp.enforcement.kill import Killer, NotSupported, Target, destroy, target_of
from dlp.errors import KernelError
from dlp.model import Action
from tests.enforcement.test_verdicts import EVENT
from tests.netlab import DEVICE, inside

pytest_plugins = ["tests.netlab_fixture"]

SO_COOKIE = 57
OWNED = dataclasses.replace(EVENT, flags=EventFlag.OWNED)
TARGET = Target(1, 4, "192.0.2.1", 1024, "192.0.2.2", 9000, 77)


def target(connection: socket.socket, family: int = 4, **changes) -> Target:
    """As an event would name the connection's socket."""
    source, destination = connection.getsockname(), connection.getpeername()
    cookie = int.from_bytes(connection.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8), "little")
    made = Target(1, family, source[0], source[1], destination[0], destination[1], cookie)
    return made._replace(**changes)


# -- which ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [EventKind.MATCH, EventKind.OPAQUE, EventKind.DENIED, EventKind.HOLD_TIMEOUT]
)
def test_blocked_flow(kind):
    """An enforced drop names the socket by all that the event knows of it."""
    found = target_of(dataclasses.replace(OWNED, kind=kind))

    assert (9, "10.0.0.1", 1024, "192.0.2.9", 443) == (
        found.cookie,
        found.source,
        found.source_port,
        found.destination,
        found.destination_port,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"flags": EventFlag(0)},
        {"flags": EventFlag.OWNED | EventFlag.MONITOR},
        {"action": Action.ALERT},
        {"action": Action.ALLOW, "flags": EventFlag.OWNED | EventFlag.BELOW_THRESHOLD},
        {"kind": EventKind.BUDGET},
        {"kind": EventKind.REFUSED},
        {"kind": EventKind.HELD},
        {"packet": dataclasses.replace(EVENT.packet, protocol="udp")},
    ],
)
def test_no_blocked_flow(changes):
    """Without a socket, without enforcement, or where the flow goes on: nobody is killed."""

    assert target_of(dataclasses.replace(OWNED, **changes)) is None


# -- how --------------------------------------------------------------------------------------


@pytest.mark.netns
@pytest.mark.parametrize("family", [4, 6])
def test_program_sees_it_at_once(lab, family):
    """The connection's next call fails with ECONNABORTED; the peer sees a reset."""
    pair = lab.pair()
    with pair.connect(family) as connection, inside(pair.inner):
        assert destroy(target(connection, family))
        with pytest.raises(OSError, match="abort") as raised:
            connection.send(b"more")

        assert errno.ECONNABORTED == raised.value.errno
        assert not destroy(target_after(connection, family))


def target_after(connection: socket.socket, family: int) -> Target:
    cookie = int.from_bytes(connection.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8), "little")
    source = connection.getsockname()
    there = "192.0.2.2" if family == 4 else "fd00:2::2"
    return Target(1, family, source[0], source[1], there, 9000, cookie)


@pytest.mark.netns
def test_blocked_read(lab):
    """A program that waits in recv wakes up with the error."""
    pair = lab.pair()
    with pair.connect() as connection, inside(pair.inner):

        async def scenario() -> int:
            reading = asyncio.get_running_loop().run_in_executor(None, connection.recv, 1)
            await asyncio.sleep(0.1)
            assert destroy(target(connection))
            with pytest.raises(OSError, match="abort") as raised:
                await asyncio.wait_for(reading, 2)
            return raised.value.errno

        assert errno.ECONNABORTED == asyncio.run(scenario())


@pytest.mark.netns
def test_another_cookie(lab):
    """A later socket of the same ports is another one: it lives."""
    pair = lab.pair()
    with pair.connect() as connection, inside(pair.inner):
        right = target(connection)

        assert not destroy(right._replace(cookie=right.cookie + 1))
        assert 4 == connection.send(b"more")


@pytest.mark.netns
def test_another_namespace(lab):
    """The same target elsewhere meets nobody."""
    pair = lab.pair()
    with pair.connect() as connection:
        with inside(pair.outer):
            assert not destroy(target(connection))
        assert 4 == connection.send(b"more")


@pytest.mark.netns
def test_mapped_address(lab):
    """An IPv6 socket that speaks IPv4 is found by its packets' addresses."""
    pair = lab.pair()
    with inside(pair.inner), socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as connection:
        connection.connect(("::ffff:192.0.2.2", 9000))
        cookie = int.from_bytes(connection.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8), "little")
        port = connection.getsockname()[1]

        assert destroy(Target(1, 4, "192.0.2.1", port, "192.0.2.2", 9000, cookie))
        with pytest.raises(OSError, match="abort"):
            connection.send(b"more")


@pytest.mark.netns
def test_bound_to_a_device(lab):
    """Binding the socket to a device does not save it."""
    pair = lab.pair()
    with inside(pair.inner), socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, DEVICE.encode())
        connection.connect(("192.0.2.2", 9000))

        assert destroy(target(connection))
        with pytest.raises(OSError, match="abort"):
            connection.send(b"more")


@pytest.mark.netns
def test_kernel_without_it(lab, monkeypatch):
    """A kernel that does not know the request says so, and so does one that knows no TCP."""
    with inside(lab.namespace("web")):
        monkeypatch.setattr(kill, "_SOCK_DESTROY", 19)  # no request of sock_diag
        with pytest.raises(NotSupported):
            destroy(TARGET)
        monkeypatch.undo()
        assert not destroy(TARGET)
        monkeypatch.setattr(kill, "_knows_tcp", lambda _: False)
        with pytest.raises(NotSupported):
            destroy(TARGET)


# -- the killer -------------------------------------------------------------------------------


class Log:
    """Keeps warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, event: str, **_: object) -> None:
        self.warnings.append(event)


@contextlib.asynccontextmanager
async def at_work(within, log=None):
    killer = Killer(within, log or Log())
    task = asyncio.get_running_loop().create_task(killer.run())
    try:
        yield killer
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def drained(killer: Killer) -> None:
    async with asyncio.timeout(5):
        await killer._queue.join()


async def test_killer():
    """Each target goes to its namespace, in order; those that were there are counted."""
    seen = []

    async def within(netns, call, target):
        seen.append((netns, call, target))
        return len(seen) == 1

    async with at_work(within) as killer:
        killer.add(TARGET)
        killer.add(TARGET._replace(netns=2))
        await drained(killer)

    assert [(1, destroy, TARGET), (2, destroy, TARGET._replace(netns=2))] == seen
    assert (1, 0) == (killer.killed, killer.missed)


async def test_killer_on_a_kernel_without_it():
    """It warns once, and asks no more."""
    log, asked = Log(), []

    async def within(*_):
        asked.append(1)
        raise NotSupported("this kernel cannot destroy sockets")

    async with at_work(within, log) as killer:
        for _ in range(5):
            killer.add(TARGET)
        await drained(killer)
        killer.add(TARGET)
        await drained(killer)

    assert (1, ["blocked flows cannot be killed"]) == (len(asked), log.warnings)


async def test_killer_goes_on():
    """A namespace that is gone costs one target, not the work."""
    answers = iter([KernelError("gone"), True])

    async def within(*_):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with at_work(within) as killer:
        killer.add(TARGET)
        killer.add(TARGET)
        await drained(killer)

    assert (1, 1) == (killer.killed, killer.missed)


async def test_killer_is_bounded(monkeypatch):
    """A flood of blocked flows does not fill the memory: what finds no place is counted."""
    monkeypatch.setattr(kill, "_PENDING", 3)
    killer = Killer(None, Log())
    for _ in range(5):
        killer.add(TARGET)

    assert 2 == killer.missed
