import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dlp.inspector.messages import (
    Begin,
    Done,
    Finding,
    Key,
    Live,
    Ping,
    Ready,
    Record,
    Refused,
    Rule,
    Settling,
    Stop,
    decode,
    encode,
)

SLOW = Rule(index=5, id="t.slow", regex=r"(?:a|aa)+x")
TOKEN = Rule(index=8, id="t.token", regex=r"tok_[a-z0-9]+")
ROOT = Path(__file__).parents[2]


class Talk:
    """A worker process and the gateway's end of its socket."""

    def __init__(self):
        self.link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.process = subprocess.Popen(
            [sys.executable, "-sP", "-m", "dlp.inspector.worker", str(theirs.fileno()), "0.3"],
            pass_fds=[theirs.fileno()],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
        )
        theirs.close()
        self.link.settimeout(10)

    def say(self, *messages):
        for message in messages:
            self.link.send(message if isinstance(message, bytes) else encode(message))

    def hear(self):
        frame = self.link.recv(1 << 18)
        return decode(frame) if frame else None

    def end(self):
        """Its return code and what it said on standard error."""
        said = self.process.communicate(timeout=10)[1]
        return self.process.returncode, said.decode()


@pytest.fixture
def talk():
    one = Talk()
    try:
        yield one
    finally:
        one.link.close()
        one.process.kill()
        one.process.communicate()


@pytest.fixture
def live(talk):
    """A worker with its rules."""
    assert isinstance(talk.hear(), Ready)
    talk.say(Key(b"k"), SLOW, TOKEN, Begin(1, 2))
    assert Live(1) == talk.hear()
    return talk


def test_record_is_answered(live):
    """A record gives its findings, then its answer."""
    live.say(Record(sequence=4, flow=1, offset=9, data=b" tok_1 "))

    finding, done = live.hear(), live.hear()

    assert (1, 8, 1, 10, 5) == (
        finding.release,
        finding.signature,
        finding.flow,
        finding.offset,
        finding.length,
    )
    assert Done(sequence=4) == done


def test_silent_flow_is_decided(live):
    """A match at the end of what came is told after a while, with its flow named before."""
    live.say(Record(sequence=1, flow=7, offset=0, data=b"tok_1"))
    assert isinstance(live.hear(), Done)
    started = time.monotonic()

    told = [live.hear(), live.hear(), live.hear()]

    assert Settling(7, ended=False) == told[0]
    assert isinstance(told[1], Finding)
    assert Settling(7, ended=True) == told[2]
    assert 0.1 < time.monotonic() - started < 2


def test_stop_decides_what_is_open_and_ends(live):
    """Told to stop, the worker reports what waits at an end, and goes."""
    live.say(Record(sequence=1, flow=7, offset=0, data=b"tok_1"), Stop())

    kinds = []
    while message := live.hear():
        kinds.append(type(message))

    assert [Done, Settling, Finding, Settling] == kinds
    assert (0, "") == live.end()


def test_gateway_gone_ends_it(live):
    """A worker does not outlive the gateway."""
    live.link.close()

    assert (0, "") == live.end()


def test_catastrophic_expression_is_ended_by_the_kernel(live):
    """A record that costs more CPU time than allowed ends the process, with its own signal."""
    started = time.process_time()
    live.say(Record(sequence=1, flow=1, offset=0, data=b"a" * 60))

    assert (-signal.SIGPROF, "") == live.end()
    assert time.process_time() - started < 1


def test_ping_is_answered(live):
    """A ping gives an answer like a record's."""
    live.say(Ping(3))

    assert Done(sequence=3) == live.hear()


def test_bad_release_is_refused_and_the_old_stays(live):
    """A rule that does not compile is refused by name; the rules before stay live."""
    live.say(Rule(index=0, id="bad.rule", regex="("), Begin(2, 1))
    refused = live.hear()
    live.say(Record(sequence=1, flow=1, offset=0, data=b" tok_1 "))

    assert isinstance(refused, Refused)
    assert "bad.rule" in refused.reason
    assert 1 == live.hear().release


@pytest.mark.parametrize(
    "frame",
    [b"\0", b"garbage of some length", encode(Live(1)), encode(Begin(9, 5)), bytes(1 << 17)],
)
def test_malformed_frames_end_it(live, frame):
    """What this version does not understand is refused, and the process ends, saying so."""
    live.say(frame)
    code, said = live.end()

    assert 2 == code
    assert said.startswith("inspector: protocol ")
    assert 1 == said.count("\n")


def test_record_before_rules_ends_it(talk):
    """Payload without rules to judge it is an error, never passed over."""
    talk.hear()
    talk.say(Record(flow=1, offset=0, data=b"4111111111111111"))
    code, said = talk.end()

    assert 2 == code
    assert "4111" not in said


def test_memory_bound_ends_it_without_payload(live):
    """A worker over its bounds says what happened, never what it had read."""
    live.say(b"".join([encode(Record(flow=1, offset=0, data=b"secret-value"))[:-1]]))

    assert "secret" not in live.end()[1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up privileges")
def test_it_is_locked_in_before_it_hears_anything(talk):
    """When it says that it is ready, it is another user with no capability and a filter."""
    ready = talk.hear()
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{talk.process.pid}/status").read_text().splitlines()
    )

    assert "" == ready.missing
    assert "65534\t65534\t65534\t65534" == status["Uid"]
    assert 0 == int(status["CapPrm"], 16) | int(status["CapEff"], 16)
    assert ("1", "2") == (status["NoNewPrivs"], status["Seccomp"])
    assert ["0", "1", "2"] == sorted(
        name.name
        for name in Path(f"/proc/{talk.process.pid}/fd").iterdir()
        if not str(name.readlink()).startswith("socket:")
    )


def test_interrupt_leaves_it(live):
    """Ctrl-C in a terminal reaches the whole group: the gateway decides when it ends."""
    live.process.send_signal(signal.SIGINT)
    live.say(Ping(1))

    assert Done(sequence=1) == live.hear()
