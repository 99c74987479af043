"""What a running gateway does beyond dropping: killing, cutting off, telling of incidents."""

import errno
import itertools
import json
import os
import socket
import time

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from tests.netlab import (
    CARD,
    DEVICE,
    PORT,
    SINK4,
    WORKLOAD4,
    Pair,
    inside,
    socket_in,
    until,
)

pytest_plugins = ["tests.netlab_fixture", "tests.gateway_fixture"]
pytestmark = pytest.mark.netns

KILL = '  - {name: default, kill: true, rules: [{signatures: ["*"], action: drop}]}'
ESCALATE = """  - name: default
    escalate: {verdicts: 3, window: 1m, action: quarantine}
    rules: [{signatures: ["*"], action: drop}]"""
NUMBERS = itertools.count()


def passes(pair: Pair) -> bool:
    """Whether an honest datagram leaves; nothing else need get through."""
    payload = f"honest {next(NUMBERS)}".encode()
    with inside(pair.outer), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind((SINK4, PORT + 1))
        sink.settimeout(0.5)
        with socket_in(pair.inner, socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(payload, (SINK4, PORT + 1))
        try:
            return sink.recv(100) == payload
        except TimeoutError:
            return False


def workload(gateway) -> dict:
    (found,) = gateway.api("/workloads")["items"]
    return found


def incident(gateway, kind: str, what: str) -> dict:
    """The incident of that cause, as soon as it is stored."""
    until(lambda: what in [one["what"] for one in gateway.incidents(kind)])
    return next(one for one in gateway.incidents(kind) if one["what"] == what)


# -- kill -------------------------------------------------------------------------------------


def error_of(connection: socket.socket) -> int:
    """The error with which a waiting read ends; 0 where the peer has closed."""
    connection.settimeout(3)
    try:
        connection.recv(1)
    except TimeoutError:
        return errno.ETIMEDOUT
    except OSError as error:
        return error.errno or 0
    return 0


def test_kill(host, web):
    """The program sees the error at once; an honest connection beside it goes on."""
    host.write(KILL, netns=(web.inner,))
    with host.ready(), web.connect() as honest, web.connect() as leaking:
        leaking.sendall(b"card " + CARD + b".")
        began = time.monotonic()
        code = error_of(leaking)
        took = time.monotonic() - began
        honest.sendall(b"hello")
        until(lambda: b"hello" in web.tcp.data)

    assert errno.ECONNABORTED == code
    assert took < 1
    assert CARD not in web.tcp.data


def test_kill_on_the_inspectors_word(host, web):
    """What the inspector blocks is killed as well, before its next packet."""
    host.write(KILL, signatures="./own.yaml", netns=(web.inner,))
    with host.ready(), web.connect() as leaking:
        leaking.sendall(b"say LONGKEY-" + b"x1Y2" * 50 + b" ")

        assert errno.ECONNABORTED == error_of(leaking)


def test_no_kill(host, web):
    """Without the key the program waits: nothing more arrives, and nobody tells it."""
    with host.ready(), web.connect() as leaking:
        leaking.sendall(b"card " + CARD + b".")

        assert errno.ETIMEDOUT == error_of(leaking)


# -- quarantine -------------------------------------------------------------------------------


def test_quarantine(host, web):
    """Nothing leaves until the release: not while no gateway runs, not under the next one."""
    path = f"/workloads/{web.inner}"
    with host.ready() as gateway:
        before = passes(web)
        answer = gateway.api(f"{path}/quarantine", "POST", {"reason": "leak seen"})
        cut = passes(web)
        health = gateway.api("/health")
        counted = gateway.api("/stats")["workloads"][web.inner]
        gateway.kill()
        alone = passes(web)
    with host.ready() as gateway:
        listed = workload(gateway)["quarantined"]
        restarted = passes(web)
        released = gateway.api(f"{path}/release", "POST")
        after = passes(web)
        log = gateway.errors()
        told = [incident(gateway, "quarantine", what) for what in ("operator", "released")]

    assert [True, False, False, False, True] == [before, cut, alone, restarted, after]
    assert (True, True, False) == (answer["quarantined"], listed, released["quarantined"])
    assert ("ok", 1) == (health["status"], health["workloads_quarantined"])
    assert {"quarantined": True} == {
        one["reason"]: one["packets"] > 0 for one in counted if one["reason"] == "quarantined"
    }
    assert [web.inner, web.inner] == [one["workload"] for one in told]
    assert f"leak seen, by local user {os.geteuid()}" == told[0]["detail"]
    assert "workload released" in log
    assert f"local user {os.geteuid()}" in log


def test_commands(host, web):
    """The same on the command line."""
    api = ("--api", str(host.socket))
    with host.ready() as gateway:
        cut = host.dlp("quarantine", web.inner, "--reason", "leak seen", *api)
        passed = passes(web)
        status = host.dlp("status", *api)
        released = host.dlp("release", web.inner, *api)
        again = passes(web)
        incident(gateway, "quarantine", "released")
        listed = host.dlp("incidents", "--kind", "quarantine", "--json", *api)
        nobody = host.dlp("quarantine", "nobody", "--reason", "leak", *api)

    assert [(0, "quarantined"), (0, "released")] == [
        (done.returncode, done.stdout.split()[-1]) for done in (cut, released)
    ]
    assert (False, True) == (passed, again)
    assert (0, True) == (status.returncode, f"warning: {web.inner}: quarantined" in status.stdout)
    assert {"operator", "released"} <= {one["what"] for one in json.loads(listed.stdout)}
    assert (4, True) == (nobody.returncode, "no such workload" in nobody.stderr)


def test_escalation(host, web):
    """The third enforced drop within the window cuts the workload off, and says which policy."""
    host.write(ESCALATE, netns=(web.inner,))
    with host.ready() as gateway:
        leaked = [web.leaks() for _ in range(2)]
        between = passes(web), workload(gateway)["quarantined"]
        with socket_in(web.inner, socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(CARD, (SINK4, PORT))
        until(lambda: workload(gateway)["quarantined"])
        cut = passes(web)
        told = incident(gateway, "quarantine", "escalated")
    with host.ready() as gateway:
        restarted = passes(web)
        gateway.api(f"/workloads/{web.inner}/release", "POST")
        after = passes(web)

    assert [False, False] == leaked
    assert (True, False) == between
    assert (False, False, True) == (cut, restarted, after)
    assert "3 enforced drops within 60 s (policy default), by policy default" == told["detail"]


# -- incidents --------------------------------------------------------------------------------


def test_urgent(host, web):
    """An urgent byte is refused once for the flow, and told as a way around."""
    with host.ready() as gateway, web.connect() as connection:
        connection.send(b"4111 1111 1", socket.MSG_OOB)
        told = incident(gateway, "bypass", "urgent")
        until(lambda: gateway.api("/verdicts?kind=refused")["items"])
        (verdict,) = gateway.api("/verdicts?kind=refused")["items"]
        metrics = gateway.api("/stats")["incidents"]

    assert (web.inner, "tcp", SINK4) == (
        told["workload"],
        told["protocol"],
        told["destination"]["address"],
    )
    assert ("urgent", "drop", True) == (verdict["detail"], verdict["action"], verdict["enforced"])
    assert metrics["bypass"] >= 1


SOL_PACKET, PACKET_QDISC_BYPASS = 263, 20


def past_the_classifier(pair: Pair, payload: bytes, count: int = 1) -> None:
    """Datagrams that a packet socket hands to the device itself."""
    ethernet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    datagram = IP(src=WORKLOAD4, dst=SINK4) / UDP(sport=4444, dport=PORT) / payload
    with socket_in(pair.inner, socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.setsockopt(SOL_PACKET, PACKET_QDISC_BYPASS, 1)
        sender.bind((DEVICE, 0))
        frame = bytes(ethernet / datagram)
        for _ in range(count):
            sender.send(frame)


def test_bypass(host, web):
    """What skips the classifier does not arrive, and is told with its headers."""
    with host.ready() as gateway:
        until(lambda: workload(gateway)["guard"] == "guarded")
        past_the_classifier(web, CARD)
        told = incident(gateway, "bypass", "no_token")
        web._sender.sendto(b"behind it", (SINK4, PORT))
        arrived = web._datagrams.recv(100)

    assert b"behind it" == arrived
    assert (web.inner, "udp", {"address": WORKLOAD4, "port": 4444}, PORT) == (
        told["workload"],
        told["protocol"],
        told["source"],
        told["destination"]["port"],
    )


def test_flood_of_bypasses(host, web):
    """A flood is one or two rows, and their counts are the number of packets."""
    sent = 20_000

    def rows(gateway) -> list[dict]:
        found = gateway.incidents("bypass")
        return [one for one in found if (one["workload"], one["what"]) == (web.inner, "no_token")]

    with host.ready() as gateway:
        until(lambda: workload(gateway)["guard"] == "guarded")
        past_the_classifier(web, b"flood", sent)
        until(lambda: sum(one["count"] for one in rows(gateway)) >= sent)
        time.sleep(2.5)  # what would be counted twice is counted now
        found = rows(gateway)

    assert sent == sum(one["count"] for one in found)
    assert len(found) <= 2


# -- the end: what is pinned goes here --------------------------------------------------------


def test_quarantine_outlives_the_pins(host, web):
    """After a reboot or an upgrade the kernel remembers nothing; the state directory does."""
    with host.ready() as gateway:
        gateway.api(f"/workloads/{web.inner}/quarantine", "POST", {"reason": "leak seen"})
        gateway.stop()
    host.dlp("detach")
    detached = passes(web)
    with host.ready() as gateway:
        cut = passes(web)
        gateway.api(f"/workloads/{web.inner}/release", "POST")
        after = passes(web)

    assert (True, False, True) == (detached, cut, after)


def test_damaged_quarantine(host, web):
    """Nobody guesses which workloads are cut: exit code 3, and what to do."""
    state = host.directory / "state"
    state.mkdir(mode=0o700)
    (state / "quarantine.json").write_text("{")
    done = host.dlp("run", "--config", str(host.config))

    assert 3 == done.returncode
    assert "quarantine.json: is damaged" in done.stderr
