import asyncio
import os
import signal
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from dlp.errors import DlpError, MissingDependency, PackError
from dlp.inspector.account import MissReason
from dlp.inspector.client import MatcherProcess
from dlp.inspector.messages import Record, Rule
from dlp.inspector.session import Limits

SLOW = Rule(index=5, id="t.slow", regex=r"(?:a|aa)+x")
TOKEN = Rule(index=8, id="t.token", regex=r"tok_[a-z0-9]+")
QUICK = Limits(cpu_s=0.2, hang_s=1, start_s=10, ping_s=0.1, stop_s=2, backoff_s=0.01)


class Inspector:
    """A matcher process with all that it told."""

    def __init__(self, *rules, limits=QUICK):
        self.findings = []
        self.missed = []
        self.process = MatcherProcess(
            rules or (TOKEN, SLOW),
            key=b"k" * 32,
            on_finding=self.findings.append,
            on_missed=self.missed.append,
            limits=limits,
        )

    def submit(self, data, flow=1, offset=0, final=False):
        return self.process.submit(Record(flow=flow, offset=offset, data=data, final=final))

    async def until(self, condition, seconds=10):
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.01)

    def searching(self):
        session = self.process._session
        return session is not None and session.records()

    def signal(self, number):
        os.kill(self.process.pid, number)


def children():
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


@asynccontextmanager
async def running(*rules, limits=QUICK):
    inspector = Inspector(*rules, limits=limits)
    async with asyncio.TaskGroup() as group:
        await inspector.process.start(group)
        try:
            yield inspector
        finally:
            await inspector.process.stop()


async def test_findings_come_back():
    """A record handed over gives its findings, and is counted."""
    async with running() as inspector:
        assert inspector.process.alive
        assert inspector.submit(b" tok_1 ", flow=4, offset=10)
        await inspector.until(lambda: inspector.findings)

    finding = inspector.findings[0]
    assert (1, 8, 4, 11, 5) == (
        finding.release,
        finding.signature,
        finding.flow,
        finding.offset,
        finding.length,
    )
    counts = inspector.process.counts
    assert (1, 7, 1, 0) == (counts.records, counts.bytes, counts.findings, counts.missed)
    assert not inspector.process.alive


async def test_stop_finishes_the_queue():
    """What was handed over before the stop is inspected, open ends too."""
    async with running() as inspector:
        for n in range(200):
            inspector.submit(b" tok_%d" % n, flow=n)

    assert set(range(200)) == {finding.flow for finding in inspector.findings}
    assert [] == inspector.missed


async def test_after_the_stop_everything_is_missed():
    """A stopped inspector takes nothing, and says so."""
    async with running() as inspector:
        pass

    assert not inspector.submit(b"abc")
    assert [(3, MissReason.DOWN)] == [(m.length, m.reason) for m in inspector.missed]


async def test_long_records_are_cut_and_found_whole():
    """Payload longer than a frame goes in pieces; a match on the cut is found."""
    data = b"." * (64 * 1024 - 3) + b"tok_1 " + b"." * 100_000
    async with running() as inspector:
        inspector.submit(data, final=True)

    assert [64 * 1024 - 3] == [finding.offset for finding in inspector.findings]
    assert len(data) == inspector.process.counts.bytes


async def test_full_queue_drops_and_counts():
    """Under overload nothing waits: what does not fit is missed with its reason and place."""
    limits = Limits(queue=1000, backoff_s=0.01)
    async with running(limits=limits) as inspector:
        started = time.monotonic()
        taken = [inspector.submit(bytes(300), offset=300 * n) for n in range(50)]
        assert time.monotonic() - started < 0.1

    assert [True, True, False] == taken[:3]
    assert 50 - sum(taken) == len(inspector.missed)
    assert (600, 300, MissReason.OVERLOAD) == (
        inspector.missed[0].offset,
        inspector.missed[0].length,
        inspector.missed[0].reason,
    )
    assert 300 * 50 == inspector.process.counts.bytes + inspector.process.counts.missed


async def test_catastrophic_record_costs_its_flow_only():
    """A record that eats its CPU time is missed, its flow refused from then on, others go on."""
    # It may have to wait long for that CPU time.
    async with running(limits=replace(QUICK, hang_s=30)) as inspector:
        inspector.submit(b"a" * 60, flow=1)
        inspector.submit(b" tok_1 ", flow=2)
        inspector.submit(b"more", flow=1, offset=60)
        await inspector.until(lambda: inspector.findings)
        assert not inspector.submit(b"again", flow=1, offset=64)

    assert [2] == [finding.flow for finding in inspector.findings]
    assert [(1, MissReason.CPU), (1, MissReason.CPU), (1, MissReason.POISONED)] == [
        (missed.flow, missed.reason) for missed in inspector.missed
    ]
    assert 1 == inspector.process.counts.restarts
    assert 60 + 4 + 5 == inspector.process.counts.missed


async def test_killed_process_is_replaced():
    """A process that dies is started again, and what was not answered is not lost."""
    async with running() as inspector:
        inspector.signal(signal.SIGSTOP)
        for flow in range(40):
            inspector.submit(b" tok_1 ", flow=flow)
        await asyncio.sleep(0.05)
        inspector.signal(signal.SIGKILL)
        await inspector.until(lambda: len(inspector.findings) == 40)
        assert inspector.process.alive

    assert 1 == inspector.process.counts.restarts
    assert [] == inspector.missed


