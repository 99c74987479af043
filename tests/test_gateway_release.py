"""Releases on a gateway as it is run: uploaded, tried, live and undone over real traffic."""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from dlp.releases import archive, keys, metadata, trust
from tests.gatewaylab import _UnixConnection
from tests.netlab import CARD, until

pytest_plugins = ["tests.netlab_fixture", "tests.gateway_fixture"]
pytestmark = pytest.mark.netns

ARCHIVE = "application/vnd.dlp.release"
MEBIBYTE = 1 << 20
THEN = datetime.now(UTC) + timedelta(days=9)
RULES = '  - {name: default, rules: [{signatures: ["*"], action: drop}]}'
PACK = """\
pack: own
version: 1
description: For tests.
signatures:
  - id: own.key.long
    name: Long key
    severity: high
    description: For tests.
    category: secret
    regex: 'WORDKEY-[A-Z0-9]{12}(?![A-Z0-9])'
    mask: {head: 8}
    must_match: ["WORDKEY-ABCDEFGHIJ12", "x WORDKEY-ABCDEFGHIJ34", "WORDKEY-000000000000"]
    must_not_match: ["WORDKEY-ABC", "WORDKEY-ABCDEFGHIJ123", "wordkey-ABCDEFGHIJ12"]
"""
# Too long for the kernel: the inspector decides.
INSPECTED = (
    PACK.replace("{12}", "{12,300}")
    .replace("key.long", "key.endless")
    .replace("WORDKEY-ABCDEFGHIJ123", "WORDKEY-ABCDEFGH123")
)


def planted(word: str) -> bytes:
    return f"{word}-ABCDEFGHIJ12".encode()


@pytest.fixture
def signer():
    return keys.generate()


@pytest.fixture
def releasing(host, web, signer):
    """The host trusts one key; what runs at first is the pack pci."""
    root = trust.create(
        [signer.public], [signer.public], root_threshold=1, threshold=1, expires=THEN
    )
    trust.sign(root, signer)
    (host.directory / "root.json").write_bytes(root.to_bytes())
    host.write(RULES, netns=(web.inner,))
    text = host.config.read_text()
    host.config.write_text(text.replace("policies:", "releases: {trust: root.json}\npolicies:"))
    return host


@pytest.fixture
def release(releasing, signer):
    """Make and sign a release whose signature looks for a word."""

    def make(version: int, word: str, pack: str = PACK):
        packs = {"own": pack.replace("WORDKEY", word).encode()}
        made = metadata.create(packs, version=version, expires=THEN)
        trust.sign(made, signer)
        path = releasing.directory / f"{version}.dlp"
        path.write_bytes(archive.write([], made.to_bytes(), packs))
        return path

    return make


def dlp(host, *arguments) -> subprocess.CompletedProcess[str]:
    done = host.dlp("release", *map(str, arguments), "--api", str(host.socket))
    assert not done.returncode, done.stderr
    return done


def states(gateway) -> dict[int, str]:
    return {one["version"]: one["state"] for one in gateway.api("/releases")["items"]}


def test_life(releasing, web, release):
    """Upload, shadow, canary, live, rollback: at each step what is dropped is what should be."""
    first, second = planted("FIRSTKEY"), planted("OTHERKEY")
    with releasing.ready() as gateway:
        assert (False, True) == (web.leaks(), web.leaks(first))
        dlp(releasing, "upload", release(1, "FIRSTKEY"))
        assert {1: "compiled"} == states(gateway)
        assert (False, True) == (web.leaks(), web.leaks(first))

        dlp(releasing, "shadow", 1)
        assert (False, True) == (web.leaks(), web.leaks(first))
        assert ["own.key.long"] == gateway.api("/releases/1/diff")["added"]

        dlp(releasing, "activate", 1, "--netns", "nobody-*")
        assert (False, True) == (web.leaks(), web.leaks(first))
        dlp(releasing, "activate", 1, "--netns", web.inner)
        assert (True, False) == (web.leaks(), web.leaks(first))

        dlp(releasing, "activate", 1)
        assert (True, False) == (web.leaks(), web.leaks(first))
        assert ["own.key.long"] == [one["id"] for one in gateway.api("/signatures")["items"]]
        assert 1 == gateway.api("/health")["signature_release"]

        dlp(releasing, "upload", release(2, "OTHERKEY"))
        dlp(releasing, "activate", 2)
        assert (True, False) == (web.leaks(first), web.leaks(second))
        assert {1: "superseded", 2: "live"} == states(gateway)
        dlp(releasing, "rollback", "--reason", "test")
        assert (False, True) == (web.leaks(first), web.leaks(second))
        dlp(releasing, "rollback")
        assert (False, True) == (web.leaks(), web.leaks(first))
        assert "ok" == gateway.api("/health")["status"]


