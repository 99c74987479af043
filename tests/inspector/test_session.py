"""Sessions with a worker that lies: a short program in its place says what it likes."""

import asyncio
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from dlp.inspector.messages import Record, Rule
from dlp.inspector.outbox import Outbox, Release
from dlp.inspector.session import Ending, Limits, Session

# An interpreter is started, which takes its time on a busy machine.
LIMITS = Limits(cpu_s=0.2, hang_s=0.5, start_s=8, ping_s=0.05)
SILENT = replace(LIMITS, start_s=1)
RELEASE = Release(1, (Rule(index=8, id="t.token", regex=r"tok_[a-z0-9]+"),))


class Ear:
    """Listens, and remembers."""

    def __init__(self):
        self.told = []

    def ready(self, ready):
        self.told.append(ready)

    def live(self, release):
        self.told.append(release)

    def refused(self, refused):
        self.told.append(refused)

    def found(self, finding):
        self.told.append(finding)

    def done(self, record, done):
        self.told.append((record, done))


@pytest.fixture
def impostor(tmp_path, monkeypatch):
    """Puts a program in the worker's place; it has `link`, `say` and `hear`."""

    def install(code):
        program = tmp_path / "python"
        body = textwrap.dedent(code)
        prelude = f"""
            import os, socket, sys, time
            sys.path.insert(0, {str(Path.cwd())!r})
            from dlp.inspector.messages import *
            from dlp.inspector.messages import decode, encode
            link = socket.socket(fileno=int(sys.argv[4]))
            say = lambda m: link.send(m if isinstance(m, bytes) else encode(m))
            hear = lambda: decode(link.recv(1 << 18))
            def begin():
                say(Ready("", ""))
                while not isinstance(hear(), Begin):
                    pass
                say(Live(1))
        """
        program.write_text(f"#!{sys.executable}\n{textwrap.dedent(prelude)}\n{body}")
        program.chmod(0o755)
        monkeypatch.setattr("sys.executable", str(program))

    return install


async def live(*records, limits=LIMITS):
    """One session with these records queued; its ending, what it told, and the session."""
    outbox, ear = Outbox(1 << 20), Ear()
    for record in records:
        outbox.put(record)
    with structlog.testing.capture_logs() as logs:
        session = Session(
            key=b"k",
            release=RELEASE,
            outbox=outbox,
            listener=ear,
            limits=limits,
            log=structlog.get_logger(),
        )
        async with asyncio.timeout(10):
            ending = await session.run()
    return ending, ear, session, logs


RECORD = Record(flow=1, offset=0, data=b"4111111111111111")


async def test_garbage_ends_it(impostor):
    """A frame that cannot be read ends the session and the process."""
    impostor("begin(); say(b'garbage'); time.sleep(60)")

    ending, _, _, logs = await live()

    assert Ending.CRASH == ending
    assert "inspector_protocol" in {entry["event"] for entry in logs}


async def test_answer_to_nothing_ends_it(impostor):
    """A worker cannot claim records that it was not sent, nor answer out of turn."""
    impostor("begin(); say(Done(sequence=77)); time.sleep(60)")

    assert Ending.CRASH == (await live())[0]


async def test_message_of_a_gateway_ends_it(impostor):
    """What only a gateway may say is refused from a worker."""
    impostor("begin(); say(Record(flow=1, offset=0, data=b'')); time.sleep(60)")

    assert Ending.CRASH == (await live())[0]


async def test_silence_at_the_start_ends_it(impostor):
    """A worker that never gets ready is killed."""
    impostor("time.sleep(60)")

    assert Ending.HANG == (await live(limits=SILENT))[0]


async def test_silence_on_a_release_ends_it(impostor):
    """A worker that neither takes nor refuses its rules is killed."""
    impostor("say(Ready('', '')); time.sleep(60)")

    assert Ending.HANG == (await live(limits=SILENT))[0]


async def test_silence_on_a_record_ends_it_and_names_it(impostor):
    """A worker that does not answer is killed; the record is known, and not alive before that."""
    impostor("begin(); time.sleep(60)")

    ending, _, session, _ = await live(RECORD)

    assert Ending.HANG == ending
    assert [1] == [record.flow for record in session.records()]
    assert not session.alive


async def test_silence_on_a_ping_ends_it(impostor):
    """An idle worker is asked whether it lives."""
    impostor("begin(); time.sleep(60)")

    ending, _, session, _ = await live()

    assert Ending.HANG == ending
    assert [] == session.records()


async def test_closed_socket_with_a_living_process_ends_it(impostor):
    """A worker that hangs up and stays is killed."""
    impostor("begin(); link.close(); time.sleep(60)")

    assert Ending.CRASH == (await live())[0]


async def test_deciding_a_silent_flow_is_noted(impostor):
    """A death while deciding a silent flow is laid on that flow."""
    impostor("begin(); say(Settling(9, ended=False)); time.sleep(0.1); os._exit(1)")

    assert 9 == (await live())[2].settling


async def test_words_are_logged_before_payload_and_hidden_after(impostor):
    """Why a worker cannot start is logged; once it has payload, only lines of fixed form are."""
    impostor("""
        os.write(2, b"ModuleNotFoundError: no module\\n")
        begin()
        record = hear()
        os.write(2, b"inspector: crashed ValueError line 12\\n" + record.data + b"\\n")
        os._exit(3)
    """)

    logs = (await live(RECORD))[3]

    said = [entry for entry in logs if entry["event"] == "inspector_said"]
    assert ["ModuleNotFoundError: no module", "inspector: crashed ValueError line 12"] == [
        entry["line"] for entry in said if "line" in entry
    ]
    assert 16 == sum(entry.get("hidden_bytes", 0) for entry in said)
    assert "4111" not in repr(logs)


async def test_environment_is_not_handed_on(impostor, monkeypatch, tmp_path):
    """Tokens in the daemon's environment do not reach the worker."""
    monkeypatch.setenv("DLP_TOKEN", "very-secret")
    impostor(f"open({str(tmp_path / 'env')!r}, 'w').write(str(dict(os.environ)))")

    await live()

    assert "very-secret" not in (tmp_path / "env").read_text()
