"""A gateway that holds: what begins like a token waits for its word."""

import contextlib
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from dlp.workloads import rto
from tests.netlab import CARD, PORT, SINK4, inside, socket_in, until

pytest_plugins = ["tests.netlab_fixture", "tests.gateway_fixture"]
pytestmark = pytest.mark.netns

HOLD = """  - name: default
    hold_timeout_ms: 5000
    rules:
      - {signatures: ["secrets.jwt.*"], action: hold}
      - {signatures: ["pci.*"], action: drop}
"""
ALERT = HOLD.replace("hold}", "alert}")
PACKS = "secrets, pci"
HEAD = b"eyJhbGciOiJIUzI1NiJ9"
TOKEN = HEAD + b".eyJzdWIiOiJFWEFNUExFIn0.EXAMPLEexample0123456789EXAMPLEexample01234"
FRONT = b"session=" + HEAD + b"; path=/ "


def floor(pair) -> int:
    """Of TCP's retransmission timeout; the default where the kernel has no such setting."""
    with inside(pair.inner):
        return int(rto.FLOOR.path.read_text()) if rto.FLOOR.path.exists() else 200_000


def frto(pair) -> int:
    """Whether new data is sent after a timeout before what is missing."""
    with inside(pair.inner):
        return int(rto.FRTO.path.read_text())


def arrives(pair, text: bytes) -> float:
    """Send a text that arrives whole; how long that took, in seconds."""
    number = len(pair.tcp.streams)
    with pair.connect() as connection:
        until(lambda: len(pair.tcp.streams) > number)
        connection.sendall(text)
        took = until(lambda: len(pair.tcp.streams[number]) >= len(text))
    assert text == pair.tcp.streams[number]
    return took


def matches(gateway) -> list[dict]:
    return [one for one in gateway.verdicts() if one["kind"] == "match"]


def test_token_is_held_and_blocked(host, web):
    """A front arrives, a token does not, wherever it is cut; the verdict tells what had left."""
    host.write(HOLD, signatures=PACKS, netns=(web.inner,))
    with host.ready() as gateway:
        arrives(web, FRONT)
        with web.connect() as connection:
            connection.sendall(b"auth: " + TOKEN[:30])
            until(lambda: web.tcp.data.endswith(b"auth: " + TOKEN[:30]))  # sent again, it leaves
            connection.sendall(TOKEN[30:] + b"\r\n")
            until(lambda: matches(gateway))
            time.sleep(0.3)
        (verdict,) = matches(gateway)

    arrived = web.tcp.data[len(FRONT) :]
    assert b"auth: " + TOKEN[:30] == arrived
    assert ("drop", True, "inspector", "secrets.jwt.token") == (
        verdict["action"],
        verdict["enforced"],
        verdict["decided"],
        verdict["signature"],
    )
    assert (30, "blocked while it was held") == (verdict["sent_before"], verdict["detail"])


def test_rules_that_come_and_go(host, web):
    """The lane starts with the first rule that holds; TCP's floor follows the rules."""
    host.write(ALERT, signatures=PACKS, netns=(web.inner,))
    with host.ready() as gateway:
        before, known = floor(web), frto(web)
        host.write(HOLD, signatures=PACKS, netns=(web.inner,))
        gateway.hang_up()
        until(lambda: "configuration reloaded" in gateway.errors())
        until(lambda: floor(web) != before or not rto.FLOOR.path.exists())
        until(lambda: frto(web) != known)
        lowered = floor(web)
        arrives(web, FRONT)
        with web.connect() as connection:
            connection.sendall(TOKEN + b" ")
            until(lambda: matches(gateway))
            time.sleep(0.3)
        arrived = web.tcp.data[len(FRONT) :]
        gateway.stop()
    kept, off = floor(web), frto(web)
    detached = host.dlp("detach")

    assert b"" == arrived
    assert 0 == detached.returncode, detached.stderr
    assert kept == lowered <= before == floor(web)
    assert (2, 0, 2) == (known, off, frto(web))


def test_settings_after_a_kill(host, web):
    """A gateway that is killed leaves TCP's settings as it made them; detach puts them back."""
    host.write(HOLD, signatures=PACKS, netns=(web.inner,))
    before = floor(web), frto(web)
    with host.ready() as gateway:
        until(lambda: frto(web) != before[1])
        gateway.kill()
    killed = floor(web), frto(web)
    detached = host.dlp("detach")

    assert 0 == detached.returncode, detached.stderr
    assert (2, 0) == (before[1], killed[1])
    assert killed[0] <= before[0]
    assert before == (floor(web), frto(web))


def test_lane_that_is_killed(host, web):
    """Its process is replaced, and what waits is decided by the next one."""
    host.write(HOLD, signatures=PACKS, netns=(web.inner,))
    with host.ready() as gateway:
        arrives(web, FRONT)
        with web.connect() as connection:
            connection.sendall(TOKEN[:40])
            for pid in workers(gateway.process.pid):
                os.kill(pid, signal.SIGKILL)
            connection.sendall(TOKEN[40:] + b" ")
            until(lambda: matches(gateway))
            time.sleep(0.3)

    assert not web.tcp.data[len(FRONT) :].startswith(TOKEN[:60])


def workers(pid: int) -> list[int]:
    """Processes of the matcher below that one."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            command = (entry / "cmdline").read_bytes()
        except (OSError, IndexError):
            continue
        if parent == pid and b"dlp.inspector.worker" in command:
            found.append(int(entry.name))
    return found


def test_floods_beside_a_hold(host, web):
    """Neither events nor mirrored payload in plenty keep a held flow from its word."""
    policies = HOLD + '      - {signatures: ["secrets.github.*"], action: mirror}\n'
    host.write(policies, signatures=PACKS, netns=(web.inner,))
    ended = threading.Event()

    def events() -> None:
        with socket_in(web.inner, socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not ended.is_set():
                with contextlib.suppress(OSError):
                    sender.sendto(CARD, (SINK4, PORT))

    def mirrored() -> None:
        with web.connect() as connection, contextlib.suppress(OSError):
            connection.sendall(b"ghp_EXAMPLEexample0123456789EXAMPLEexam ")
            while not ended.is_set():
                connection.sendall(b"lorem ipsum 0123 " * 4000)

    with host.ready() as gateway:
        threads = [threading.Thread(target=each) for each in (events, mirrored)]
        for thread in threads:
            thread.start()
        until(lambda: web.tcp.streams and len(web.tcp.streams[0]) > 1 << 20)
        took = [arrives(web, FRONT) for _ in range(20)]
        ended.set()
        for thread in threads:
            thread.join()
        undecided = [one for one in gateway.verdicts() if one["kind"] == "hold_timeout"]

    assert [] == undecided
    assert max(took) < 4.0