def test_diff(releasing, web, release):
    """In shadow both sets' hits are counted on the same traffic, and told with masked examples."""
    word = b"FIRSTKEY-ZYXWVUTSRQ98"  # none of the pack's samples, which its archive holds
    with releasing.ready() as gateway:
        dlp(releasing, "upload", release(1, "FIRSTKEY"))
        assert None is gateway.api("/releases/1/diff")["since"]
        dlp(releasing, "shadow", 1)
        leaks = [web.leaks(word) for _ in range(3)] + [web.leaks(CARD) for _ in range(2)]
        until(lambda: len(gateway.api("/releases/1/diff")["entries"]) == 2)
        until(lambda: all(one["examples"] for one in gateway.api("/releases/1/diff")["entries"]))
        gateway.api("/reload", "POST")  # counts go on
        assert web.leaks(word)
        found = gateway.api("/releases/1/diff")
        shown = dlp(releasing, "diff", 1).stdout
        stored = [one["signature"] for one in gateway.verdicts()]
        said = gateway.errors() + json.dumps(found) + json.dumps(gateway.verdicts())

    assert [True, True, True, False, False] == leaks
    by_id = {one["signature"]: one for one in found["entries"]}
    new, old = by_id["own.key.long"], by_id["pci.card.visa"]
    assert (web.inner, 0, 4, 4, 0) == (
        new["workload"],
        new["live"],
        new["candidate"],
        new["would_newly_drop"],
        new["would_no_longer_drop"],
    )
    assert (2, 0, 0, 2) == (
        old["live"],
        old["candidate"],
        old["would_newly_drop"],
        old["would_no_longer_drop"],
    )
    assert ["FIRSTKEY*************"] == [one["masked"] for one in new["examples"]]
    assert "FIRSTKEY*****" in shown
    kept = [path for path in (releasing.directory / "state").rglob("*") if path.is_file()]
    assert {"1.dlp", "verdicts.db"} <= {path.name for path in kept}
    for place in (shown.encode(), said.encode(), *(path.read_bytes() for path in kept)):
        assert b"ZYXWVUTSRQ98" not in place
    assert "own.key.long" not in stored


