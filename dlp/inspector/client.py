"""The gateway's side of the matcher process: kept alive, fed without waiting, listened to.

What it cannot inspect it reports as missed, with the reason. No payload is logged or kept beyond
the bounded queue.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import structlog

from dlp.errors import DlpError, MissingDependency, PackError
from dlp.inspector.account import InspectorCounts, Missed, MissReason
from dlp.inspector.messages import (
    MAX_DATA,
    Done,
    Finding,
    Ready,
    Record,
    Refused,
    Rule,
    Stop,
    Word,
)
from dlp.inspector.outbox import Outbox, Release
from dlp.inspector.session import Ending, Limits, Session

_BLAMED = 4096  # flows remembered for having ended a process
_RELEASES = 4  # whose findings may still be on their way


class MatcherProcess:
    """A matcher process that is restarted whenever it ends.

    Args:
        rules: those the inspector decides, as release number `release`.
        key: of the digests, at most 64 bytes.
        on_finding, on_missed: called from the event loop; they must neither block nor raise.
        on_word: likewise, for records that are held, behind their findings.
        on_restart: likewise, when a process has ended and another is to follow. Held records
            that were not answered are gone then: they are to be submitted again, with those
            that were, as the windows are gone too.
        log: a structlog logger.

    Attributes:
        sandbox: what the worker has locked itself in with; None before it has.
    """

    def __init__(
        self,
        rules: Iterable[Rule],
        *,
        key: bytes,
        on_finding: Callable[[Finding], None],
        on_missed: Callable[[Missed], None],
        on_word: Callable[[Record, Word], None] | None = None,
        on_restart: Callable[[], None] | None = None,
        release: int = 1,
        limits: Limits | None = None,
        log: Any = None,
    ) -> None:
        self.sandbox: Ready | None = None
        self._release = Release(release, tuple(rules))
        self._key = key
        self._on_finding = on_finding
        self._on_missed = on_missed
        self._on_word = on_word
        self._on_restart = on_restart
        self._limits = limits or Limits()
        self._log = log if log is not None else structlog.get_logger()
        self._outbox = Outbox(self._limits.queue)
        self._session: Session | None = None
        self._counts = InspectorCounts()
        self._suspects: OrderedDict[int, None] = OrderedDict()
        self._poisoned: OrderedDict[int, None] = OrderedDict()
        self._known: dict[int, frozenset[int]] = {release: _indices(self._release)}
        self._offered: tuple[Release, asyncio.Future[None]] | None = None
        self._started: asyncio.Future[None] | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def alive(self) -> bool:
        """The process has its rules and answers in time: the kernel's heartbeat may go on."""
        return self._session is not None and self._session.alive

    @property
    def pid(self) -> int | None:
        """Of the process; None where there is none just now."""
        return None if self._session is None else self._session.pid

    @property
    def counts(self) -> InspectorCounts:
        """What has happened so far."""
        return self._counts

    async def start(self, group: asyncio.TaskGroup) -> None:
        """Start the process and wait until it has its rules; `group` keeps it alive from then on.

        Raises:
            PackError: a rule was refused.
            MissingDependency: the process did not start in time.
        """
        self._started = asyncio.get_running_loop().create_future()
        self._supervisor = group.create_task(self._supervise())
        try:
            async with asyncio.timeout(self._limits.start_s):
                await asyncio.shield(self._started)
        except TimeoutError as error:
            self._supervisor.cancel()
            raise MissingDependency(
                "the matcher process did not start",
                remedy="the log has what it said; `dlp doctor` checks this host",
            ) from error

    def submit(self, record: Record) -> bool:
        """Hand over payload. Never waits; False where some of it is missed (and reported so)."""
        reason = self._refusal(record.flow)
        if reason is not None:
            self._miss(record, reason)
            return False
        taken = True
        for piece in _pieces(record):
            if not self._outbox.put(piece):
                self._miss(piece, MissReason.OVERLOAD)
                taken = False
        return taken

    async def replace(self, rules: Iterable[Rule], release: int) -> None:
        """Make other rules live, in order with the records; flows keep their windows.

        Before `start` they are those that it will start with.

        Raises:
            PackError: a rule was refused; the release before stays.
            DlpError: a replacement is under way, or the process ended meanwhile.
        """
        if self._offered is not None or self._stopping:
            raise DlpError("a release is being taken over already", remedy="try again")
        offer = Release(release, tuple(rules))
        if self._supervisor is None or self._supervisor.done():
            self._release, self._known = offer, {release: _indices(offer)}
            return
        self._known[release] = _indices(offer)
        old = [number for number in self._known if number not in {release, self._release.number}]
        for number in old[: max(0, len(self._known) - _RELEASES)]:
            del self._known[number]
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Stays until the worker answers, also where the caller does not wait for that.
        self._offered = offer, future
        self._outbox.put(offer)
        await future

    async def stop(self) -> None:
        """Finish what is queued, within `stop_s`, and end the process."""
        self._stopping = True
        if self._supervisor is None:
            return
        if self._session is None:
            self._supervisor.cancel()  # between two processes
        self._outbox.put(Stop())
        done, _ = await asyncio.wait({self._supervisor}, timeout=self._limits.stop_s)
        unanswered: list[Record] = []
        if not done:
            unanswered = self._session.records() if self._session is not None else []
            self._supervisor.cancel()
            await asyncio.wait({self._supervisor})
        for record in (*unanswered, *self._outbox.clear()):
            self._miss(record, MissReason.DOWN)

    # ------------------------------------------------------------------------------ supervision

    async def _supervise(self) -> None:
        pause = self._limits.backoff_s
        while True:
            began = time.monotonic()
            ending = await self._live_once()
            if ending in {Ending.STOPPED, Ending.REFUSED} or self._stopping:
                return
            if self._started is not None and not self._started.done():
                self._started.set_exception(
                    MissingDependency(
                        f"the matcher process could not start ({ending})",
                        remedy="the log has what it said; `dlp doctor` checks this host",
                    )
                )
                return
            if time.monotonic() - began > self._limits.steady_s:
                pause = self._limits.backoff_s
            self._log.warning("inspector_restarts", ended=str(ending), pause_s=pause)
            self._add(restarts=1)
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._limits.backoff_max_s)

    async def _live_once(self) -> Ending:
        session = Session(
            key=self._key,
            release=self._release,
            outbox=self._outbox,
            listener=self,
            limits=self._limits,
            log=self._log,
        )
        self._session = session
        try:
            ending = await session.run()
            if ending is not Ending.STOPPED:
                self._account(session, ending)
                self._outbox.withdraw_held()
                if self._on_restart is not None:
                    self._on_restart()
            return ending
        finally:
            self._session = None
            self._give_up_offer()

    def _account(self, session: Session, ending: Ending) -> None:
        """Blame one flow for the end of a process; the other records go to the next one."""
        if ending is Ending.REFUSED:
            return
        records = session.records()
        reason = MissReason(ending.value)
        culprit = session.settling
        if culprit is None and records:
            culprit = records[0].flow
        self._outbox.put_back(records)
        if culprit is None:
            return
        if reason is MissReason.CRASH and culprit not in self._suspects:
            # It may have been killed from outside: the flow gets a second chance, not a third.
            _remember(self._suspects, culprit)
            return
        _remember(self._poisoned, culprit)
        missed = self._outbox.withdraw(culprit)
        # Where none waits, the flow's window was lost all the same.
        for record in missed or (Record(flow=culprit, offset=0, data=b""),):
            self._miss(record, reason)

    def _give_up_offer(self) -> None:
        self._outbox.withdraw_releases()
        if self._offered is not None:
            _, future = self._offered
            self._offered = None
            if not future.done():
                future.set_exception(
                    DlpError("the matcher process ended while it took over a release")
                )

    # ------------------------------------------------------------------- what a session tells us

    def ready(self, ready: Ready) -> None:
        """Note how far the worker is locked in."""
        self.sandbox = ready
        if ready.missing:
            self._log.warning("inspector_sandbox_incomplete", missing=ready.missing)

    def live(self, release: int) -> None:
        """A release has been taken over."""
        if self._offered is not None and self._offered[0].number == release:
            self._release, future = self._offered
            self._offered = None
            if not future.done():
                future.set_result(None)
        if self._started is not None and not self._started.done():
            self._started.set_result(None)

    def refused(self, refused: Refused) -> None:
        """A release has been refused."""
        error = PackError(refused.reason)
        if self._offered is not None and self._offered[0].number == refused.release:
            _, future = self._offered
            self._offered = None
            if not future.done():
                future.set_exception(error)
        elif self._started is not None and not self._started.done():
            self._started.set_exception(error)

    def found(self, finding: Finding) -> None:
        """Pass a finding on, unless it names what does not exist: the worker is not trusted."""
        if finding.signature not in self._known.get(finding.release, ()):
            self._log.error("inspector_finding_refused", release=finding.release)
            return
        self._add(findings=1)
        self._on_finding(finding)

    def word(self, record: Record, word: Word) -> None:
        """Pass on what a held record comes to."""
        if self._on_word is not None:
            self._on_word(record, word)

    def done(self, record: Record | None, done: Done) -> None:
        """Count what was inspected."""
        self._add(
            records=int(record is not None),
            bytes=0 if record is None else len(record.data),
            gaps=done.gaps,
            gap_bytes=done.gap_bytes,
            retransmitted=done.retransmitted,
            rewritten=done.rewritten,
            evicted=done.evicted,
            bounded=done.bounded,
            suppressed=done.suppressed,
        )

    # ---------------------------------------------------------------------------------- counting

    def _refusal(self, flow: int) -> MissReason | None:
        if self._stopping:
            return MissReason.DOWN
        return MissReason.POISONED if flow in self._poisoned else None

    def _miss(self, record: Record, reason: MissReason) -> None:
        length = len(record.data)
        self._add(missed=length)
        self._on_missed(
            Missed(flow=record.flow, offset=record.offset, length=length, reason=reason)
        )

    def _add(self, **increments: int) -> None:
        totals = {name: getattr(self._counts, name) + n for name, n in increments.items()}
        self._counts = replace(self._counts, **totals)


def _remember(flows: OrderedDict[int, None], flow: int) -> None:
    flows[flow] = None
    if len(flows) > _BLAMED:
        flows.popitem(last=False)


def _indices(release: Release) -> frozenset[int]:
    return frozenset(rule.index for rule in release.rules)


def _pieces(record: Record) -> Iterable[Record]:
    """The record in pieces that fit a frame; the last one carries its end."""
    if len(record.data) <= MAX_DATA:
        yield record
        return
    for at in range(0, len(record.data), MAX_DATA):
        piece = record.data[at : at + MAX_DATA]
        last = at + MAX_DATA >= len(record.data)
        yield replace(
            record,
            offset=record.offset + at,
            data=piece,
            final=record.final and last,
            again=record.again and last,
            cut=record.cut and not at,
            anew=record.anew and not at,
        )