async def test_flow_that_crashes_it_twice_is_refused():
    """A flow whose record was being searched at two deaths is missed; others go on."""
    async with running(limits=replace(QUICK, cpu_s=30, hang_s=30)) as inspector:
        inspector.submit(b"a" * 60, flow=1)
        inspector.submit(b" tok_1 ", flow=2)
        for deaths in (1, 2):
            await inspector.until(inspector.searching)
            inspector.signal(signal.SIGKILL)
            await inspector.until(lambda: inspector.process.counts.restarts == deaths)  # noqa: B023
        await inspector.until(lambda: inspector.findings)

    assert [2] == [finding.flow for finding in inspector.findings]
    assert [(1, 60, MissReason.CRASH)] == [(m.flow, m.length, m.reason) for m in inspector.missed]


async def test_stopped_process_is_noticed_and_replaced():
    """A process that does not answer is no longer alive at once, and is killed after a while."""
    async with running() as inspector:
        inspector.signal(signal.SIGSTOP)
        inspector.submit(b" tok_1 ", flow=3)
        await inspector.until(lambda: not inspector.process.alive, 2)
        await inspector.until(lambda: inspector.process.counts.restarts, 5)
        await inspector.until(lambda: inspector.process.alive)

    assert MissReason.HANG in {missed.reason for missed in inspector.missed}


async def test_rules_are_replaced_under_way():
    """New rules decide what is queued behind them; the process stays, and so do its windows."""
    other = Rule(index=2, id="t.other", regex=r"oth_[0-9]+ ")
    async with running() as inspector:
        before = inspector.process.pid
        inspector.submit(b" oth_1 tok_1 oth_", flow=1)
        await inspector.process.replace([other], 2)
        inspector.submit(b"2 tok_2 ", flow=1, offset=17)
        await inspector.until(lambda: len(inspector.findings) == 3)
        assert before == inspector.process.pid

    assert [(1, 8, 7), (2, 2, 1), (2, 2, 13)] == [
        (finding.release, finding.signature, finding.offset) for finding in inspector.findings
    ]


async def test_refused_rules_change_nothing():
    """A bad rule is an error that names it; the old rules stay, after a restart too."""
    async with running() as inspector:
        for release in range(2, 10):
            with pytest.raises(PackError, match=r"bad\.rule"):
                await inspector.process.replace([Rule(index=1, id="bad.rule", regex="(")], release)
        inspector.signal(signal.SIGKILL)
        inspector.submit(b" tok_1 ")
        await inspector.until(lambda: inspector.findings)

    assert [1] == [finding.release for finding in inspector.findings]


async def test_new_rules_survive_a_restart():
    """A process started anew gets the rules that were live last."""
    async with running() as inspector:
        await inspector.process.replace([TOKEN], 2)
        inspector.signal(signal.SIGKILL)
        await inspector.until(lambda: inspector.process.counts.restarts)
        inspector.submit(b" tok_1 ")
        await inspector.until(lambda: inspector.findings)

    assert [2] == [finding.release for finding in inspector.findings]


async def test_death_during_a_replacement_is_told():
    """Who waits for new rules is told when the process ends meanwhile; the old ones stay."""
    async with running() as inspector:
        inspector.signal(signal.SIGSTOP)
        waiting = asyncio.gather(inspector.process.replace([SLOW], 2), return_exceptions=True)
        await asyncio.sleep(0.05)
        inspector.signal(signal.SIGKILL)
        (result,) = await waiting
        inspector.submit(b" tok_1 ")
        await inspector.until(lambda: inspector.findings)

    assert isinstance(result, DlpError)
    assert [1] == [finding.release for finding in inspector.findings]


async def test_bad_rules_at_the_start_are_an_error():
    """The first rules are checked too, and no process is left behind."""
    before = children()
    inspector = Inspector(Rule(index=1, id="bad.rule", regex="("))
    async with asyncio.TaskGroup() as group:
        with pytest.raises(PackError, match=r"bad\.rule"):
            await inspector.process.start(group)

    assert inspector.process.pid is None
    assert before == children()


async def test_process_that_cannot_start_is_an_error(monkeypatch):
    """Where the worker does not come up, the start fails with a remedy instead of trying on."""
    monkeypatch.setattr("sys.executable", "/bin/false")
    inspector = Inspector()
    async with asyncio.TaskGroup() as group:
        with pytest.raises(MissingDependency) as caught:
            await inspector.process.start(group)

    assert "log" in caught.value.remedy


async def test_nothing_logged_holds_payload():
    """Death, misses and complaints are logged without a byte of what was being read."""
    with structlog.testing.capture_logs() as logs:
        async with running() as inspector:
            inspector.submit(b"4111111111111111" + b"a" * 60)
            await inspector.until(lambda: inspector.process.counts.restarts)

    assert "inspector_restarts" in {entry["event"] for entry in logs}
    assert "4111" not in repr(logs)
    assert "4111" not in repr(inspector.missed)