def test_diff_of_the_inspector(releasing, web, release):
    """What the inspector would decide is in the diff too: counted, masked, and acted on nowhere."""
    word = b"FIRSTKEY-ZYXWVUTSRQ98"
    rest = b"A" * 140 + b"."
    with releasing.ready() as gateway:
        dlp(releasing, "upload", release(1, "FIRSTKEY", INSPECTED))
        dlp(releasing, "shadow", 1)
        before = gateway.api("/stats")
        leaks = [web.leaks(word) for _ in range(3)] + [web.leaks(CARD)]
        with web.connect() as connection:  # a value over two segments, longer than the tail
            connection.sendall(word + b"A" * 140)
            until(lambda: web.tcp.data == word + b"A" * 140)
            connection.sendall(rest)
            until(lambda: web.tcp.data.endswith(rest))

        def new() -> dict:
            entries = gateway.api("/releases/1/diff")["entries"]
            found = [one for one in entries if one["signature"] == "own.key.endless"]
            return found[0] if found else {"candidate": 0}

        until(lambda: new()["candidate"] == 4)
        gateway.api("/reload", "POST")  # counts go on
        assert web.leaks(word)
        until(lambda: new()["candidate"] == 5)
        found = new()
        shown = dlp(releasing, "diff", 1).stdout
        stored = {one["signature"] for one in gateway.verdicts()}
        said = gateway.errors() + json.dumps(found) + json.dumps(gateway.verdicts())
        after = gateway.api("/stats")

    assert [True, True, True, False] == leaks
    assert (web.inner, 0, 5, 0, 0) == (
        found["workload"],
        found["live"],
        found["would_newly_drop"],
        found["would_no_longer_drop"],
        found["unchanged"],
    )
    assert found["would_ask"] >= 5
    masked = {one["masked"] for one in found["examples"]}
    assert {"FIRSTKEY*************", "FIRSTKEY*******…********"} == masked
    assert "FIRSTKEY*****" in shown
    assert {"pci.card.visa"} == stored
    rose = {
        one["reason"]: one["packets"] - other["packets"]
        for one, other in zip(after["total"], before["total"], strict=True)
    }
    assert rose["shadow_mirrored"] >= 5
    nothing = ("mirrored", "mirror_lost", "held", "shadow_unread", "shadow_missed")
    assert [0] * len(nothing) == [rose[reason] for reason in nothing]
    for path in (releasing.directory / "state").rglob("*"):
        assert path.is_dir() or b"ZYXWVUTSRQ98" not in path.read_bytes()
    assert "ZYXWVUTSRQ98" not in shown + said


def test_diff_of_both_inspectors(releasing, web, release):
    """What the live set's inspector decides is compared with what the candidate's would."""
    word, other = b"FIRSTKEY-ZYXWVUTSRQ98", b"OTHERKEY-ZYXWVUTSRQ98"
    with releasing.ready() as gateway:
        dlp(releasing, "upload", release(1, "FIRSTKEY", INSPECTED))
        dlp(releasing, "activate", 1)
        dlp(releasing, "upload", release(2, "OTHERKEY", INSPECTED))
        dlp(releasing, "shadow", 2)

        def found() -> tuple[int, ...]:
            wanted = ("live", "candidate", "would_newly_drop", "would_no_longer_drop", "unchanged")
            (one,) = gateway.api("/releases/2/diff")["entries"] or [dict.fromkeys(wanted, 0)]
            return tuple(one[key] for key in wanted)

        for _ in range(2):
            web.leaks(word)
        until(lambda: (2, 0, 0, 2, 0) == found())
        for _ in range(3):
            assert web.leaks(other)
        until(lambda: (2, 3, 1, 0, 2) == found())
        verdicts = gateway.verdicts()

    assert {"FIRSTKEY*************"} == {one["masked"] for one in verdicts}


def test_two_clients(releasing, web, release):
    """Of clients that activate at one time one acts; the others are told so, or that it is live."""
    word = planted("FIRSTKEY")

    def activate(_) -> tuple[int, str]:
        connection = _UnixConnection(releasing.socket)
        connection.request("POST", "/api/v1/releases/1/activate")
        answer = connection.getresponse()
        state = json.loads(answer.read())["state"]
        connection.close()
        return answer.status, state

    with releasing.ready() as gateway:
        dlp(releasing, "upload", release(1, "FIRSTKEY"))
        loads = gateway.errors().count("event='loaded'")
        with ThreadPoolExecutor(6) as clients:
            answers = set(clients.map(activate, range(6)))
        steps = [one["after"] for one in gateway.api("/releases/1")["steps"]]
        assert 1 == gateway.errors().count("event='loaded'") - loads
        assert not web.leaks(word)

    assert (200, "live") in answers
    assert answers <= {(200, "live"), (409, "compiled"), (409, "live")}
    assert 1 == steps.count("live")


def test_restart(releasing, web, release):
    """A live release is live again after SIGKILL, and a canary too; a reload keeps both."""
    word, other = planted("FIRSTKEY"), planted("OTHERKEY")
    with releasing.ready() as gateway:
        dlp(releasing, "upload", release(1, "FIRSTKEY"))
        dlp(releasing, "activate", 1)
        dlp(releasing, "upload", release(2, "OTHERKEY"))
        dlp(releasing, "activate", 2, "--percent", 99, "--netns", web.inner)
        gateway.kill()
    assert (True, False) == (web.leaks(word), web.leaks(other))
    with releasing.ready() as gateway:
        assert {1: "live", 2: "canary"} == states(gateway)
        assert (True, False) == (web.leaks(word), web.leaks(other))
        gateway.api("/reload", "POST")
        assert (True, False) == (web.leaks(word), web.leaks(other))
        dlp(releasing, "rollback", 2)
        assert (False, True) == (web.leaks(word), web.leaks(other))


def test_altered(releasing, web, release):
    """An altered archive is refused with the reason, and what runs goes on."""
    path = release(1, "FIRSTKEY")
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"Long key", b"Lang key"))
    with releasing.ready() as gateway:
        done = releasing.dlp("release", "upload", str(path), "--api", str(releasing.socket))
        connection = _UnixConnection(releasing.socket)
        headers = {"Content-Type": ARCHIVE}
        connection.request("POST", "/api/v1/releases", raw[:-700], headers)
        answer = connection.getresponse()
        problem = json.loads(answer.read())
        connection.close()
        assert {} == states(gateway)
        assert not web.leaks()

    assert (4, True) == (done.returncode, "was altered" in done.stderr)
    assert (http.client.UNPROCESSABLE_ENTITY, "truncated") == (answer.status, problem["reason"])


@pytest.mark.parametrize("coding", ["Content-Length: 104857600", "Transfer-Encoding: chunked"])
def test_too_large(releasing, web, release, coding):
    """Of an upload of 100 MB no more is read than a release may have; what is live goes on."""
    word = planted("FIRSTKEY")
    with releasing.ready() as gateway:
        dlp(releasing, "upload", release(1, "FIRSTKEY"))
        dlp(releasing, "activate", 1)
        kept = stored(releasing)
        taken, answer = send_large(releasing.socket, coding)
        assert kept == stored(releasing)
        assert {1: "live"} == states(gateway)
        assert (True, False) == (web.leaks(), web.leaks(word))

    assert b" 413 " in answer.splitlines()[0]
    assert b"body-too-large" in answer
    # What fits into the socket and into the reader's buffers goes out beyond the limit.
    assert taken < (1 if "Length" in coding else 16) * MEBIBYTE + 4 * MEBIBYTE


def stored(host) -> set[str]:
    """Files of releases that the gateway keeps."""
    directory = host.directory / "state/releases"
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


def send_large(path, coding: str) -> tuple[int, bytes]:
    """Upload 100 MB as fast as they are taken; how many bytes were, and the answer."""
    chunk = bytes(1 << 16)
    if "chunked" in coding:
        chunk = b"10000\r\n" + chunk + b"\r\n"
    head = (
        f"POST /api/v1/releases HTTP/1.1\r\nHost: x\r\nContent-Type: {ARCHIVE}\r\n{coding}\r\n\r\n"
    )
    taken = 0
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(path))
        client.sendall(head.encode())
        with contextlib.suppress(ConnectionError):
            for _ in range(1600):
                if select.select([client], [], [], 0)[0]:
                    break
                client.sendall(chunk)
                taken += len(chunk)
        with contextlib.suppress(ConnectionError):
            return taken, client.recv(1 << 16)
    return taken, b""


def test_open_flow(releasing, web, release):
    """A flow that is open goes on over activations, and is judged by what is live at each byte."""
    word = planted("FIRSTKEY")
    with releasing.ready() as gateway, web.connect() as connection:
        dlp(releasing, "upload", release(1, "FIRSTKEY"))
        connection.sendall(b"hello " + word[:9])
        until(lambda: web.tcp.data == b"hello " + word[:9])
        dlp(releasing, "activate", 1)
        connection.sendall(word[9:] + b".")
        until(lambda: any(one["signature"] == "own.key.long" for one in gateway.verdicts()))

    assert b"hello " + word[:9] == web.tcp.data
    assert CARD not in web.tcp.data
